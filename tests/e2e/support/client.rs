//! Speaks to a running Waybill as shops, staff and the providers' owners do.
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

static NEXT: AtomicU64 = AtomicU64::new(1);

#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) run: Value,
    pub(crate) keys: Value,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new() -> Client {
        waybill::tls::install_crypto_provider();
        // A connection belongs to the runtime of the test that made it, so none is kept for the next.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        Client { http, ..Client::default() }
    }

    pub(crate) fn connect(run: &Value, keys: &Value) -> Client {
        Client { run: run.clone(), keys: keys.clone(), ..Client::new() }
    }

    pub(crate) fn url(&self, part: &str) -> &str {
        self.run[part].as_str().unwrap_or_else(|| panic!("run.json has no {part}: {}", self.run))
    }

    /// It takes orders, with all of its parts or without Kafka.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.url("http"))).send().await;
        match answer {
            Ok(answer) => answer.status() == StatusCode::OK,
            Err(_) => false,
        }
    }

    pub(crate) fn request(&self, role: &str, method: Method, path: &str) -> RequestBuilder {
        let key = self.keys[role].as_str().unwrap_or("none");
        self.http.request(method, format!("{}{path}", self.url("http"))).bearer_auth(key)
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.expect("a body");
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub(crate) async fn get(&self, role: &str, path: &str) -> Answer {
        self.send(self.request(role, Method::GET, path)).await
    }

    /// A POST under a fresh idempotency key.
    pub(crate) async fn post(&self, role: &str, path: &str, body: &Value) -> Answer {
        self.send(self.request(role, Method::POST, path).header("idempotency-key", unique("key")).json(body)).await
    }

    /// Places an order and waits for its end.
    pub(crate) async fn order_to_its_end(&self, body: &Value) -> Answer {
        let request = self.request("shop", Method::POST, "/v1/orders").header("prefer", "wait=30");
        self.send(request.header("idempotency-key", unique("key")).json(body)).await
    }

    pub(crate) async fn receive(&self, sku: &str, quantity: i64) {
        let reference = unique("receipt");
        let body = json!({"ref": reference, "location": "main", "lines": [{"sku": sku, "quantity": quantity}]});
        let answer = self.post("warehouse", "/v1/stock/receipts", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }

    /// The first of that name, whatever its labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        self.metrics(&[name]).await?.first().copied()
    }

    /// Several as they are at one moment.
    pub(crate) async fn metrics(&self, names: &[&str]) -> Option<Vec<f64>> {
        let answer = self.get("none", "/metrics").await;
        let lines = answer.body.as_str()?;
        let value = |name: &&str| lines.lines().find(|line| line.starts_with(name))?.rsplit_once(' ')?.1.parse().ok();
        names.iter().map(value).collect()
    }

    pub(crate) async fn graphql(&self, role: &str, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables});
        let answer = self.send(self.request(role, Method::POST, "/graphql").json(&body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert!(answer.body["errors"].is_null(), "{}", answer.body);
        answer.body["data"].clone()
    }

    /// The entries of a provider's ledger for one order, as `kind`s in order.
    pub(crate) async fn ledger(&self, provider: &str, order_id: &str) -> Vec<String> {
        self.ledgers(provider).await.remove(order_id).unwrap_or_default()
    }

    /// The same of all orders, by the order's id: where there are thousands, it is read once.
    pub(crate) async fn ledgers(&self, provider: &str) -> BTreeMap<String, Vec<String>> {
        let url = format!("{}/ledger", self.url(provider));
        let entries: Vec<Value> = self.http.get(url).send().await.expect("a ledger").json().await.expect("JSON");
        let mut ledgers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in entries {
            let text = |name: &str| entry[name].as_str().unwrap_or_else(|| panic!("{name}: {entry}")).to_owned();
            ledgers.entry(text("reference")).or_default().push(text("kind"));
        }
        ledgers
    }

    /// How many requests of each kind a provider has had, by its own count.
    pub(crate) async fn requests(&self, provider: &str) -> BTreeMap<String, u64> {
        let url = format!("{}/control", self.url(provider));
        let told: Value = self.http.get(url).send().await.expect("an answer").json().await.expect("JSON");
        serde_json::from_value(told["requests"].clone()).unwrap_or_else(|error| panic!("{error}: {told}"))
    }

    pub(crate) async fn control(&self, provider: &str, mode: Value) {
        let request = self.http.post(format!("{}/control", self.url(provider))).json(&mode);
        assert!(request.send().await.expect("an answer").status().is_success());
    }
}

/// A name that no other call gets.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An order of one line with this token; the SKU must be in stock.
pub(crate) fn order(sku: &str, quantity: i64, token: &str) -> Value {
    json!({
        "order_ref": unique("order"),
        "customer": {"ref": "c-1", "name": "Ada Example", "email": "ada@example.com"},
        "ship_to": {"name": "Ada Example", "line1": "1 Long Lane", "city": "Springfield", "postal_code": "12345", "country": "US"},
        "currency": "USD",
        "lines": [{"sku": sku, "quantity": quantity, "line_total": "9.80"}],
        "payment": {"method": "card", "token": token},
    })
}
