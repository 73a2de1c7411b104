//! What an append or a read may answer besides success.
use crate::{Incarnation, Position, StreamId, Version};
use thiserror::Error;

#[derive(Clone, Debug, Error)]
pub enum AppendError {
    /// A version race: someone else wrote first. Load again, decide again.
    #[error("stream {stream} is at version {actual:?}, not {expected:?}")]
    Conflict { stream: StreamId, expected: Version, actual: Version },
    /// A race of readers: someone else has moved the checkpoint. Who wanted to move it no longer speaks for that reader.
    #[error("checkpoint {name} is {}, not {}", place(actual), place(expected))]
    CheckpointMoved { name: String, expected: Option<(Incarnation, Position)>, actual: Option<(Incarnation, Position)> },
    /// The business says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The owner's lease is gone: stop driving this slot.
    #[error("the lease of slot {slot} is held under another epoch")]
    Fenced { slot: u8 },
    /// The append can never succeed as it is.
    #[error("the append is malformed: {0}")]
    Invalid(String),
    /// Nothing was written, for now: try again later.
    #[error("the event store can't take appends now: {0}")]
    Unavailable(String),
    /// It may have been written: ask again with the same command id.
    #[error("the outcome of the append is unknown: {0}")]
    Unknown(String),
}

impl AppendError {
    /// Whether what stands in the way may be this very append, written before.
    pub(crate) fn may_be_its_own(&self) -> bool {
        matches!(
            self,
            AppendError::Conflict { .. }
                | AppendError::CheckpointMoved { .. }
                | AppendError::Refused(Refusal::ClaimTaken(_))
        )
    }
}

fn place(at: &Option<(Incarnation, Position)>) -> String {
    match at {
        Some((incarnation, position)) => format!("at {}:{position}", incarnation.0),
        None => "nowhere".into(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("{}:{} is taken by {}", .0.scope, .0.key, .0.holder)]
    ClaimTaken(TakenClaim),
    /// `balance` is what the account held before this append.
    #[error("{account} holds {balance}, {delta} would take it below its floor")]
    BelowFloor { account: String, balance: i64, delta: i64 },
}

/// The claim that stands in the way, as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenClaim {
    pub scope: String,
    pub key: String,
    pub holder: String,
    pub fingerprint: Option<[u8; 32]>,
    /// The last position of the append that made it.
    pub position: Position,
}

#[derive(Clone, Debug, Error)]
pub enum ReadError {
    #[error("the event store can't be read now: {0}")]
    Unavailable(String),
    #[error("what the event store holds can't be read: {0}")]
    Corrupt(String),
}
