//! The disaster drill: back up under load, go on, lose the server, restore, recover. What was backed up goes on and ends, nobody is
//! charged twice, who was erased stays erased, and what is gone is told exactly.
use crate::support::{
    app::{TestApp, text},
    client::{Answer, Client, order, unique},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const SHOPPERS: u64 = 2;
/// Orders before the backup begins, and after it has ended.
const BEFORE: usize = 30;
const AFTER: usize = 20;
const WITHIN: Duration = Duration::from_secs(60);

/// An order that a shop placed, and what it was told.
#[derive(Clone, Debug)]
struct Placed {
    key: String,
    body: Value,
    order: String,
    position: i64,
}

impl Placed {
    fn by(answer: &Answer, key: String, body: Value) -> Placed {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        let position = answer.body["position"].as_str().unwrap().parse().unwrap();
        Placed { key, body, order: answer.body["order_id"].as_str().unwrap().to_owned(), position }
    }
}

async fn place(client: &Client, key: &str, body: &Value) -> Answer {
    client.send(client.request("shop", Method::POST, "/v1/orders").header("idempotency-key", key).json(body)).await
}

/// An order of a customer with a name.
fn order_of(customer: &str, sku: &str, token: &str) -> Value {
    let mut body = order(sku, 1, token);
    body["customer"] =
        json!({"ref": customer, "name": format!("Name of {customer}"), "email": format!("{customer}@example.com")});
    body
}

async fn place_one(client: &Client, body: Value) -> Placed {
    let key = unique("drill");
    Placed::by(&place(client, &key, &body).await, key, body)
}

/// Shops that place orders until they are told to stop; some are slow to authorize, some are declined.
fn load(client: &Client, sku: &str, seed: u64, stop: &CancellationToken) -> (JoinSet<()>, Orders) {
    let (mut shoppers, placed) = (JoinSet::new(), Orders::default());
    for shopper in 0..SHOPPERS {
        let (client, sku, stop, placed) = (client.clone(), sku.to_owned(), stop.clone(), placed.clone());
        let mut random = seed ^ (shopper + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        shoppers.spawn(async move {
            while !stop.is_cancelled() {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let token = match random % 8 {
                    0 => "tok_decline",
                    1..=3 => "tok_slow_400",
                    _ => "tok_ok",
                };
                let customer = format!("customer-{}", random / 8 % 10);
                placed.add(place_one(&client, order_of(&customer, &sku, token)).await);
                tokio::time::sleep(Duration::from_millis(20 + random % 40)).await;
            }
        });
    }
    (shoppers, placed)
}

#[derive(Clone, Debug, Default)]
struct Orders(std::sync::Arc<std::sync::Mutex<Vec<Placed>>>);

impl Orders {
    fn add(&self, placed: Placed) {
        self.0.lock().unwrap().push(placed);
    }

    fn all(&self) -> Vec<Placed> {
        self.0.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) {
        until(&format!("{count} orders are placed"), async || self.all().len() >= count).await;
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < WITHIN, "not within {WITHIN:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn status(client: &Client, order: &str) -> (StatusCode, String) {
    let answer = client.get("shop", &format!("/v1/orders/{order}")).await;
    (answer.status, answer.body["status"].as_str().unwrap_or_default().to_owned())
}

async fn until_status(client: &Client, order: &str, wanted: &[&str]) {
    until(&format!("{order} is {wanted:?}"), async || wanted.contains(&status(client, order).await.1.as_str())).await;
}

async fn set_mode(client: &Client, mode: &str) {
    let request = client.request("warehouse", Method::PUT, "/v1/locations/main").json(&json!({"mode": mode}));
    assert_eq!(client.send(request).await.status, StatusCode::OK);
}

async fn ship(client: &Client, order: &str) {
    let path = format!("/v1/fulfillments/ful_{}/ship", &order[4..]);
    let answer = client.post("warehouse", &path, &json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

async fn until_erased(client: &Client, customer: &str) {
    let path = format!("/v1/shops/dev/customers/{customer}/erasure");
    until(&format!("{customer} is erased"), async || client.get("operator", &path).await.body["status"] == "ERASED")
        .await;
}

async fn head(app: &TestApp) -> i64 {
    let mut connection = PgConnection::connect(app.client.url("postgres")).await.unwrap();
    sqlx::query_scalar("SELECT max(position) FROM events").fetch_one(&mut connection).await.unwrap()
}

/// A number of `/metrics`.
async fn metric(client: &Client, name: &str) -> Option<f64> {
    let answer = client.get("operator", "/metrics").await;
    let line = answer.body.as_str()?.lines().find(|line| line.starts_with(name) && !line.starts_with('#'))?.to_owned();
    line.rsplit_once(' ')?.1.parse().ok()
}

/// How often each order was authorized and captured.
async fn charges(client: &Client) -> BTreeMap<(String, String), usize> {
    let url = format!("{}/ledger", client.url("payment"));
    let entries: Vec<Value> = reqwest::get(url).await.unwrap().json().await.unwrap();
    let mut charges = BTreeMap::new();
    for entry in entries {
        let of = |name: &str| entry[name].as_str().unwrap().to_owned();
        *charges.entry((of("reference"), of("kind"))).or_default() += 1;
    }
    charges
}

fn assert_nobody_is_charged_twice(charges: &BTreeMap<(String, String), usize>) {
    let twice: Vec<_> = charges.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "charged twice: {twice:?}");
}

/// PostgreSQL and its supervisor die where they stand, `waybill` with them, and the data is gone.
async fn lose_the_server(app: &mut TestApp) {
    let record: Value = serde_json::from_slice(&fs::read(app.data_dir().join("run/postgres.pid")).unwrap()).unwrap();
    for which in ["supervisor", "server"] {
        let pid = record[which]["pid"].to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    }
    app.kill_9().await;
    fs::remove_dir_all(app.data_dir().join("postgres")).unwrap();
}

async fn done(app: &TestApp, args: &[&str]) -> String {
    let output = app.waybill(args).await;
    assert!(output.status.success(), "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_lost_and_everything_is_accounted_for() {
    let seed: u64 =
        std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}: repeat with WAYBILL_TEST_SEED={seed}");
    let began = Instant::now();
    let stage = |what: &str| println!("{:5.1} s  {what}", began.elapsed().as_secs_f64());
    let mut app = TestApp::start("drill").await;
    stage("it is up");
    let client = app.client.clone();
    let sku = unique("sku");
    client.receive(&sku, 100_000).await;

    // Three wait for the warehouse, over the backup and beyond it.
    set_mode(&client, "MANUAL").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(place_one(&client, order_of("customer-waits", &sku, "tok_ok")).await);
    }
    for placed in &waiting {
        until_status(&client, &placed.order, &["RELEASED"]).await;
    }
    let [shipped_later, cancelled_later, stays] = [0, 1, 2].map(|n: usize| waiting[n].order.clone());
    set_mode(&client, "AUTO").await;
    let leaver = place_one(&client, order_of("customer-leaves", &sku, "tok_ok")).await;
    until_status(&client, &leaver.order, &["COMPLETED"]).await;

    // Back up under load, and go on.
    let stop = CancellationToken::new();
    let (shoppers, placed) = load(&client, &sku, seed, &stop);
    placed.until(BEFORE).await;
    let backup = app.folder.join("backup").display().to_string();
    stage("backing up");
    let before = placed.all().len();
    done(&app, &["backup", "--to", &backup]).await;
    stage("backed up");
    let during = placed.all().len();
    assert!(during > before, "no order was taken while the backup ran");
    placed.until(during + AFTER).await;
    stop.cancel();
    shoppers.join_all().await;
    // What happens after the backup is lost with the server, though not to the world.
    ship(&client, &shipped_later).await;
    until_status(&client, &shipped_later, &["COMPLETED"]).await;
    let cancel = client
        .post("shop", &format!("/v1/orders/{cancelled_later}/cancel"), &json!({"reason": "changed my mind"}))
        .await;
    assert_eq!(cancel.status, StatusCode::ACCEPTED, "{}", cancel.body);
    until_status(&client, &cancelled_later, &["CANCELLED"]).await;
    let erasure = "/v1/shops/dev/customers/customer-leaves/erase";
    let asked = client.post("operator", erasure, &json!({"reason": "they asked"})).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.body);
    until_erased(&client, "customer-leaves").await;
    let ends = ["COMPLETED", "CANCELLED"];
    for placed in placed.all() {
        until_status(&client, &placed.order, &ends).await;
    }
    // What Kafka has not heard of by then nobody can tell.
    let last = head(&app).await;
    until("Kafka has all of it", async || metric(&client, "waybill_relay_position").await == Some(last as f64)).await;

    let manifest: Value = serde_json::from_slice(&fs::read(app.folder.join("backup/manifest.json")).unwrap()).unwrap();
    let backed_up = manifest["position"].as_i64().unwrap();
    let (kept, lost): (Vec<_>, Vec<_>) = placed.all().into_iter().partition(|placed| placed.position <= backed_up);
    println!(
        "{} orders and {backed_up} events are in the backup, {} orders and {} events are after it",
        kept.len(),
        lost.len(),
        last - backed_up
    );
    assert!(kept.len() >= BEFORE && lost.len() >= AFTER);

    stage("losing the server");
    lose_the_server(&mut app).await;
    let said = done(&app, &["restore", "--from", &backup]).await;
    assert!(said.contains("1 persons erased again"), "{said}");
    assert!(said.contains(&format!("incarnation 2 begins after position {backed_up}")), "{said}");
    stage("restored");
    app.run().await;
    stage("up again");
    let client = app.client.clone();

    // All that was backed up goes on and ends; whatever the providers did meanwhile is found by its key.
    for placed in &kept {
        until_status(&client, &placed.order, &ends).await;
    }
    for order in [&shipped_later, &cancelled_later, &stays] {
        until_status(&client, order, &["RELEASED"]).await;
    }
    ship(&client, &shipped_later).await;
    ship(&client, &stays).await;
    for order in [&shipped_later, &stays] {
        until_status(&client, order, &["COMPLETED"]).await;
    }
    // A repeat is answered as before the loss; an order that was lost is new when it is placed again.
    for placed in &kept {
        let again = place(&client, &placed.key, &placed.body).await;
        assert_eq!(again.body["order_id"], placed.order.as_str(), "{}", again.body);
        assert_eq!(again.headers["idempotent-replayed"], "true");
    }
    until_erased(&client, "customer-leaves").await;
    stage("all that was backed up has ended");
    let known: BTreeSet<_> = lost.iter().map(|placed| placed.order.clone()).collect();
    let mut anew = Vec::new();
    for placed in &lost {
        assert_eq!(status(&client, &placed.order).await.0, StatusCode::NOT_FOUND);
        let answer = place(&client, &placed.key, &placed.body).await;
        assert!(!answer.headers.contains_key("idempotent-replayed"));
        anew.push(Placed::by(&answer, placed.key.clone(), placed.body.clone()));
    }
    for placed in &anew {
        assert!(!known.contains(&placed.order), "{} is the order that was lost", placed.order);
        until_status(&client, &placed.order, &ends).await;
    }
    stage("what was lost is placed again");
    assert_nobody_is_charged_twice(&charges(&client).await);
}
