//! `GET /ledger`, `GET /control` and `POST /control`, the same for every provider.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use sagas::participants::payment::PaymentSimulator;
use sagas::participants::shipping::ShippingSimulator;
use sagas::participants::{Entry, Fault, Mode};
use serde::{Deserialize, Serialize};

use super::problem::{Problem, parse};

/// Entries that are held at once while a ledger is sent.
const PAGE: usize = 1_000;

/// How a provider stands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Standing {
    #[serde(flatten)]
    pub(crate) mode: Mode,
    /// Under `/v1`, since it was started; those that it turned away included.
    pub(crate) calls: u64,
    /// Of its ledger.
    pub(crate) last_seq: u64,
}

/// A provider whose ledger can be read and whose mode can be set.
pub(super) trait Observed: Clone + Send + Sync + 'static {
    fn last_seq(&self) -> u64;
    fn entries(&self, after: u64, limit: usize) -> impl Future<Output = Result<Vec<Entry>, Fault>> + Send;
    fn control(&self, mode: Mode);
    fn state(&self) -> Standing;
}

macro_rules! observed {
    ($simulator:ty) => {
        impl Observed for $simulator {
            fn last_seq(&self) -> u64 {
                Self::last_seq(self)
            }

            fn entries(&self, after: u64, limit: usize) -> impl Future<Output = Result<Vec<Entry>, Fault>> + Send {
                Self::entries(self, after, limit)
            }

            fn control(&self, mode: Mode) {
                Self::control(self, mode);
            }

            fn state(&self) -> Standing {
                Standing { mode: self.mode(), calls: self.asked(), last_seq: Self::last_seq(self) }
            }
        }
    };
}

observed!(PaymentSimulator);
observed!(ShippingSimulator);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    #[serde(default)]
    after: u64,
    limit: Option<u64>,
}

/// What was in the ledger when the request came, page by page.
pub(super) async fn read<P: Observed>(
    State(provider): State<P>,
    window: Result<Query<Window>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(window) = window.map_err(|error| Problem::malformed(error.body_text()))?;
    let until = provider.last_seq().min(window.after.saturating_add(window.limit.unwrap_or(u64::MAX)));
    let mut sending = Sending { provider, after: window.after, until, state: At::Start };
    // The first page is read before the status is sent, so that a ledger that can't be read is an error and no list.
    let first = sending.next().await?;
    let rest = stream::try_unfold(sending, |mut sending| async move {
        // On a fault the body breaks off: whoever reads it sees an unfinished array, not a short one.
        Ok::<_, Fault>(sending.next().await?.map(|chunk| (chunk, sending)))
    });
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(rest));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

#[derive(PartialEq)]
enum At {
    Start,
    Midst,
    End,
}

/// A JSON array on its way out.
struct Sending<P> {
    provider: P,
    after: u64,
    until: u64,
    state: At,
}

impl<P: Observed> Sending<P> {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.state == At::End {
            return Ok(None);
        }
        let left = usize::try_from(self.until.saturating_sub(self.after)).unwrap_or(usize::MAX);
        let entries = self.provider.entries(self.after, left.min(PAGE)).await?;
        let mut chunk = Vec::with_capacity(2 + entries.len() * 256);
        if self.state == At::Start {
            chunk.push(b'[');
        }
        for (n, entry) in entries.iter().enumerate() {
            if n > 0 || self.state == At::Midst {
                chunk.extend_from_slice(b",\n");
            }
            serde_json::to_writer(&mut chunk, entry).map_err(|error| Fault::Failed(error.to_string()))?;
            self.after = entry.seq;
        }
        self.state = At::Midst;
        if entries.is_empty() || self.after >= self.until {
            chunk.push(b']');
            self.state = At::End;
        }
        Ok(Some(Bytes::from(chunk)))
    }
}

pub(super) async fn control<P: Observed>(State(provider): State<P>, body: Bytes) -> Result<Json<Mode>, Problem> {
    let mode = parse(&body)?;
    provider.control(mode);
    Ok(Json(mode))
}

pub(super) async fn state<P: Observed>(State(provider): State<P>) -> Json<Standing> {
    Json(provider.state())
}
