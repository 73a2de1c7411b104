//! What an append or a read may answer besides success.
use crate::{Position, StreamId, Version};
use thiserror::Error;

#[derive(Clone, Debug, Error)]
pub enum AppendError {
    /// A version race: someone else wrote first. Load again, decide again.
    #[error("stream {stream} is at version {actual:?}, not {expected:?}")]
    Conflict { stream: StreamId, expected: Version, actual: Version },
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
