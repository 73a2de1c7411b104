//! What a participant's call can end with, other than done.

use std::time::Duration;

/// The three kinds of answer that are not "done". They decide what a saga may do next, so nothing else is told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The participant says no, for good: the same call will always be refused. It did not act.
    #[error("refused: {code}: {message}")]
    Refused {
        /// Stable and machine-readable, as `declined`.
        code: String,
        /// For people.
        message: String,
    },
    /// Nobody can say whether it acted: time ran out, the connection broke after sending, the key is in use, or the
    /// answer was not understood. Ask with `query`, or repeat the call with the same key, until the answer is
    /// definite.
    #[error("outcome unknown: {message}")]
    Unknown {
        /// For people.
        message: String,
    },
    /// It definitely did not act, and may do so later: not reached, or turned away with 429 or 503.
    #[error("not now: {message}")]
    Retryable {
        /// For people.
        message: String,
        /// How long the participant asks us to wait, when it says so.
        retry_after: Option<Duration>,
    },
}

impl StepError {
    /// A definite refusal.
    pub fn refused(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Refused { code: code.into(), message: message.into() }
    }

    /// An outcome that nobody can state.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::Unknown { message: message.into() }
    }

    /// A call that did not act, without a wish as to when to come back.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::Retryable { message: message.into(), retry_after: None }
    }
}
