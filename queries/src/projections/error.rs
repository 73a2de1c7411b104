//! Why a projection stopped. It stays where it is and tries again: nothing is ever skipped.
use domain::DecodeError;
use eventstore::{FeedError, Incarnation, Position, ReadError, StreamId, Version};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ProjectionError {
    #[error("the event at position {position}, version {} of stream {stream}, can't be read: {source}", .version.0)]
    Undecodable { stream: StreamId, version: Version, position: Position, source: DecodeError<serde_json::Error> },
    #[error("the event at position {position} belongs to an order that was never placed")]
    Orphan { position: Position },
    #[error("the rows of the order at position {position} can't be written as JSON: {source}")]
    Unwritable { position: Position, source: serde_json::Error },
    #[error("after position {after} the log goes on at {found}: positions must be dense")]
    Gap { after: Position, found: Position },
    #[error(
        "the read model is at position {checkpoint}, the log only at {head}: the log was restored to an older state, and the read \
         model has to be built again: `waybill recover` does it"
    )]
    AheadOfLog { checkpoint: Position, head: Position },
    #[error(
        "the read model is at position {checkpoint} of incarnation {}, which the log has lost: the read model has to be built again: \
         `waybill recover` does it", .incarnation.0
    )]
    Abandoned { incarnation: Incarnation, checkpoint: Position },
    #[error("the read model was built by version {found} of the projections, this build has version {ours}")]
    OtherVersion { found: i32, ours: i32 },
    #[error("someone else moved the read model on from position {from}")]
    Overtaken { from: Position },
    #[error("{rows} rows of {table} were to be updated, {found} were there")]
    MissingRows { table: &'static str, rows: usize, found: u64 },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("the read model's database: {0}")]
    Database(#[from] sqlx::Error),
}
