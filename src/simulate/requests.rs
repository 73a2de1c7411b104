//! What a provider was asked, by its own count: every request under `/v1`, also those that it turned away. `GET /control` tells it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use sagas::participants::Mode;
use serde::Serialize;

/// What a request of this method to a path that begins so is called.
pub(super) type Names = &'static [(&'static str, &'static str, &'static str)];

/// Counts since the provider was started.
#[derive(Clone)]
struct Requests {
    names: Names,
    counts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    mode: Mode,
    requests: BTreeMap<&'static str, u64>,
}

/// These routes, counted; and the path that tells the counts beside the provider's mode.
pub(super) fn counted(routes: Router, names: Names, mode: impl Fn() -> Mode + Clone + Send + Sync + 'static) -> Router {
    let requests = Requests { names, counts: Arc::default() };
    let seen = requests.clone();
    let tell = move || async move { Json(Told { mode: mode(), requests: seen.lock().clone() }) };
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
