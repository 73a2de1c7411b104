//! The line to Waybill's APIs, whichever of them live: a request goes out again, under its key, until the answer is definite.
use crate::support::{app::TestApp, client::unique};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Until a request is tried again, at another API.
const PATIENCE: Duration = Duration::from_secs(4);
const BEFORE_AGAIN: Duration = Duration::from_millis(150);
/// A definite answer comes within this time, whatever happens.
const AT_LAST: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
struct Api {
    url: String,
    keys: Value,
}

#[derive(Clone)]
pub(super) struct Line {
    http: reqwest::Client,
    apis: Arc<Mutex<Vec<Api>>>,
    turn: Arc<AtomicUsize>,
}

/// A definite answer.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Told {
    pub(super) fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn is_definite(&self) -> bool {
        let in_flight = self.body["code"] == "idempotency_key_in_flight";
        !in_flight && !matches!(self.status, 408 | 503)
    }
}

impl Line {
    pub(super) fn new() -> Line {
        waybill::tls::install_crypto_provider();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Line { http, apis: Arc::default(), turn: Arc::default() }
    }

    /// From now on requests go there. A process that was started again listens elsewhere.
    pub(super) fn at<'a>(&self, apis: impl Iterator<Item = &'a TestApp>) {
        let api = |app: &TestApp| Api { url: app.client.url("http").to_owned(), keys: app.client.keys.clone() };
        *self.apis.lock().unwrap() = apis.map(api).collect();
    }

    fn request(&self, role: &str, method: Method, path: &str, patience: Duration) -> reqwest::RequestBuilder {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let apis = self.apis.lock().unwrap();
        let api = &apis[turn % apis.len()];
        let key = api.keys[role].as_str().expect("a key for each role");
        self.http.request(method, format!("{}{path}", api.url)).bearer_auth(key).timeout(patience)
    }

    /// `None`: there is no telling.
    async fn once(request: reqwest::RequestBuilder) -> Option<Told> {
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.json().await.ok()?;
        Some(Told { status, body }).filter(Told::is_definite)
    }

    async fn until_definite(&self, request: impl Fn() -> reqwest::RequestBuilder, what: &str) -> Told {
        let since = Instant::now();
        loop {
            if let Some(told) = Line::once(request()).await {
                return told;
            }
            assert!(since.elapsed() < AT_LAST, "{what} is not answered for {AT_LAST:?}");
            tokio::time::sleep(BEFORE_AGAIN).await;
        }
    }

    /// A POST under a key of its own.
    pub(super) async fn ask(&self, role: &str, path: &str, body: &Value) -> Told {
        let key = unique("key");
        let request = || self.request(role, Method::POST, path, PATIENCE).header("idempotency-key", &key).json(body);
        self.until_definite(request, path).await
    }

    pub(super) async fn set_location(&self, mode: &str) -> Told {
        let request =
            || self.request("warehouse", Method::PUT, "/v1/locations/main", PATIENCE).json(&json!({"mode": mode}));
        self.until_definite(request, "a location's mode").await
    }

    /// One look at an order, which waits a while for its end.
    pub(super) async fn look(&self, id: &str, wait: Duration) -> Option<Told> {
        let path = format!("/v1/orders/{id}?wait={}", wait.as_secs());
        Line::once(self.request("shop", Method::GET, &path, wait + PATIENCE)).await
    }

    /// One look at the read model, as an operator.
    pub(super) async fn read(&self, query: &str) -> Option<Value> {
        let request = self.request("operator", Method::POST, "/graphql", PATIENCE).json(&json!({"query": query}));
        let told = Line::once(request).await.filter(Told::is_done)?;
        told.body["errors"].is_null().then(|| told.body["data"].clone())
    }
}
