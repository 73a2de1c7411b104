//! From a body to a GraphQL request.
use crate::edge::{MAX_BODY, MAX_DROPPED, Problem};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use queries::graphql::Request;
use std::time::Duration;
use tokio::time::timeout;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The body, if it is small enough and says that it is JSON.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let read = timeout(BODY_TIMEOUT, axum::body::to_bytes(body, MAX_DROPPED)).await;
    let bytes = match read {
        Ok(Ok(bytes)) if bytes.len() <= MAX_BODY => bytes,
        Ok(_) => return Err(Problem::body_too_large()),
        Err(_) => return Err(Problem::timeout()),
    };
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::unsupported_media_type());
    }
    Ok(bytes)
}

/// The request that it holds; the inner error is for the client of GraphQL, the outer one for that of HTTP.
pub(super) fn parse(json: &[u8]) -> Result<Result<Request, String>, Problem> {
    let value: serde_json::Value =
        serde_json::from_slice(json).map_err(|error| Problem::malformed_json(error.to_string()))?;
    if !value.is_object() {
        return Ok(Err("a request is one JSON object: {\"query\", \"variables\"?, \"operationName\"?}".to_owned()));
    }
    if value.get("query").is_none() {
        return Ok(Err("the request has no query".to_owned()));
    }
    Ok(serde_json::from_value(value).map_err(|error| format!("the request can't be read: {error}")))
}
