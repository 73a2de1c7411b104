//! How a simulated provider fails, before an adapter turns it into a [`StepError`] or an HTTP status.

use std::time::Duration;

use super::StepError;

/// Why a simulator's call is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A definite no.
    #[error("{code}: {message}")]
    Refused {
        /// Stable and machine-readable.
        code: String,
        /// For people.
        message: String,
    },
    /// Another call with the same key is running.
    #[error("the key is in use by a call that is still running")]
    InProgress,
    /// Turned away; it did not act.
    #[error("{message}")]
    Unavailable {
        /// For people.
        message: String,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// It broke while acting; nobody knows.
    #[error("{0}")]
    Failed(String),
}

impl Fault {
    pub(super) fn refused(code: &str, message: &str) -> Self {
        Self::Refused { code: code.to_owned(), message: message.to_owned() }
    }

    pub(super) fn unavailable(message: &str) -> Self {
        Self::Unavailable { message: message.to_owned(), retry_after: Some(Duration::from_secs(1)) }
    }
}

impl From<Fault> for StepError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused { code, message } => Self::Refused { code, message },
            Fault::InProgress => Self::unknown("the key is in use by a call that is still running"),
            Fault::Unavailable { message, retry_after } => Self::Retryable { message, retry_after },
            Fault::Failed(message) => Self::Unknown { message },
        }
    }
}
