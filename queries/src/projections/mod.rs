//! Turns the log into rows.
//!
//! ```text
//! feed ─▶ decode ─▶ fold each order's history on ─▶ coalesce to the last state of each row ─▶ one transaction: rows + checkpoint
//! ```
//!
//! Invariants:
//! - a row is a function of the history alone: no clock, no batch boundary, no order of arrival shows in it;
//! - the checkpoint moves with its rows or not at all, and only from the position before, by whoever took over last: of several runners
//!   one drives, the others stand by;
//! - an event that can't be taken in parks its key, in the same transaction: the key's later events are held back, all other keys go on.
//!   Nothing is skipped but by a person who says why;
//! - rows of events that the log has lost (it was restored to an older state) stand still until they are made again.
mod audit;
mod auditor;
mod batch;
mod builder;
mod connection;
mod error;
pub(crate) mod fulfillments;
mod history;
pub(crate) mod orders;
mod pace;
pub(crate) mod parked;
pub(crate) mod past;
mod raise;
mod recover;
mod replay;
pub(crate) mod requests;
pub(crate) mod returns;
mod runner;
pub(crate) mod sagas;
mod settle;
mod standby;
pub(crate) mod stock;
mod survey;
#[cfg(test)]
mod tests;
mod watch;
mod write;

pub use audit::{OrderAudit, RangeComparison, verify_orders};
pub use auditor::{AuditPace, AuditVerdict, audit_rows};
pub use batch::ChangedOrder;
pub(crate) use batch::{Decoded, Rows};
pub use error::ProjectionError;
pub use parked::{MAX_PARKED, Parked};
pub use recover::{read_model_ahead, reset_read_model};
pub use replay::{Comparison, Difference, verify_projections};
pub use requests::{Outcome, ParkedKey, ParkedKeys, Verb};
pub use runner::{Handle, ProjectionObserver, Runner, RunnerState};
pub use survey::survey_sagas;
pub use watch::{Awaited, Watch};

/// Raised when the same events make other rows. Whoever takes over rows of an earlier version makes anew what differs: see `raise`, which has
/// to know it.
pub const VERSION: i32 = 4;
