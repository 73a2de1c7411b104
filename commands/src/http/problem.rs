//! Every answer that is no success, in one place: RFC 9457, its code, and what domain and store errors come to over HTTP.
//!
//! A problem is made anywhere; `instance` and `request_id` are added at the edge, which also logs what is our own fault, once.
use super::validate::fault::Fault;
use crate::{
    handler::HandleError,
    history::{CommitError, HistoryError},
    personal::PersonalError,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use eventstore::{AppendError, ReadError, Refusal, vault::VaultError};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};

/// How long a client should wait before it tries again what can't be done now, in seconds.
const RETRY_AFTER: u32 = 1;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:ident, $code:literal, $title:literal;)+) => {
        /// What went wrong, as a client may branch on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum Code { $($(#[$doc])* $variant),+ }

        impl Code {
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status),+ }
            }
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Code::$variant => $code),+ }
            }
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title),+ }
            }
        }
    };
}

codes! {
    MalformedJson = BAD_REQUEST, "malformed_json", "The body is no JSON";
    KeyMissing = BAD_REQUEST, "idempotency_key_missing", "An Idempotency-Key is needed";
    Unauthenticated = UNAUTHORIZED, "unauthenticated", "No key, or a wrong one";
    Forbidden = FORBIDDEN, "forbidden", "This key's role may not do that";
    NotFound = NOT_FOUND, "not_found", "There is no such thing";
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "Not with this method";
    Timeout = REQUEST_TIMEOUT, "request_timeout", "The body took too long";
    KeyInFlight = CONFLICT, "idempotency_key_in_flight", "The first request with this key is under way";
    OrderRefTaken = CONFLICT, "order_ref_taken", "Another order has this ref";
    ReceiptRefTaken = CONFLICT, "receipt_ref_taken", "Another receipt has this ref";
    AdjustmentRefTaken = CONFLICT, "adjustment_ref_taken", "Another adjustment has this ref";
    AlreadyShipped = CONFLICT, "already_shipped", "The goods have left";
    NotAllowed = CONFLICT, "not_allowed", "Not in this state";
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be application/json";
    Invalid = UNPROCESSABLE_ENTITY, "invalid", "The request has faults";
    KeyReused = UNPROCESSABLE_ENTITY, "idempotency_key_reused", "This key was used for another request";
    Internal = INTERNAL_SERVER_ERROR, "internal", "A fault of ours";
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Not now";
}

