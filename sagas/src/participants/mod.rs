//! Payment and shipping: the ports through which a saga's step reaches them, and their adapters.
//!
//! Each participant has one port and two adapters: over HTTP ([`payment::HttpPayment`], [`shipping::HttpShipping`])
//! and in process ([`payment::InProcessPayment`], [`shipping::InProcessShipping`]), which calls the reference
//! simulator directly.
//!
//! Invariants:
//! - every call that acts carries an idempotency key; the same key and request never act twice;
//! - an answer is done, [`StepError::Refused`], [`StepError::Retryable`] or [`StepError::Unknown`]; whatever is not
//!   understood is unknown;
//! - an adapter sends a call once. Whether and when it is repeated is the runner's decision.
//!
//! May not touch: the event store, the domain. The types here are plain; the runner converts.

mod amount;
#[cfg(any(test, feature = "contract-tests"))]
pub mod contract;
mod error;
mod fault;
mod forget;
mod http;
#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod in_process_tests;
mod ledger;
pub mod payment;
pub mod shipping;
mod switch;

use std::future::Future;
use std::time::Duration;

pub use amount::{Amount, AmountError};
pub use error::StepError;
pub use fault::Fault;
pub use forget::{ForgetRequest, Forgotten, MAX_REFERENCES};
pub use http::TransportError;
pub use ledger::{Entry, Kind, Lasts, OpenError};
pub use switch::Mode;

/// How long one call to a participant may take, unless the settings say otherwise.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(5);

/// A simulator's answer, or unknown when it takes longer than `limit`.
async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Fault>> + Send) -> Result<T, StepError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(StepError::from),
        Err(_) => Err(StepError::unknown(format!("no answer within {limit:?}"))),
    }
}
