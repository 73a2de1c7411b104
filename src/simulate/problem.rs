//! A simulator's faults as HTTP answers: one table, `application/problem+json`.

use axum::body::Bytes;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sagas::participants::Fault;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An answer other than done.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    retry_after_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { status, code: code.into(), detail: detail.into(), retry_after_seconds: None }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let detail = match &fault {
            Fault::Refused { message, .. } => message.clone(),
            other => other.to_string(),
        };
        match fault {
            Fault::Refused { code, .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail),
            Fault::InProgress => Self::new(StatusCode::CONFLICT, "key_in_use", detail),
            Fault::Unavailable { retry_after, .. } => Self {
                retry_after_seconds: retry_after.map(|wait| wait.as_secs()),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            },
            Fault::Failed(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            code: &self.code,
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

pub(super) async fn no_such_path() -> Problem {
    // Another code than a question's `not_found`: a wrong URL must not read as "nothing is known of this key".
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", "nothing is served here")
}

/// The request's idempotency key; every call that acts has one.
pub(super) fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let missing = || Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_missing", "an Idempotency-Key is required");
    let value = headers.get("idempotency-key").ok_or_else(missing)?;
    let invalid = "a key has 1 to 255 visible ASCII characters";
    let text = value.to_str().map_err(|_| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_key", invalid))?;
    Ok(text.to_owned())
}

/// The query of a look-up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    reference: String,
}

/// Whose things are asked for.
pub(super) fn reference(of: Result<Query<Of>, QueryRejection>) -> Result<String, Problem> {
    let Query(Of { reference }) = of.map_err(|error| Problem::malformed(error.body_text()))?;
    Ok(reference)
}

/// The request's body.
pub(super) fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::malformed(error.to_string()))
}
