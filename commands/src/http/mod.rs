//! HTTP: from a request to a command, and from what came of it to an answer. One file a resource.
//!
//! Nothing here decides business: that is the domain's. Nothing is stored of a request that has a fault.
mod adjustments;
mod call;
mod cancel;
mod claimed;
mod edge;
mod fulfillments;
mod idempotency;
mod limit;
mod locations;
mod openapi;
mod operations;
mod orders;
mod people;
mod prefer;
mod problem;
mod receipts;
mod returns;
mod sagas;
mod schema;
mod standing;
#[cfg(test)]
mod tests;
mod validate;

use crate::{history::History, locations::LocationModes, outcomes::Outcomes};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use chrono::{DateTime, Utc};
use domain::OrderId;
use eventstore::{ApiKeys, EventStore, Fence, Position, Shops, Vault};
use limit::{Bounds, Limit};
use operations as op;
use problem::{Code, Problem};
use serde::Serialize;
use std::{borrow::Cow, fmt::Debug, ops::Deref, sync::Arc};
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

/// What the routes need of the rest.
#[derive(Clone, Debug)]
pub struct AppState {
    pub store: Arc<dyn EventStore>,
    pub vault: Arc<Vault>,
    pub keys: Arc<ApiKeys>,
    pub shops: Arc<Shops>,
    pub outcomes: Arc<Outcomes>,
    pub locations: Arc<LocationModes>,
    /// The time; `chrono::Utc::now`, but in tests.
    pub clock: fn() -> DateTime<Utc>,
    /// Stands in the metadata of every event.
    pub app_version: Cow<'static, str>,
    pub follower: Option<Arc<dyn Follower>>,
}

/// An order that was just placed here: its history as committed, and the command that did it.
#[derive(Clone, Debug)]
pub struct Placed {
    pub history: History,
    pub command_id: Uuid,
    pub trace_id: Option<String>,
    /// The lease under which its saga began in the same append, if it did.
    pub fence: Option<Fence>,
}

/// Told of what was committed through these routes, after the commit: whoever drives sagas in this process need not wait for the
/// feed, nor read an order that was just placed. The feed tells of it too; nothing hangs on this but speed. Must not block.
pub trait Follower: Send + Sync + Debug {
    /// Under which lease this process will drive the order that is about to be placed, if it will: then the saga begins in the same append.
    fn fence(&self, order: OrderId) -> Option<Fence>;
    fn placed(&self, placed: Placed);
    /// Something else was appended to an order: a cancel, a report of the warehouse, a retry.
    fn changed(&self, order: OrderId, position: Position);
}

/// The state, and what only this process knows.
#[derive(Debug)]
pub(crate) struct App {
    state: AppState,
    in_flight: Arc<idempotency::InFlight>,
}

impl App {
    fn changed(&self, order: OrderId, position: Position) {
        tracing::Span::current().record("position", position.0);
        if let Some(follower) = &self.follower {
            follower.changed(order, position);
        }
    }
}

impl Deref for App {
    type Target = AppState;
    fn deref(&self) -> &AppState {
        &self.state
    }
}

/// Every route under `/v1`, and `/openapi.json`. Health and metrics are the composition root's.
pub fn router(state: AppState) -> Router {
    let app = Arc::new(App { state, in_flight: Arc::default() });
    Router::new()
        .route(op::PLACE_ORDER.path, post(orders::place).get(orders::find))
        .route(op::READ_ORDER.path, get(orders::read))
        .route(op::CANCEL_ORDER.path, post(cancel::cancel))
        .route(op::SET_LOCATION.path, put(locations::set))
        .route(op::RECEIVE_STOCK.path, post(receipts::receive))
        .route(op::ADJUST_STOCK.path, post(adjustments::adjust))
        .route(op::PICK.path, post(fulfillments::pick))
        .route(op::PACK.path, post(fulfillments::pack))
        .route(op::SHIP.path, post(fulfillments::ship))
        .route(op::RETRY_SAGA.path, post(sagas::retry))
        .route(op::SKIP_SAGA.path, post(sagas::skip))
        .route(op::MARK_DONE_SAGA.path, post(sagas::mark_done))
        .route(op::COMPENSATE_SAGA.path, post(sagas::compensate))
        .route(op::PAUSE_SAGA.path, post(sagas::pause))
        .route(op::RESUME_SAGA.path, post(sagas::resume))
        .route(op::REQUEST_RETURN.path, post(returns::ask))
        .route(op::APPROVE_RETURN.path, post(returns::approve))
        .route(op::REJECT_RETURN.path, post(returns::reject))
        .route(op::CANCEL_RETURN.path, post(returns::cancel))
        .route(op::RECEIVE_RETURN.path, post(returns::receive))
        .route(op::INSPECT_RETURN.path, post(returns::inspect))
        .route(op::ERASE_CUSTOMER.path, post(people::erase))
        .route(op::READ_ERASURE.path, get(people::read))
        .route("/openapi.json", get(openapi::serve))
        .fallback(no_such_path)
        .method_not_allowed_fallback(not_this_method)
        .layer(middleware::from_fn_with_state(Arc::new(Limit::new(Bounds::default())), limit::limit))
        .layer(CatchPanicLayer::custom(edge::panicked))
        .layer(middleware::from_fn(edge::edge))
        .with_state(app)
}

/// Who has no key learns nothing of what is under `/v1`.
async fn unless_unknown(app: &App, uri: &Uri, headers: &HeaderMap, problem: Problem) -> Problem {
    if !uri.path().starts_with("/v1/") {
        return problem;
    }
    call::authenticate(app, headers).await.err().unwrap_or(problem)
}

async fn no_such_path(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Problem {
    unless_unknown(&app, &uri, &headers, Problem::not_found("nothing is served at this path")).await
}

async fn not_this_method(State(app): State<Arc<App>>, method: Method, uri: Uri, headers: HeaderMap) -> Problem {
    let detail = format!("{method} is not served at this path");
    unless_unknown(&app, &uri, &headers, Problem::new(Code::MethodNotAllowed, detail)).await
}

/// A success.
fn answer(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(body).map_err(Problem::internal)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((status, headers, body).into_response())
}

/// Says that the answer is to a request that was answered before.
fn replayed(mut response: Response) -> Response {
    response.headers_mut().insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
    response
}

/// The last part of `/v1/orders/{id}` and the like, and the one before it of `/v1/orders/{id}/cancel`.
fn id_in<T: std::str::FromStr>(uri: &Uri) -> Option<T> {
    uri.path().split('/').nth(3)?.parse().ok()
}
