//! What a provider was asked, by its own count: every request under `/v1`, also those that it turned away. `GET /control` tells it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use sagas::participants::Mode;
use serde::{Deserialize, Serialize};

/// What a request of this method to a path that begins so is called.
pub(super) type Names = &'static [(&'static str, &'static str, &'static str)];

/// Counts since the provider was started.
#[derive(Clone)]
struct Requests {
    names: Names,
    counts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

/// How a provider stands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Standing {
    #[serde(flatten)]
    pub(crate) mode: Mode,
    /// Under `/v1`, by kind, since it was started.
    pub(crate) requests: BTreeMap<String, u64>,
    /// Of its ledger.
    pub(crate) last_seq: u64,
}

impl Standing {
    /// All requests.
    pub(crate) fn calls(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// These routes, counted; and the path that tells the counts beside the provider's mode and its ledger's last entry.
pub(super) fn counted(
    routes: Router,
    names: Names,
    standing: impl Fn() -> (Mode, u64) + Clone + Send + Sync + 'static,
) -> Router {
    let requests = Requests { names, counts: Arc::default() };
    let seen = requests.clone();
    let tell = move || async move {
        let (mode, last_seq) = standing();
        let requests = seen.lock().iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Json(Standing { mode, requests, last_seq })
    };
    routes.layer(from_fn_with_state(requests, count)).route("/control", get(tell))
}

async fn count(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().as_str(), request.uri().path());
    let known = requests.names.iter().find(|(of, prefix, _)| *of == method && path.starts_with(prefix));
    if let Some((_, _, name)) = known {
        *requests.lock().entry(name).or_default() += 1;
    }
    next.run(request).await
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
