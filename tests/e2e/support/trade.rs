//! Orders placed at many processes while things happen to them, and how their sagas are shared out among the processes.
use super::{
    app::{TestApp, text},
    client::{Client, order, unique},
    fleet::Fleet,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Orders placed in the midst of it.
const UNDER_WAY: usize = 4;
const BETWEEN_ORDERS: Duration = Duration::from_millis(150);
/// Until a request is tried again at another process.
const PATIENCE: Duration = Duration::from_secs(3);
/// An order is placed or has ended within this time, whatever happens.
const AT_LAST: Duration = Duration::from_secs(90);

/// Shops: each keeps one order under way, placing it again under its key, at whichever API answers, until the answer is definite.
#[derive(Clone)]
pub(crate) struct Shops {
    apis: Arc<Mutex<Vec<Client>>>,
    placed: Arc<Mutex<BTreeMap<String, String>>>,
    stop: Arc<AtomicBool>,
    sku: String,
}

/// Shops at work.
pub(crate) struct Trade {
    shops: Shops,
    tasks: Vec<JoinHandle<()>>,
}

impl Trade {
    /// Brings goods in and begins.
    pub(crate) async fn begin(apis: &[&TestApp]) -> Trade {
        let sku = unique("sku");
        apis[0].client.receive(&sku, 100_000).await;
        let shops = Shops { apis: Arc::default(), placed: Arc::default(), stop: Arc::default(), sku };
        let mut trade = Trade { shops, tasks: Vec::new() };
        trade.at(apis);
        trade.tasks = (0..UNDER_WAY).map(|shop| tokio::spawn(trade.shops.clone().trade(shop))).collect();
        trade
    }

    /// From now on orders are placed there. A process that was started again listens elsewhere.
    pub(crate) fn at(&self, apis: &[&TestApp]) {
        *self.shops.apis.lock().unwrap() = apis.iter().map(|api| api.client.clone()).collect();
    }

    /// No more orders are placed; answers those that were, with the token each was placed with.
    pub(crate) async fn end(self) -> BTreeMap<String, String> {
        self.shops.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        std::mem::take(&mut *self.shops.placed.lock().unwrap())
    }
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

/// Each order ends as its token says, and the provider was asked for each step once. `sagas`: it knows the providers.
pub(crate) async fn until_ended(placed: &BTreeMap<String, String>, api: &TestApp, sagas: &TestApp) {
    let since = Instant::now();
    // A backlog takes its time, more of it beside a compiler.
    let at_last = AT_LAST + Duration::from_millis(50) * u32::try_from(placed.len()).unwrap();
    for (id, token) in placed {
        let mut seen = status(&api.client, id).await;
        while !matches!(seen["status"].as_str(), Some("COMPLETED" | "CANCELLED")) {
            assert!(since.elapsed() < at_last, "{id} ({token}) does not end: {seen}");
            seen = status(&api.client, id).await;
        }
        let wanted = if token == "tok_decline" { "CANCELLED" } else { "COMPLETED" };
        assert_eq!(seen["status"], wanted, "{seen}");
    }
    let mut ledgers = sagas.client.ledgers("payment").await;
    for (id, token) in placed {
        let wanted: &[&str] = if token == "tok_decline" { &[] } else { &["authorize", "capture"] };
        assert_eq!(ledgers.remove(id).unwrap_or_default(), wanted, "{id}: each once");
    }
}

/// How many slots each owner holds, and how many are free.
pub(crate) async fn slots(any: &TestApp, fleet: &Fleet) -> (Vec<usize>, usize) {
    let mut command = any.command(&["slots", "--json"]);
    let output = command.env("DATABASE_URL", fleet.env("DATABASE_URL")).output().await.unwrap();
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)));
    let owners = told["owners"].as_array().unwrap().iter();
    let mut held: Vec<usize> = owners.map(|owner| owner["slots"].as_array().unwrap().len()).collect();
    held.sort_unstable();
    (held, told["free"].as_array().unwrap().len())
}

pub(crate) async fn until_dealt(any: &TestApp, fleet: &Fleet, owners: usize, within: Duration) {
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
