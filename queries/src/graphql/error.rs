//! Errors as clients see them: each has `extensions.code`.
use crate::projections::ProjectionError;
use async_graphql::{Error, ErrorExtensions, Response, ServerError};
use eventstore::ReadError;
use std::sync::Arc;
use tracing::error;

/// An error with its code.
pub fn coded(code: &str, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code))
}

/// A response that is this error and nothing else.
pub fn response(error: Error) -> Response {
    Response::from_errors(vec![error.into_server_error(Default::default())])
}

pub(super) fn bad_input(message: impl Into<String>) -> Error {
    coded("BAD_USER_INPUT", message)
}

pub(super) fn unavailable() -> Error {
    coded("UNAVAILABLE", "the read model can't be read now; try again")
}

/// What went wrong is for the log, not for the client.
pub(super) fn database(cause: &sqlx::Error) -> Error {
    error!(error = %cause, "the read model can't be read");
    unavailable()
}

/// As it comes from a loader, which tells it to all that waited.
pub(super) fn shared(cause: Arc<sqlx::Error>) -> Error {
    database(&cause)
}

/// The log, as the past and the timelines are told from it.
pub(super) fn unreadable(cause: &ReadError) -> Error {
    error!(error = %cause, "the event store can't be read");
    match cause {
        ReadError::Unavailable(_) => unavailable(),
        ReadError::Corrupt(_) => corrupt("events", &cause.to_string()),
    }
}

/// Events that this build can't make sense of.
pub(super) fn unfoldable(cause: &ProjectionError) -> Error {
    corrupt("events", &cause.to_string())
}

/// A row that this build can't make sense of.
pub(super) fn corrupt(what: &str, found: &str) -> Error {
    error!(what, found, "the read model holds a value that this build does not know");
    coded("INTERNAL", "the read model holds a value that this build does not know")
}

/// PostgreSQL can't hold U+0000 in a text.
pub(super) fn text(name: &str, value: Option<String>) -> Result<Option<String>, Error> {
    match value {
        Some(value) if value.contains('\0') => Err(bad_input(format!("{name} holds the character U+0000"))),
        value => Ok(value),
    }
}

/// What the library itself refuses (syntax, unknown fields, limits) is the client's fault as well.
pub(super) fn with_codes(mut response: Response) -> Response {
    for ServerError { extensions, .. } in &mut response.errors {
        let extensions = extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            extensions.set("code", "BAD_USER_INPUT");
        }
    }
    response
}
