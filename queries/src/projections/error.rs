//! Why a projection stopped. It stays where it is and tries again. What an event of one key causes parks that key; see `parked`.
use domain::DecodeError;
use eventstore::{FeedError, Incarnation, Position, ReadError, StreamId, Version};
use thiserror::Error;

/// Classes of SQLSTATE: a value that its column can't hold, a row that clashes with another one.
const OF_DATA: [&str; 2] = ["22", "23"];

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
    #[error(
        "{parked} keys are parked, and the event at position {position} would park one more: {cause}; so many mean that this program is \
         wrong, or too old"
    )]
    TooManyParked { parked: usize, position: Position, cause: String },
    #[error("the read model shows an order in the status {0}, which this build does not know")]
    UnknownStatus(String),
    #[error("the read model was made anew while it was verified: verify it again")]
    MadeAnew,
    #[error("{table}: {counts}")]
    MissingRows { table: String, counts: String },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("the read model's database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the read model's database gave no answer for {0} s")]
    Silent(u64),
}

impl ProjectionError {
    /// It may be the fault of one event alone: what its order came to can't be folded, or its rows can't be written.
    pub(super) fn may_be_of_one_event(&self) -> bool {
        match self {
            ProjectionError::Undecodable { .. }
            | ProjectionError::Orphan { .. }
            | ProjectionError::Unwritable { .. } => true,
            ProjectionError::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| OF_DATA.iter().any(|class| code.starts_with(class)))
            }
            _ => false,
        }
    }
}
