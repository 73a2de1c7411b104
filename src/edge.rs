//! What every request here has in common: its id, its span, how long it took; and what is no success, as RFC 9457 says it.
use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::{borrow::Cow, fmt::Display, time::Instant};
use tracing::{Instrument, field::Empty};
use uuid::Uuid;

/// The largest body that is taken.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// How much of a body that is not taken is read and dropped, so that the answer arrives.
pub(crate) const MAX_DROPPED: usize = 2 * 1024 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// An answer that is no success. It becomes one at the edge, where the request's path and id are known.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
}

impl Problem {
    fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Problem {
        Problem { status, code, title, detail: detail.into() }
    }

    pub(crate) fn unauthenticated(detail: &'static str) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "No key, or a wrong one", detail)
    }

    pub(crate) fn not_found(detail: String) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing here", detail)
    }

    fn method_not_allowed(detail: String) -> Problem {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Not with this method", detail)
    }

    pub(crate) fn body_too_large() -> Problem {
        let detail = "a query may have up to 1 MiB";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large", detail)
    }

    pub(crate) fn timeout() -> Problem {
        let detail = "the body took too long to arrive";
        Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "The body took too long", detail)
    }

    pub(crate) fn unsupported_media_type() -> Problem {
        let (status, detail) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json");
        Problem::new(status, "unsupported_media_type", "The body must be application/json", detail)
    }

    pub(crate) fn malformed_json(detail: String) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", "The body is no JSON", detail)
    }

    pub(crate) fn unavailable(detail: &'static str, cause: impl Display) -> Problem {
        tracing::warn!(%cause, "a request can't be served now");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now", detail)
    }

    pub(crate) fn internal(cause: impl Display) -> Problem {
        tracing::error!(%cause, "a request failed");
        let detail = "it is logged under this request's id";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "A fault of ours", detail)
    }

    fn respond(&self, instance: &str, request_id: &str) -> Response {
        let body = json!({
            "type": format!("urn:waybill:problem:{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            "request_id": request_id,
        });
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                // What was not read of it would be taken for the next request.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// Carried to the edge, where it becomes the answer.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

pub(crate) async fn edge(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = Uuid::now_v7().simple().to_string();
    let span = tracing::info_span!("request", request_id, shop_id = Empty);
    let route = request.extensions().get::<MatchedPath>().map_or("other".into(), |path| path.as_str().to_owned());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());

    let mut response = next.run(request).instrument(span).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.respond(&path, &request_id);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    if let Ok(id) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let method = match method {
        Method::GET => "GET",
        Method::POST => "POST",
        _ => "other",
    };
    let labels = [("method", method.to_owned()), ("route", route), ("status", response.status().as_str().to_owned())];
    metrics::histogram!("waybill_http_request_seconds", &labels).record(started.elapsed());
    response
}

/// Served at this path, but not with this method.
pub(crate) async fn not_this_method(method: Method) -> Problem {
    Problem::method_not_allowed(format!("{method} is not served at this path"))
}

/// Reads what is left of a body that nobody wants, so that the answer arrives.
pub(crate) async fn drop_body(body: Body) {
    // What is too long or breaks off is left alone: the connection is closed then.
    let _ = axum::body::to_bytes(body, MAX_DROPPED).await;
}
