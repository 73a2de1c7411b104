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
const ENDS: [&str; 2] = ["COMPLETED", "CANCELLED"];
/// A customer who asks to be forgotten after the backup.
const LEAVER: &str = "customer-leaves";

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

async fn cancel(client: &Client, order: &str) {
    let path = format!("/v1/orders/{order}/cancel");
    let answer = client.post("shop", &path, &json!({"reason": "changed my mind"})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    until_status(client, order, &["CANCELLED"]).await;
}

async fn until_erased(client: &Client, customer: &str) {
    let path = format!("/v1/shops/dev/customers/{customer}/erasure");
    until(&format!("{customer} is erased"), async || client.get("operator", &path).await.body["status"] == "ERASED")
        .await;
}

/// A number of `/metrics`.
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

/// Those who are in the backup and go on after it.
struct Scene {
    sku: String,
    shipped_later: String,
    cancelled_later: String,
    stays: String,
}

/// Three orders wait for the warehouse, over the backup and beyond it; one customer has what they ordered.
async fn set_the_scene(client: &Client) -> Scene {
    let sku = unique("sku");
    client.receive(&sku, 100_000).await;
    set_mode(client, "MANUAL").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(place_one(client, order_of("customer-waits", &sku, "tok_ok")).await.order);
    }
    for order in &waiting {
        until_status(client, order, &["RELEASED"]).await;
    }
    set_mode(client, "AUTO").await;
    let leaver = place_one(client, order_of(LEAVER, &sku, "tok_ok")).await;
    until_status(client, &leaver.order, &["COMPLETED"]).await;
    let [shipped_later, cancelled_later, stays] = waiting.try_into().unwrap();
    Scene { sku, shipped_later, cancelled_later, stays }
}

/// What happens after the backup is lost with the server, though not to the world.
async fn go_on(client: &Client, scene: &Scene, placed: &Orders) {
    ship(client, &scene.shipped_later).await;
    until_status(client, &scene.shipped_later, &["COMPLETED"]).await;
    cancel(client, &scene.cancelled_later).await;
    let erase = format!("/v1/shops/dev/customers/{LEAVER}/erase");
    let asked = client.post("operator", &erase, &json!({"reason": "they asked"})).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.body);
    until_erased(client, LEAVER).await;
    for placed in placed.all() {
        until_status(client, &placed.order, &ENDS).await;
    }
}

/// What the test knows to be in the backup, and what after it.
struct Loss {
    backed_up: i64,
    last: i64,
    kept: Vec<Placed>,
    lost: Vec<Placed>,
    /// Every order of which an event is lost.
    touched: BTreeSet<String>,
}

async fn take_stock(app: &TestApp, placed: &Orders) -> Loss {
    let manifest: Value = serde_json::from_slice(&fs::read(app.folder.join("backup/manifest.json")).unwrap()).unwrap();
    let backed_up = manifest["position"].as_i64().unwrap();
    let mut connection = PgConnection::connect(app.client.url("postgres")).await.unwrap();
    let last: i64 = sqlx::query_scalar("SELECT max(position) FROM events").fetch_one(&mut connection).await.unwrap();
    let touched: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT 'ord_' || replace(stream_id::text, '-', '') FROM events
          WHERE position > $1 AND stream_kind NOT IN ('stock', 'location', 'person')",
    )
    .bind(backed_up)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    // What Kafka has not heard of nobody can tell afterwards.
    until("Kafka has all of it", async || app.client.metric("waybill_relay_position").await == Some(last as f64)).await;
    let (kept, lost): (Vec<_>, Vec<_>) = placed.all().into_iter().partition(|placed| placed.position <= backed_up);
    let (orders, events) = (lost.len(), last - backed_up);
    println!(
        "{} orders and {backed_up} events are in the backup, {orders} orders and {events} events after it",
        kept.len()
    );
    assert!(kept.len() >= BEFORE && lost.len() >= AFTER);
    Loss { backed_up, last, kept, lost, touched: touched.into_iter().collect() }
}

/// The relay writes nothing until what is lost was looked at; `recover` writes down each lost event.
async fn recover(app: &TestApp, loss: &Loss) {
    until("the relay says why it has halted", async || {
        let ready = app.client.get("operator", "/readyz").await;
        ready.body["checks"]["kafka"]["detail"].as_str().is_some_and(|detail| detail.contains("waybill recover"))
    })
    .await;
    let said = done(app, &["recover", "--yes"]).await;
    assert!(said.contains("it is ahead, since the store was restored"), "{said}");
    let file = fs::read_to_string(app.data_dir().join("recovered-2.jsonl")).unwrap();
    let events: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut positions: Vec<_> = events.iter().map(|event| event["position"].as_i64().unwrap()).collect();
    positions.sort_unstable();
    assert!(positions.iter().copied().eq(loss.backed_up + 1..=loss.last), "each lost event is written down once");
    let orders_of = |wanted: &dyn Fn(&Value) -> bool| -> BTreeSet<String> {
        let of = events.iter().filter(|event| wanted(event)).filter_map(|event| event["stream"].as_str());
        of.filter_map(|stream| Some(format!("ord_{}", stream.rsplit_once('-')?.1))).collect()
    };
    let placed = orders_of(&|event| event["type"] == "OrderPlaced");
    assert_eq!(placed, loss.lost.iter().map(|placed| placed.order.clone()).collect(), "the orders that are gone");
}

