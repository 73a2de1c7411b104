//! The edge: what every request has in common. Its id and trace, its span, how long it took, and how a problem becomes an answer.
use super::{operations::route_label, problem::Problem};
use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{any::Any, time::Instant};
use tracing::{Instrument, field::Empty};
use uuid::Uuid;

/// The header that tells the id of a request; it stands in our logs and in every problem.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const TRACEPARENT: &str = "traceparent";

/// What a request is known by, for the metadata of what it causes.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// W3C trace id, 32 hex digits: the caller's, or else the request's own id.
    pub(crate) trace_id: String,
}

pub(crate) async fn edge(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = Uuid::now_v7().simple().to_string();
    let trace_id = trace_id(request.headers()).unwrap_or(&request_id).to_owned();
    let span =
        tracing::info_span!("request", request_id, trace_id, shop_id = Empty, order_id = Empty, position = Empty);
    let route = route_label(request.extensions().get::<MatchedPath>().map(MatchedPath::as_str));
    let (method, uri) = (request.method().clone(), request.uri().clone());
    request.extensions_mut().insert(Trace { trace_id });

    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = span.in_scope(|| problem.respond(uri.path(), &request_id));
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    if let Ok(id) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    record(&method, route, response.status(), started);
    let status = response.status().as_u16();
    span.in_scope(|| tracing::debug!(%method, route, status, elapsed = ?started.elapsed(), "answered"));
    response
}

fn record(method: &Method, route: &'static str, status: StatusCode, started: Instant) {
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    };
    let labels = [("method", method.into()), ("route", route.into()), ("status", status.as_str().to_owned())];
    metrics::histogram!("waybill_http_request_seconds", &labels).record(started.elapsed());
}

/// The trace id of a W3C `traceparent`: `00-` 32 hex digits `-` 16 hex digits `-` 2 hex digits.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut parts = headers.get(TRACEPARENT)?.to_str().ok()?.split('-');
    let (version, trace, parent, _flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let sound = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16);
    (sound && trace.bytes().any(|byte| byte != b'0')).then_some(trace)
}

/// A panic is a fault of ours, and an answer like any other.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let told = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    Problem::internal(format!("a panic: {}", told.unwrap_or("without words"))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_when_its_header_is_sound() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, HeaderValue::from_static(text));
            trace_id(&headers).map(str::to_owned)
        };
        let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(read(sound).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for text in [
            "",
            "00-1-2-3",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
