//! Every role in processes of its own, killed, frozen, added and removed under load: no step twice in effect, every order ends, all agree.
use crate::support::{
    app::{EXE, TestApp, text},
    client::{Client, order, unique},
    fleet::Fleet,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Orders placed in the midst of it.
const UNDER_WAY: usize = 4;
const BETWEEN_ORDERS: Duration = Duration::from_millis(150);
/// Until a request is tried again at another process.
const PATIENCE: Duration = Duration::from_secs(3);
/// An order is placed or has ended within this time, whatever happens.
const AT_LAST: Duration = Duration::from_secs(90);

fn seed() -> u64 {
    let seed: u64 =
        std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}: repeat with WAYBILL_TEST_SEED={seed}");
    seed | 1
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Shops: each keeps one order under way, placing it again under its key, at whichever API answers, until the answer is definite.
#[derive(Clone)]
struct Shops {
    apis: Arc<Mutex<Vec<Client>>>,
    placed: Arc<Mutex<BTreeMap<String, String>>>,
    stop: Arc<AtomicBool>,
    sku: String,
}

impl Shops {
    fn api(&self, turn: usize) -> Option<Client> {
        let apis = self.apis.lock().unwrap();
        (!apis.is_empty()).then(|| apis[turn % apis.len()].clone())
    }

    async fn trade(self, shop: usize) {
        let mut turn = shop;
        while !self.stop.load(Ordering::Relaxed) {
            let token = if turn.is_multiple_of(7) { "tok_decline" } else { "tok_ok" };
            let (body, key) = (order(&self.sku, 1, token), unique("key"));
            tokio::time::sleep(BETWEEN_ORDERS).await;
            let since = Instant::now();
            loop {
                assert!(since.elapsed() < AT_LAST, "an order can't be placed for {AT_LAST:?}");
                turn += 1;
                if let Some(api) = self.api(turn)
                    && let Some(id) = place(&api, &key, &body).await
                {
                    self.placed.lock().unwrap().insert(id, token.to_owned());
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// `None`: no definite answer.
async fn place(api: &Client, key: &str, body: &Value) -> Option<String> {
    let request = api.request("shop", Method::POST, "/v1/orders").header("idempotency-key", key).json(body);
    let answer = request.timeout(PATIENCE).send().await.ok()?;
    let status = answer.status();
    let body: Value = answer.json().await.ok()?;
    match status {
        StatusCode::ACCEPTED | StatusCode::OK => Some(body["order_id"].as_str().unwrap().to_owned()),
        StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => None,
        other => panic!("{other}: {body}"),
    }
}

async fn status(api: &Client, id: &str) -> Value {
    api.get("shop", &format!("/v1/orders/{id}?wait=30")).await.body
}

/// How many slots each owner holds, and how many are free.
async fn slots(any: &TestApp, fleet: &Fleet) -> (Vec<usize>, usize) {
    let mut command = any.command(&["slots", "--json"]);
    let output = command.env("DATABASE_URL", fleet.env("DATABASE_URL")).output().await.unwrap();
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)));
    let owners = told["owners"].as_array().unwrap().iter();
    let mut held: Vec<usize> = owners.map(|owner| owner["slots"].as_array().unwrap().len()).collect();
    held.sort_unstable();
    (held, told["free"].as_array().unwrap().len())
}

async fn until_dealt(any: &TestApp, fleet: &Fleet, owners: usize, within: Duration) {
    let since = Instant::now();
    loop {
        let (held, free) = slots(any, fleet).await;
        let even = held.len() == owners && held.iter().all(|held| held.abs_diff(256 / owners) <= 1);
        if even && free == 0 {
            return;
        }
        assert!(since.elapsed() < within, "after {within:?} {held:?} are held and {free} are free");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A random fault at a random process, again and again, while orders are placed.
async fn chaos(name: &str, faults: usize) {
    let Some(fleet) = Fleet::start(name).await else { return };
    let mut random = Random(seed());
    // The first brings the schema and the shop.
    let first = fleet.join("api").await;
    let mut apis = vec![first, fleet.join("api").await];
    let mut workers = Vec::new();
    for role in ["relay", "relay", "projections", "projections", "sagas", "sagas", "sagas"] {
        workers.push((role, fleet.join(role).await));
    }
    let sku = unique("sku");
    apis[0].client.receive(&sku, 100_000).await;
    until_dealt(&apis[0], &fleet, 3, Duration::from_secs(30)).await;

    let clients = |apis: &[TestApp]| apis.iter().map(|api| api.client.clone()).collect::<Vec<_>>();
    let shops = Shops {
        apis: Arc::new(Mutex::new(clients(&apis))),
        placed: Arc::default(),
        stop: Arc::default(),
        sku: sku.clone(),
    };
    let trading: Vec<_> = (0..UNDER_WAY).map(|shop| tokio::spawn(shops.clone().trade(shop))).collect();
    for fault in 0..faults {
        tokio::time::sleep(Duration::from_millis(500 + random.below(2500) as u64)).await;
        let at = random.below(workers.len() + apis.len());
        let what = ["kill", "freeze", "stop and start", "add and remove"][random.below(4)];
        let (role, app) = match workers.get_mut(at) {
            Some((role, app)) => (*role, app),
            None => ("api", &mut apis[at - 7]),
        };
        println!("{fault}: {what} {role}");
        match what {
            "kill" => {
                app.kill_9().await;
                app.run().await;
            }
            "freeze" => {
                app.freeze();
                tokio::time::sleep(Duration::from_millis(1_000 + random.below(11_000) as u64)).await;
                app.thaw();
            }
            "stop and start" => {
                app.stop().await;
                app.run().await;
            }
            _ => {
                let mut another = fleet.join(role).await;
                tokio::time::sleep(Duration::from_millis(random.below(4_000) as u64)).await;
                another.stop().await;
            }
        }
        // A process that was started again listens elsewhere.
        *shops.apis.lock().unwrap() = clients(&apis);
    }
    shops.stop.store(true, Ordering::Relaxed);
    for shop in trading {
        shop.await.unwrap();
    }

    let placed = std::mem::take(&mut *shops.placed.lock().unwrap());
    assert!(placed.len() > faults, "only {} orders were placed", placed.len());
    let since = Instant::now();
    for (id, token) in &placed {
        let mut seen = status(&apis[0].client, id).await;
        while !matches!(seen["status"].as_str(), Some("COMPLETED" | "CANCELLED")) {
            assert!(since.elapsed() < AT_LAST, "{id} ({token}) does not end: {seen}");
            seen = status(&apis[0].client, id).await;
        }
        let (wanted, ledger): (_, &[&str]) = match token.as_str() {
            "tok_decline" => ("CANCELLED", &[]),
            _ => ("COMPLETED", &["authorize", "capture"]),
        };
        assert_eq!(seen["status"], wanted, "{seen}");
        let sagas = &workers[6].1.client;
        assert_eq!(sagas.ledger("payment", id).await, ledger, "{id}: each once");
    }
    println!("{} orders", placed.len());
    until_dealt(&apis[0], &fleet, 3, Duration::from_secs(30)).await;
    fleet.assert_verified(&apis[0]).await;
    for mut app in workers.into_iter().map(|(_, app)| app).chain(apis) {
        app.stop().await;
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_processes_are_killed_frozen_added_and_removed_and_every_order_ends_once() {
    chaos("chaos", 6).await;
}

#[ignore = "takes minutes: scripts/slow-tests"]
#[tokio::test(flavor = "multi_thread")]
async fn slow_nine_processes_and_sixty_faults() {
    chaos("slow-chaos", 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_placed_at_one_process_is_waited_for_there_while_others_do_the_work() {
    let Some(fleet) = Fleet::start("wait").await else { return };
    let api = fleet.join("api").await;
    let (relay, sagas) = (fleet.join("relay").await, fleet.join("sagas").await);
    let sku = unique("sku");
    api.client.receive(&sku, 100).await;
    // Nobody keeps the read model up: the order ends, and what a reader would see doesn't say so yet.
    let wait = |seconds: u32| {
        let request =
            api.client.request("shop", Method::POST, "/v1/orders").header("prefer", format!("wait={seconds}"));
        request.header("idempotency-key", unique("key")).json(&order(&sku, 1, "tok_ok"))
    };
    let answer = api.client.send(wait(2)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let projections = fleet.join("projections").await;
    let answer = api.client.send(wait(30)).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("COMPLETED")), "{}", answer.body);
    let id = answer.body["order_id"].as_str().unwrap();
    let query = "query($id: ID!) { order(id: $id) { status } }";
    let shown = api.client.graphql("support", query, json!({"id": id})).await;
    assert_eq!(shown["order"]["status"], "COMPLETED", "whoever was answered 200 reads it so");

    // What a process isn't for is not there.
    assert_eq!(relay.client.get("shop", "/v1/orders/x").await.status, StatusCode::NOT_FOUND);
    assert_eq!(sagas.client.get("shop", "/graphql").await.status, StatusCode::NOT_FOUND);

    for mut app in [relay, sagas, projections, api] {
        app.stop().await;
    }
    fleet.stop().await;
}

/// Orders go on to their end at the same pace, owners keep their slots; the API is degraded, relay and sagas by themselves are not ready. Once
/// Kafka is back, it hears of all by itself.
async fn without_kafka(name: &str, away: Duration) {
    let Some(mut fleet) = Fleet::start(name).await else { return };
    let api = fleet.join("api,projections").await;
    let (relay, one, two) = (fleet.join("relay").await, fleet.join("sagas").await, fleet.join("sagas").await);
    let sku = unique("sku");
    api.client.receive(&sku, 100_000).await;
    until_dealt(&api, &fleet, 2, Duration::from_secs(30)).await;
    let ready = async |app: &TestApp| app.client.get("none", "/readyz").await;
    fleet.stop_kafka().await;
    let (since, mut placed) = (Instant::now(), 0);
    let mut told = false;
    while since.elapsed() < away || !told {
        assert!(since.elapsed() < away + Duration::from_secs(40), "nobody says that Kafka is away");
        let answer = api.client.order_to_its_end(&order(&sku, 1, "tok_ok")).await;
        assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("COMPLETED")), "{}", answer.body);
        assert_eq!(slots(&api, &fleet).await, (vec![128, 128], 0), "the owners keep their slots");
        placed += 1;
        told = [ready(&relay).await, ready(&one).await].iter().all(|ready| ready.status != StatusCode::OK);
    }
    let answer = ready(&api).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("degraded")), "{}", answer.body);
    let metrics = relay.client.get("none", "/metrics").await.body.to_string();
    let lag = metrics.split("waybill_relay_lag{").nth(1).and_then(|rest| rest.split(' ').nth(1)?.split("\\n").next());
    assert!(lag.is_some_and(|lag| lag.parse::<f64>().unwrap() > 0.0), "{lag:?}");
    println!("{placed} orders in {:?} without Kafka", since.elapsed());
    fleet.start_kafka().await;
    // It waits for the relay, a minute at most.
    fleet.assert_verified(&api).await;
    let since = Instant::now();
    while ready(&relay).await.status != StatusCode::OK || ready(&one).await.status != StatusCode::OK {
        assert!(since.elapsed() < Duration::from_secs(40), "{}", ready(&relay).await.body);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for mut app in [relay, one, two, api] {
        app.stop().await;
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_orders_go_on_and_once_it_is_back_it_hears_of_all() {
    without_kafka("kafka-away", Duration::from_secs(10)).await;
}

#[ignore = "takes minutes: scripts/slow-tests"]
#[tokio::test(flavor = "multi_thread")]
async fn slow_two_minutes_without_kafka() {
    without_kafka("slow-kafka-away", Duration::from_secs(120)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_side_far_from_the_store_is_fed_by_kafka_alone() {
    let Some(mut fleet) = Fleet::start("replica").await else { return };
    let mut near = fleet.join("api,relay,sagas,projections").await;
    let database = fleet.database("far").await;
    let sku = unique("sku");
    near.client.receive(&sku, 100).await;
    let before = near.client.order_to_its_end(&order(&sku, 1, "tok_ok")).await.body;
    let mut far = fleet.join_with("replica,projections,api", &[("DATABASE_URL", &database)]).await;
    let during = near.client.order_to_its_end(&order(&sku, 2, "tok_decline")).await.body;
    let query = "query($id: ID!) { order(id: $id) { ref status total saga { state } timeline(first: 50) { nodes { position summary } } } }";
    let at =
        async |app: &TestApp, body: &Value| app.client.graphql("support", query, json!({"id": body["order_id"]})).await;
    for placed in [&before, &during] {
        let wanted = at(&near, placed).await;
        assert!(wanted["order"]["timeline"]["nodes"].as_array().unwrap().len() > 3, "{wanted}");
        let since = Instant::now();
        while at(&far, placed).await != wanted {
            assert!(since.elapsed() < Duration::from_secs(30), "{} for {wanted}", at(&far, placed).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    // Nothing is written there, whoever asks.
    let refused = far.client.post("shop", "/v1/orders", &order(&sku, 1, "tok_ok")).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let misused = tokio::process::Command::new(EXE)
        .args(["up", "--role", "api", "--http-addr", "127.0.0.1:0"])
        .env("DATABASE_URL", &database)
        .env("WAYBILL_DATA_DIR", far.folder.join("elsewhere"))
        .output()
        .await
        .unwrap();
    assert_eq!(misused.status.code(), Some(2), "{}", text(&misused.stderr));
    assert!(text(&misused.stderr).contains("a replica's copy of a log"), "{}", text(&misused.stderr));
    // Killed and gone on with, without the store, from Kafka alone.
    far.kill_9().await;
    let after = near.client.order_to_its_end(&order(&sku, 3, "tok_ok")).await.body;
    let wanted = at(&near, &after).await;
    near.stop().await;
    far.run().await;
    let since = Instant::now();
    while at(&far, &after).await != wanted {
        assert!(since.elapsed() < Duration::from_secs(30), "{} for {wanted}", at(&far, &after).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fleet.stop_kafka().await;
    assert_eq!(at(&far, &before).await["order"]["status"], "COMPLETED", "what it has can be read without Kafka");
    far.stop().await;
    fleet.stop().await;
}
