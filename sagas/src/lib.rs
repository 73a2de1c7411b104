//! Sagas: what drives an order from placed to completed, or back to clean.
//!
//! The rules are the domain's (`domain::fulfillment`, a pure machine); this crate performs its actions and appends what comes of
//! them. [`Runner`] owns slots by leases, hears of orders, and drives each saga in a task of its own; `participants` are the ports
//! to payment and shipping. Invariants:
//! - nothing is written but through the store's append, with the slot's epoch and the exact versions of all the order's streams;
//! - a call has a key that stays the same until its answer is definite; without one nothing is assumed and nothing undone;
//! - every wait, queue, retry and number of calls has a bound (`config`); a saga that can't go on is seen, never dropped.
//!
//! It may not know: SQL, HTTP servers, projections.
mod batches;
mod breaker;
mod call;
mod commit;
pub mod config;
mod deal;
mod driver;
pub mod erasure;
mod gather;
mod job;
mod limits;
mod live;
mod lookup;
mod metrics;
pub mod participants;
mod perform;
pub mod ports;
mod retry;
mod runner;
mod slots;
mod tail;
#[cfg(test)]
mod tests;
mod time;
mod timers;
mod waiting;

pub use config::{GateConfig, RetryPolicy, RunnerConfig};
pub use erasure::{Destroyed, ErasureDeps, ErasureRecord};
pub use job::Cause;
pub use ports::{Clock, LocationError, Locations, SecretError, Secrets, ShipTo, SystemClock};
pub use runner::{Deps, Runner, RunnerHandle, RunnerStatus};