/// `verify` finds no fault and tells what is gone: neither more nor less than what the test knows of.
async fn verify(app: &TestApp, loss: &Loss) {
    let said = done(app, &["verify"]).await;
    let Loss { backed_up, last, lost, touched, .. } = loss;
    let (from, events, orders) = (backed_up + 1, last - backed_up, touched.len());
    let range = format!("gone   positions {from} to {last} of incarnation 1: {events} events of {orders} orders");
    assert!(said.contains(&range), "no {range:?} in: {said}");
    assert!(said.contains("all is well but for what is gone"), "{said}");
    let gone = said.lines().filter_map(|line| line.strip_prefix("gone   order ")?.split_once(" is gone, "));
    let gone: BTreeMap<_, _> = gone.map(|(order, did)| (order.to_owned(), did.to_owned())).collect();
    let charges = charges(&app.client).await;
    let charged = lost.iter().filter(|placed| charges.keys().any(|(order, _)| *order == placed.order));
    let charged: BTreeSet<_> = charged.map(|placed| placed.order.clone()).collect();
    assert_eq!(gone.into_keys().collect::<BTreeSet<_>>(), charged, "the participants' part of what is gone");
}

/// All that was backed up goes on and ends; whatever the providers did meanwhile is found by its key.
async fn ends_well(client: &Client, scene: &Scene, loss: &Loss) {
    for placed in &loss.kept {
        until_status(client, &placed.order, &ENDS).await;
    }
    for order in [&scene.shipped_later, &scene.cancelled_later, &scene.stays] {
        until_status(client, order, &["RELEASED"]).await;
    }
    for order in [&scene.shipped_later, &scene.stays] {
        ship(client, order).await;
        until_status(client, order, &["COMPLETED"]).await;
    }
    until_erased(client, LEAVER).await;
    // A repeat is answered as before the loss.
    for placed in &loss.kept {
        let again = place(client, &placed.key, &placed.body).await;
        assert_eq!(again.body["order_id"], placed.order.as_str(), "{}", again.body);
        assert_eq!(again.headers["idempotent-replayed"], "true");
    }
}

/// What was lost the shops ask for again: a cancel is taken once more, an order is a new one.
async fn ask_again(client: &Client, scene: &Scene, loss: &Loss) {
    cancel(client, &scene.cancelled_later).await;
    let known: BTreeSet<_> = loss.lost.iter().map(|placed| placed.order.clone()).collect();
    let mut anew = Vec::new();
    for placed in &loss.lost {
        assert_eq!(status(client, &placed.order).await.0, StatusCode::NOT_FOUND);
        let answer = place(client, &placed.key, &placed.body).await;
        assert!(!answer.headers.contains_key("idempotent-replayed"));
        anew.push(Placed::by(&answer, placed.key.clone(), placed.body.clone()));
    }
    for placed in &anew {
        assert!(!known.contains(&placed.order), "{} is the order that was lost", placed.order);
        until_status(client, &placed.order, &ENDS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_lost_and_everything_is_accounted_for() {
    let seed: u64 =
        std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}: repeat with WAYBILL_TEST_SEED={seed}");
    let began = Instant::now();
    let stage = |what: &str| println!("{:5.1} s  {what}", began.elapsed().as_secs_f64());
    let mut app = TestApp::start("drill").await;
    let client = app.client.clone();
    let scene = set_the_scene(&client).await;

    // Back up under load, and go on.
    let stop = CancellationToken::new();
    let (shoppers, placed) = load(&client, &scene.sku, seed, &stop);
    placed.until(BEFORE).await;
    stage("backing up");
    let backup = app.folder.join("backup").display().to_string();
    let before = placed.all().len();
    done(&app, &["backup", "--to", &backup]).await;
    let during = placed.all().len();
    assert!(during > before, "no order was taken while the backup ran");
    placed.until(during + AFTER).await;
    stop.cancel();
    shoppers.join_all().await;
    go_on(&client, &scene, &placed).await;
    let loss = take_stock(&app, &placed).await;

    stage("losing the server");
    lose_the_server(&mut app).await;
    let said = done(&app, &["restore", "--from", &backup]).await;
    assert!(said.contains("1 persons erased again"), "{said}");
    assert!(said.contains(&format!("incarnation 2 begins after position {}", loss.backed_up)), "{said}");
    stage("restored");
    app.run().await;
    let client = app.client.clone();
    ends_well(&client, &scene, &loss).await;
    stage("all that was backed up has ended");
    recover(&app, &loss).await;
    verify(&app, &loss).await;
    stage("recovered and verified");
    ask_again(&client, &scene, &loss).await;
    verify(&app, &loss).await;
    assert_nobody_is_charged_twice(&charges(&client).await);
    stage("what was lost is asked for again");
    app.stop().await;
}