/// An answer that is no success.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) errors: Vec<Fault>,
    /// Members besides the standard's.
    pub(crate) members: Vec<(&'static str, Value)>,
    retry_after: Option<u32>,
    /// What lies behind it, for our log only.
    cause: Option<Arc<str>>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { code, detail: detail.into(), errors: vec![], members: vec![], retry_after: None, cause: None }
    }

    pub(crate) fn invalid(errors: Vec<Fault>) -> Problem {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", if one.path.is_empty() { "the body" } else { &one.path }, one.message),
            several => format!("{} faults; nothing was stored", several.len()),
        };
        Problem { errors, ..Problem::new(Code::Invalid, detail) }
    }

    pub(crate) fn not_found(what: &'static str) -> Problem {
        Problem::new(Code::NotFound, what)
    }

    /// The state does not allow it; these are what it does allow.
    pub(crate) fn not_allowed(detail: impl Into<Cow<'static, str>>, supported: &[&str]) -> Problem {
        Problem::new(Code::NotAllowed, detail).with("supported_actions", supported.into())
    }

    pub(crate) fn key_reused() -> Problem {
        Problem::new(
            Code::KeyReused,
            "this Idempotency-Key was used with another body; take a new key for a new request",
        )
    }

    pub(crate) fn in_flight() -> Problem {
        let detail = "the first request with this Idempotency-Key is not done yet; ask again with the same key";
        Problem { retry_after: Some(RETRY_AFTER), ..Problem::new(Code::KeyInFlight, detail) }
    }

    pub(crate) fn unavailable(detail: impl Into<Cow<'static, str>>, cause: impl std::fmt::Display) -> Problem {
        let cause = Some(Arc::from(cause.to_string()));
        Problem { retry_after: Some(RETRY_AFTER), cause, ..Problem::new(Code::Unavailable, detail) }
    }

    pub(crate) fn internal(cause: impl std::fmt::Display) -> Problem {
        let cause = Some(Arc::from(cause.to_string()));
        Problem { cause, ..Problem::new(Code::Internal, "it is logged under this request's id") }
    }

    pub(crate) fn with(mut self, name: &'static str, value: Value) -> Problem {
        self.members.push((name, value));
        self
    }

    /// The answer, now that it is known what was asked for.
    pub(crate) fn respond(&self, instance: &str, request_id: &str) -> Response {
        if let Some(cause) = &self.cause {
            let (code, cause) = (self.code.name(), &**cause);
            match self.code {
                Code::Unavailable => tracing::warn!(code, cause, "a request can't be served now"),
                _ => tracing::error!(code, cause, "a request failed"),
            }
        }
        let body = serde_json::to_vec(&Body { problem: self, instance, request_id }).unwrap_or_default();
        let mut response = (self.code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.code == Code::BodyTooLarge {
            // What was not read of it would be taken for the next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

struct Body<'a> {
    problem: &'a Problem,
    instance: &'a str,
    request_id: &'a str,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Problem { code, detail, errors, members, .. } = self.problem;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("urn:waybill:problem:{}", code.name()))?;
        map.serialize_entry("title", code.title())?;
        map.serialize_entry("status", &code.status().as_u16())?;
        map.serialize_entry("detail", detail)?;
        map.serialize_entry("instance", self.instance)?;
        map.serialize_entry("code", code.name())?;
        map.serialize_entry("request_id", self.request_id)?;
        if !errors.is_empty() {
            map.serialize_entry("errors", errors)?;
        }
        for (name, value) in members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Carried to the edge, where it becomes the answer.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

const RETRY_SAME: &str = "nothing was lost: try again with the same Idempotency-Key";

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Problem {
        match error {
            ReadError::Unavailable(_) => Problem::unavailable("the event store can't be read now", error),
            ReadError::Corrupt(_) => Problem::internal(error),
        }
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Problem {
        match &error {
            AppendError::Unavailable(_) => Problem::unavailable(RETRY_SAME, error),
            AppendError::Unknown(_) => {
                let detail = "whether it was written is not known: ask again with the same Idempotency-Key, which does it at most once";
                Problem::unavailable(detail, error)
            }
            AppendError::Conflict { .. } | AppendError::Fenced { .. } => Problem::unavailable(
                "others were faster, again and again; try again with the same Idempotency-Key",
                error,
            ),
            AppendError::Refused(Refusal::BelowFloor { balance, delta, .. }) => {
                Problem::not_allowed(format!("only {balance} are free; {delta} would take what is reserved"), &[])
            }
            // Whoever makes claims answers for what a taken one means; no request moves a checkpoint.
            AppendError::Refused(Refusal::ClaimTaken(_))
            | AppendError::CheckpointMoved { .. }
            | AppendError::Invalid(_) => Problem::internal(error),
        }
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Problem {
        match error {
            HistoryError::Read(error) => error.into(),
            // Another process may be of that version.
            HistoryError::Undecodable { newer: true, .. } => {
                Problem::unavailable("only a newer version of Waybill can read this; start that one, or ask it", error)
            }
            error => Problem::internal(error),
        }
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Problem {
        match error {
            CommitError::Append(error) => error.into(),
            CommitError::History(error) => error.into(),
        }
    }
}

impl From<PersonalError> for Problem {
    fn from(error: PersonalError) -> Problem {
        match error {
            PersonalError::Vault(error) => error.into(),
            error => Problem::internal(error),
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Problem {
        match error {
            VaultError::Append(error) => error.into(),
            VaultError::Read(error) => error.into(),
            error => Problem::internal(error),
        }
    }
}

impl From<HandleError> for Problem {
    fn from(error: HandleError) -> Problem {
        match error {
            HandleError::KeyReused => Problem::key_reused(),
            HandleError::Read(error) => error.into(),
            HandleError::Commit(error) => error.into(),
        }
    }
}
