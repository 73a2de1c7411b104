//! Payment and shipping: the ports through which a saga's step reaches them, and their adapters.
//!
//! Each participant has one port and two adapters: over HTTP ([`payment::HttpPayment`], [`shipping::HttpShipping`]) and in
//! process ([`payment::InProcessPayment`], [`shipping::InProcessShipping`]), which calls the reference simulator directly.
//!
//! Invariants:
//! - every call that acts carries an idempotency key; the same key and request never act twice;
//! - an answer is done, [`StepError::Refused`], [`StepError::Retryable`] or [`StepError::Unknown`]; whatever is not
//!   understood is unknown;
//! - an adapter sends a call once. Whether and when it is repeated is the runner's decision.
//!
//! May not touch: the event store, the domain. The types here are plain; the runner converts.

mod amount;
mod error;
pub mod payment;
pub mod shipping;

use std::time::Duration;

pub use amount::{Amount, AmountError};
pub use error::StepError;

/// How long one call to a participant may take, unless the settings say otherwise.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(5);
