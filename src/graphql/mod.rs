//! GraphQL over HTTP: `POST /graphql` answers queries, `GET /graphql` is GraphiQL. What can be asked is decided in `queries`.
//!
//! A request needs a key, the page does not. With `Waybill-After: POSITION` a request waits until the read model has come so far;
//! `Waybill-Position` says which position an answer reflects.
mod page;
mod request;
#[cfg(test)]
mod tests;

use crate::edge::{self, Problem, drop_body};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use eventstore::{ApiKey, ApiKeys, Position};
use queries::graphql::{self as schema, GraphQl, Viewer};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// Which position an answer reflects.
pub const POSITION: HeaderName = HeaderName::from_static("waybill-position");
/// Which position an answer must have reached.
pub const AFTER: HeaderName = HeaderName::from_static("waybill-after");
/// How long a request waits for the read model.
const WAIT: Duration = Duration::from_secs(5);
/// How long a query may take.
const EXECUTION: Duration = Duration::from_secs(30);

struct Api {
    graphql: GraphQl,
    applied: watch::Receiver<Position>,
    keys: Arc<ApiKeys>,
}

/// `/graphql` and what its page needs. `applied` is the position that the committed rows reflect.
pub fn router(graphql: GraphQl, applied: watch::Receiver<Position>, keys: Arc<ApiKeys>) -> Router {
    let api = Arc::new(Api { graphql, applied, keys });
    Router::new()
        .route("/graphql", get(page::index).post(answer))
        .route("/graphql/assets/graphiql.js", get(page::script))
        .route("/graphql/assets/graphiql.css", get(page::style))
        .route("/graphql/assets/LICENCES.txt", get(page::licences))
        .method_not_allowed_fallback(edge::not_this_method)
        .layer(middleware::from_fn(edge::edge))
        .with_state(api)
}

/// Checked in the contract's order: the key, the body's size, its type, its JSON.
async fn answer(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let key = match authenticate(&api.keys, &parts.headers).await {
        Ok(key) => key,
        Err(problem) => {
            drop_body(body).await;
            return Err(problem);
        }
    };
    if let Some(shop) = &key.shop {
        tracing::Span::current().record("shop_id", shop);
    }
    let (response, position) = respond(&api, &key, &parts.headers, body).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (POSITION, HeaderValue::from(position.0)),
    ];
    let body = serde_json::to_vec(&response).map_err(Problem::internal)?;
    Ok((headers, body).into_response())
}

async fn respond(
    api: &Api,
    key: &ApiKey,
    headers: &HeaderMap,
    body: Body,
) -> Result<(schema::Response, Position), Problem> {
    let json = request::read(headers, body).await?;
    let reached = || *api.applied.borrow();
    let request = match request::parse(&json)? {
        Ok(request) => request,
        Err(why) => return Ok((bad_input(&why), reached())),
    };
    if let Some(after) = headers.get(AFTER) {
        let Some(wanted) = after.to_str().ok().and_then(position) else {
            return Ok((bad_input("Waybill-After is no position: a decimal string such as 123"), reached()));
        };
        if !reaches(&api.applied, wanted).await {
            return Ok((not_reached(wanted, reached()), reached()));
        }
    }
    match timeout(EXECUTION, api.graphql.execute(request, Viewer::from(key))).await {
        Ok((response, position)) => Ok((response, position.unwrap_or_else(reached))),
        Err(_) => {
            let error = schema::coded("TIMEOUT", format!("the query took longer than {} s", EXECUTION.as_secs()));
            Ok((schema::error_response(error), reached()))
        }
    }
}

async fn authenticate(keys: &ApiKeys, headers: &HeaderMap) -> Result<Arc<ApiKey>, Problem> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let Some(bearer) = bearer else {
        return Err(Problem::unauthenticated("send a key: Authorization: Bearer KEY"));
    };
    match keys.authenticate(bearer).await {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err(Problem::unauthenticated("this key is unknown or revoked")),
        Err(error) => Err(Problem::unavailable("keys can't be looked up now", error)),
    }
}

/// A decimal string, digits only.
fn position(text: &str) -> Option<Position> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().map(Position)
}

/// Waits, but not for ever.
async fn reaches(applied: &watch::Receiver<Position>, wanted: Position) -> bool {
    let mut applied = applied.clone();
    // Without a projection in this process any more it never will.
    matches!(timeout(WAIT, applied.wait_for(|applied| *applied >= wanted)).await, Ok(Ok(_)))
}

fn bad_input(why: &str) -> schema::Response {
    schema::error_response(schema::coded("BAD_USER_INPUT", why))
}

fn not_reached(wanted: Position, reached: Position) -> schema::Response {
    use async_graphql::ErrorExtensions;
    let message = format!("the read model has come to position {reached}, not yet to {wanted}");
    let error = schema::coded("POSITION_NOT_REACHED", message).extend_with(|_, extensions| {
        extensions.set("wanted", wanted.to_string());
        extensions.set("reached", reached.to_string());
    });
    schema::error_response(error)
}
