//! Turns the log into rows.
//!
//! ```text
//! feed ─▶ decode ─▶ fold each order's history on ─▶ coalesce to the last state of each row ─▶ one transaction: rows + checkpoint
//! ```
//!
//! Invariants:
//! - a row is a function of the history alone: no clock, no batch boundary, no order of arrival shows in it;
//! - the checkpoint moves with its rows or not at all, and only from the position before: two runners can't apply an event twice;
//! - an event that can't be read stops the runner where it is; nothing is skipped;
//! - rows of events that the log has lost (it was restored to an older state) stand still until they are made again.
mod batch;
mod builder;
mod error;
pub(crate) mod fulfillments;
mod history;
pub(crate) mod orders;
pub(crate) mod past;
mod recover;
mod replay;
mod runner;
pub(crate) mod sagas;
pub(crate) mod stock;
#[cfg(test)]
mod tests;
pub(crate) mod timeline;

pub use batch::ChangedOrder;
pub use error::ProjectionError;
pub use recover::{read_model_ahead, reset_read_model};
pub use replay::{Comparison, Difference, verify_projections};
pub use runner::{Handle, ProjectionObserver, Runner, RunnerState};

/// Raised when the same events make other rows: the read model is then built anew.
pub const VERSION: i32 = 1;
