//! How commands reach a running server: its address, the key, and a client that outlasts a lost connection.
use crate::{config::Settings, embedded::data_dir};
use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use eventstore::Position;
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{self, HeaderMap},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a lost connection, or a server that says 503, is tried again.
pub const RETRY_FOR: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any `Prefer: wait` that we send.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// The keys of `DATA_DIR/dev-keys.json`, one a role.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
pub struct DevKeys {
    pub shop: String,
    pub warehouse: String,
    pub support: String,
    pub operator: String,
}

pub const DEV_KEYS: &str = "dev-keys.json";

impl DevKeys {
    pub fn read(settings: &Settings) -> Result<DevKeys> {
        let path = settings.data_dir.join(DEV_KEYS);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("there is no key: set WAYBILL_KEY, or start `waybill up` ({})", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} can't be read", path.display()))
    }
}

#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Client {
    /// Finds the server by `WAYBILL_HTTP_ADDR`, else by `DATA_DIR/run.json`; without `WAYBILL_KEY` takes the key that `pick` chooses.
    pub fn find(settings: &Settings, pick: fn(DevKeys) -> String) -> Result<Client> {
        let running = data_dir::read_run_json(&settings.data_dir)?.and_then(|run| run.http);
        let base = match running {
            Some(base) if !settings.http_addr_given => base,
            _ => format!("http://{}", settings.http_addr),
        };
        let key = match &settings.key {
            Some(key) => key.clone(),
            None => pick(DevKeys::read(settings)?),
        };
        Client::new(base, key)
    }

    /// To the server at `base`, with this key.
    pub fn new(base: String, key: String) -> Result<Client> {
        crate::tls::install_crypto_provider();
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .tcp_nodelay(true)
            .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Client { http, base, key })
    }

    /// The same server, with another key.
    pub fn with_key(&self, key: String) -> Client {
        Client { key, ..self.clone() }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }

    /// Sends what `build` makes until it is answered in full: a lost connection, 409 in flight, 429 and 503 are tried again for 30 s.
    /// Safe because every write of ours carries an idempotency key.
    pub async fn send(&self, build: impl Fn(&Client) -> RequestBuilder) -> Result<Answer> {
        let started = Instant::now();
        loop {
            let outcome = Answer::read(build(self)).await;
            let again = match &outcome {
                Ok(answer) => answer.asks_to_come_again(),
                Err(error) => !error.is_builder(),
            };
            if !again || started.elapsed() >= RETRY_FOR {
                return outcome.with_context(|| format!("no answer from {} for {} s", self.base, RETRY_FOR.as_secs()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends it once.
    pub async fn send_once(&self, request: RequestBuilder) -> Result<Answer> {
        let answer = Answer::read(request).await;
        answer.with_context(|| format!("{} does not answer: is `waybill up` running?", self.base))
    }

    /// What stands at `pointer` of the data that a query is answered with.
    pub async fn graphql<T: DeserializeOwned>(
        &self,
        query: &str,
        variables: Value,
        pointer: &str,
    ) -> Result<Reflected<T>> {
        let body = json!({"query": query, "variables": variables});
        let response = self.send_once(self.request(Method::POST, "/graphql").json(&body)).await?;
        let status = response.status;
        let position = response.position().unwrap_or_default();
        let answer: Value = response.json()?;
        if let Some(error) = answer["errors"].get(0) {
            bail!("{}", error["message"].as_str().unwrap_or("the query failed"));
        }
        if !status.is_success() {
            bail!("{} answers {status}: {}", self.base, answer["detail"].as_str().unwrap_or_default());
        }
        let data = answer["data"].pointer(pointer).cloned().unwrap_or(Value::Null);
        let data = serde_json::from_value(data).context("the answer has another shape than this build expects")?;
        Ok(Reflected { data, position })
    }

    /// Fails at once, in one line, when there is no server or the key is not good for `path`.
    pub async fn check(&self, path: &str) -> Result<()> {
        let answer = self.send_once(self.request(Method::GET, path)).await?;
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                bail!("{} refuses the key ({})", self.base, answer.status)
            }
            _ => Ok(()),
        }
    }
}

/// An answer of GraphQL, and the position that it reflects.
#[derive(Debug)]
pub struct Reflected<T> {
    pub data: T,
    pub position: Position,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    async fn read(request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }

    fn asks_to_come_again(&self) -> bool {
        let in_flight = self.status == StatusCode::CONFLICT && self.headers.contains_key(header::RETRY_AFTER);
        in_flight || matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The request was answered before.
    pub fn is_replay(&self) -> bool {
        self.headers.contains_key("idempotent-replayed")
    }

    /// The position that an answer of GraphQL reflects.
    pub fn position(&self) -> Option<Position> {
        self.headers.get(crate::graphql::POSITION)?.to_str().ok()?.parse().ok()
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).with_context(|| format!("an answer {} that is not understood", self.status))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What is wrong, as far as the answer says it.
    pub fn problem(&self) -> Problem {
        self.json().unwrap_or_default()
    }
}

/// An error answer, RFC 9457.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub code: String,
    pub detail: String,
    pub errors: Vec<Fault>,
    pub order_id: Option<String>,
    pub same_body: bool,
    /// What a saga can be asked for now.
    pub supported_actions: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, serde::Serialize)]
pub struct Fault {
    pub path: String,
    pub code: String,
    pub message: String,
}
