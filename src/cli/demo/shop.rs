//! The shop of the demo: it places orders at a steady pace, and keeps its own books of what became of each.
use super::tell::Teller;
use crate::cli::client::Client;
use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{interval, sleep},
};

pub(super) const SKUS: [&str; 3] = ["demo-tea", "demo-pot", "demo-cup"];
/// What one order takes of a SKU at most.
pub(super) const MOST_PIECES: u32 = 3;
/// Orders whose end is waited for at once, a connection each.
const WATCHED: usize = 256;
/// Longer than any order takes when all is well.
const WAIT_SECONDS: u32 = 5;
/// A request is sent again for half a minute.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Told {
    pub(super) order_id: String,
    pub(super) order_ref: String,
    pub(super) status: String,
}

impl Told {
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "COMPLETED" | "CANCELLED")
    }
}

#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) told: Told,
    asked_at: Instant,
    ended_at: Option<Instant>,
}

impl Order {
    /// From the request to its end, as the shop sees it.
    pub(super) fn took(&self) -> Option<Duration> {
        self.ended_at.map(|ended| ended - self.asked_at)
    }
}

pub(super) struct Shop {
    client: Client,
    /// Of all names that this run gives.
    pub(super) run: String,
    state: Arc<State>,
    /// Each follows an order to its end; dropped with the shop.
    followers: Mutex<JoinSet<()>>,
}

struct State {
    orders: Mutex<BTreeMap<String, Order>>,
    watched: Semaphore,
    failed: Mutex<Option<anyhow::Error>>,
}

impl Shop {
    pub(super) fn new(client: Client, run: String) -> Shop {
        let state = State { orders: Mutex::default(), watched: Semaphore::new(WATCHED), failed: Mutex::default() };
        Shop { client, run, state: Arc::new(state), followers: Mutex::default() }
    }

    /// Places these orders, one each `every`; all of them are accepted then, and none waited for.
    pub(super) async fn trade(&self, numbers: std::ops::Range<usize>, every: Duration, tell: &Teller) -> Result<()> {
        let mut turns = interval(every);
        for number in numbers.clone() {
            turns.tick().await;
            self.place(number, "tok_ok");
            self.check(tell)?;
        }
        let is_placed = |shop: &Shop, number: usize| shop.order(&shop.reference(number)).is_some();
        let all_placed = |shop: &Shop| numbers.clone().all(|number| is_placed(shop, number));
        self.until("all are accepted", ACCEPTED_WITHIN, tell, all_placed).await
    }

    /// Places an order whose card behaves as the token says; what became of it stands in the books, under its reference.
    pub(super) fn place(&self, number: usize, token: &'static str) -> String {
        let (reference, client, state) = (self.reference(number), self.client.clone(), self.state.clone());
        let body = body(number, &reference, token);
        let follow = async move {
            if let Err(error) = follow(&client, &state, body).await {
                lock(&state.failed).get_or_insert(error);
            }
        };
        let mut followers = lock(&self.followers);
        while followers.try_join_next().is_some() {}
        followers.spawn(follow);
        reference
    }

    pub(super) fn reference(&self, number: usize) -> String {
        format!("demo-{}-{number}", self.run)
    }

    pub(super) fn order(&self, reference: &str) -> Option<Order> {
        lock(&self.state.orders).get(reference).cloned()
    }

    pub(super) fn all(&self) -> Vec<Order> {
        lock(&self.state.orders).values().cloned().collect()
    }

    /// The references of those that have not ended.
    pub(super) fn under_way(&self) -> Vec<String> {
        let orders = lock(&self.state.orders);
        orders.iter().filter(|(_, order)| order.ended_at.is_none()).map(|(reference, _)| reference.clone()).collect()
    }

    /// Fails as soon as anything has.
    fn check(&self, tell: &Teller) -> Result<()> {
        let placed = self.all().len();
        let under_way = self.under_way().len();
        tell.counts(placed, placed - under_way);
        match lock(&self.state.failed).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Waits until the books say so.
    pub(super) async fn until(
        &self,
        what: &str,
        within: Duration,
        tell: &Teller,
        holds: impl Fn(&Shop) -> bool,
    ) -> Result<()> {
        let since = Instant::now();
        while !holds(self) {
            self.check(tell)?;
            if since.elapsed() > within {
                bail!("{what}: not so after {} s; see `waybill sagas list`", within.as_secs());
            }
            sleep(LOOK).await;
        }
        self.check(tell)
    }

    pub(super) async fn until_placed(&self, reference: &str, within: Duration, tell: &Teller) -> Result<Order> {
        self.until(&format!("{reference} is placed"), within, tell, |shop| shop.order(reference).is_some()).await?;
        self.order(reference).context("the shop has lost an order")
    }

    /// Waits until all of these have ended.
    pub(super) async fn until_ended(&self, references: &[String], within: Duration, tell: &Teller) -> Result<()> {
        let has_ended =
            |shop: &Shop, reference: &String| shop.order(reference).is_some_and(|order| order.ended_at.is_some());
        let what = format!("all {} orders end", references.len());
        self.until(&what, within, tell, |shop| references.iter().all(|reference| has_ended(shop, reference))).await
    }
}

async fn follow(client: &Client, state: &State, body: serde_json::Value) -> Result<()> {
    let asked_at = Instant::now();
    let key = body["order_ref"].as_str().unwrap_or_default().to_owned();
    let build =
        |client: &Client| client.request(Method::POST, "/v1/orders").header("idempotency-key", &key).json(&body);
    let answer = client.send(build).await?;
    if !answer.status.is_success() {
        bail!("order {key} is refused: {} {}", answer.status, answer.problem().detail);
    }
    let mut told: Told = answer.json()?;
    let enter = |told: &Told| {
        let ended_at = told.has_ended().then(Instant::now);
        lock(&state.orders).insert(key.clone(), Order { told: told.clone(), asked_at, ended_at });
    };
    enter(&told);
    let _room = state.watched.acquire().await?;
    let path = format!("/v1/orders/{}?wait={WAIT_SECONDS}", told.order_id);
    while !told.has_ended() {
        let answer = client.send(|client| client.request(Method::GET, &path)).await?;
        if !answer.status.is_success() {
            bail!("order {key} can't be read: {} {}", answer.status, answer.problem().detail);
        }
        told = answer.json()?;
        enter(&told);
    }
    Ok(())
}

fn body(number: usize, reference: &str, token: &str) -> serde_json::Value {
    let (sku, quantity) = (SKUS[number % SKUS.len()], 1 + number % MOST_PIECES as usize);
    let mut lines = vec![json!({"sku": sku, "quantity": quantity, "line_total": format!("{}.50", 4 * quantity)})];
    if number.is_multiple_of(3) {
        let other = SKUS[(number + 1) % SKUS.len()];
        lines.push(json!({"sku": other, "quantity": 1, "line_total": "12.00"}));
    }
    json!({
        "order_ref": reference,
        "customer": {"ref": format!("demo-{}", number % 20), "name": "Dana Demo", "email": "dana@example.com"},
        "ship_to": {"name": "Dana Demo", "line1": "1 Example Street", "city": "Springfield", "postal_code": "12345", "country": "US"},
        "currency": "USD",
        "lines": lines,
        "payment": {"method": "card", "token": token},
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
