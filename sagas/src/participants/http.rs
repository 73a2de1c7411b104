//! Calls to a participant over HTTP: one pool of connections, one rule for what an answer means.
//!
//! | what happens | the answer is |
//! |---|---|
//! | 2xx with a body that is understood | done |
//! | 422 `application/problem+json` with a `code` | refused |
//! | not connected; 429; 503 | retryable: it did not act |
//! | 404 with code `not_found` to a question | done: there is none |
//! | anything else: time over, connection lost, 409 (key in use), other statuses, bodies that are not understood | unknown |
//!
//! A redirect is not followed and a call is never repeated here. Bodies are read up to a bound.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StepError;

/// A participant on this network answers the handshake sooner than this, or is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Connections kept open to one participant while nobody uses them.
const MAX_IDLE_CONNECTIONS: usize = 256;

/// Answers are small; a longer one is not understood.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Why a participant can't be called at all.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Not a URL with `http` or `https` and a host.
    #[error("not the URL of a participant: {0}")]
    Url(String),
    /// The client can't be set up.
    #[error("the HTTP client can't be set up")]
    Client(#[from] reqwest::Error),
}

/// The way to one participant.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client,
    base: Url,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    title: Option<String>,
}

impl Transport {
    pub(super) fn new(base: &str, limit: Duration) -> Result<Self, TransportError> {
        let url = Url::parse(base).map_err(|error| TransportError::Url(format!("{base}: {error}")))?;
        let Some(host) = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")) else {
            return Err(TransportError::Url(base.to_owned()));
        };
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Another thread may have been faster, with the same outcome.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut builder = Client::builder()
            .timeout(limit)
            .connect_timeout(CONNECT_LIMIT.min(limit))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS);
        if is_loopback(host) {
            builder = builder.no_proxy();
        }
        Ok(Self { client: builder.build()?, base: url })
    }

    /// The URL below the base; each segment is escaped.
    pub(super) fn endpoint(&self, segments: &[&str]) -> Result<Url, TransportError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| TransportError::Url(self.base.to_string()))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }

    /// A call that acts.
    pub(super) async fn act<A: DeserializeOwned>(
        &self,
        url: &Url,
        key: &str,
        body: &impl Serialize,
    ) -> Result<A, StepError> {
        let key =
            HeaderValue::from_str(key).map_err(|_| StepError::refused("invalid_key", "the key is no header value"))?;
        let body = serde_json::to_vec(body).map_err(|error| StepError::retryable(format!("not sent: {error}")))?;
        let request = self.client.post(url.clone()).header(IDEMPOTENCY_KEY, key).header(CONTENT_TYPE, JSON).body(body);
        match send(request).await? {
            Reply::Done(body) => understand(&body),
            Reply::Missing => Err(StepError::unknown(format!("{} is not there (404)", url.path()))),
        }
    }

    /// A question that an answer is owed to, with a query string.
    pub(super) async fn ask<A: DeserializeOwned>(&self, url: &Url, query: &impl Serialize) -> Result<A, StepError> {
        match send(self.client.get(url.clone()).query(query)).await? {
            Reply::Done(body) => understand(&body),
            Reply::Missing => Err(StepError::unknown(format!("{} is not there (404)", url.path()))),
        }
    }

    /// A question about what is there, which may be nothing.
    pub(super) async fn list<A: DeserializeOwned>(
        &self,
        url: &Url,
        query: &impl Serialize,
    ) -> Result<Vec<A>, StepError> {
        match self.ask(url, query).await {
            // A question is not refused: what it asks about may be there.
            Err(StepError::Refused { code, message }) => Err(StepError::unknown(format!("{code}: {message}"))),
            answer => answer,
        }
    }

    /// A question about one thing, which may not be there.
    pub(super) async fn find<A: DeserializeOwned>(&self, segments: &[&str]) -> Result<Option<A>, StepError> {
        let url = self.endpoint(segments).map_err(|error| StepError::retryable(error.to_string()))?;
        match send(self.client.get(url)).await {
            Ok(Reply::Done(body)) => understand(&body).map(Some),
            Ok(Reply::Missing) => Ok(None),
            // A question is not refused: the call that it asks about may have acted.
            Err(StepError::Refused { code, message }) => Err(StepError::unknown(format!("{code}: {message}"))),
            Err(error) => Err(error),
        }
    }
}

enum Reply {
    Done(Vec<u8>),
    Missing,
}

async fn send(request: RequestBuilder) -> Result<Reply, StepError> {
    let mut response = request.send().await.map_err(|error| not_answered(&error))?;
    let status = response.status();
    if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
        let retry_after = retry_after(&response);
        let message =
            body(&mut response).await.ok().and_then(|b| problem(&response, &b)).map_or_else(|| status.to_string(), say);
        return Err(StepError::Retryable { message, retry_after });
    }
    let body = body(&mut response).await?;
    if status.is_success() {
        return Ok(Reply::Done(body));
    }
    match (status, problem(&response, &body)) {
        (StatusCode::UNPROCESSABLE_ENTITY, Some(problem)) => {
            Err(StepError::Refused { code: problem.code.clone(), message: say(problem) })
        }
        (StatusCode::NOT_FOUND, Some(problem)) if problem.code == "not_found" => Ok(Reply::Missing),
        (_, Some(problem)) => Err(StepError::unknown(format!("{status}: {}", say(problem)))),
        (_, None) => Err(StepError::unknown(format!("answered {status}"))),
    }
}

fn not_answered(error: &reqwest::Error) -> StepError {
    let message = chain(error);
    // A request that can't be built or a connection that never was: nothing has been sent.
    if error.is_connect() || error.is_builder() { StepError::retryable(message) } else { StepError::unknown(message) }
}

async fn body(response: &mut Response) -> Result<Vec<u8>, StepError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| StepError::unknown(chain(&error)))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(StepError::unknown("the answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn understand<A: DeserializeOwned>(body: &[u8]) -> Result<A, StepError> {
    serde_json::from_slice(body).map_err(|error| StepError::unknown(format!("the answer is not understood: {error}")))
}

fn problem(response: &Response, body: &[u8]) -> Option<Problem> {
    let kind = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    if kind.starts_with("application/problem+json") { serde_json::from_slice(body).ok() } else { None }
}

fn say(problem: Problem) -> String {
    problem.detail.or(problem.title).unwrap_or(problem.code)
}

/// In seconds only; a date would need a clock that agrees with theirs.
fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
