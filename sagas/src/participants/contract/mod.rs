//! What every adapter of a participant's port must do: one suite for each port, run on each implementation.
//!
//! [`payment_contract!`](crate::payment_contract) and [`shipping_contract!`](crate::shipping_contract) make one test
//! of each sentence for a harness, which knows how to start the provider on a ledger file and how to look at it from
//! outside.

pub mod payment;
pub mod shipping;

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Amount, Entry, Kind, Mode, StepError};

/// Long enough for a busy machine; what ends sooner than this has been answered.
pub const PATIENT: Duration = Duration::from_secs(30);

/// For calls that are never answered.
pub const IMPATIENT: Duration = Duration::from_millis(1_500);

/// How a test of the suite ends, other than by a failed assertion.
pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A provider under test.
#[async_trait]
pub trait Harness: Sized + Send + Sync + 'static {
    /// The port, `dyn PaymentPort` or `dyn ShippingPort`.
    type Port: ?Sized + Send + Sync + 'static;

    /// Starts the provider on a ledger file; calls through its port are given up after `limit`; keys are forgotten after `keys`.
    async fn start_forgetting(ledger: &Path, limit: Duration, keys: Option<Duration>) -> Outcome<Self>;
    /// The same with keys that live as long as the ledger.
    async fn start(ledger: &Path, limit: Duration) -> Outcome<Self> {
        Self::start_forgetting(ledger, limit, None).await
    }
    /// The adapter.
    fn port(&self) -> Arc<Self::Port>;
    /// Every entry, as the world sees them.
    async fn entries(&self) -> Outcome<Vec<Entry>>;
    /// Changes the provider's mode.
    async fn control(&self, mode: Mode) -> Outcome;
    /// Stops the provider; the file is free when it returns.
    async fn stop(self) -> Outcome;
}

/// How long keys live where they are forgotten.
const SHORT: Duration = Duration::from_millis(1_200);

/// Until every key of now is forgotten.
async fn outlive_keys() {
    tokio::time::sleep(SHORT + Duration::from_millis(200)).await;
}

fn usd(minor: i64) -> Amount {
    Amount::new(minor, 2, "USD")
}

fn kinds(entries: &[Entry]) -> Vec<Kind> {
    entries.iter().map(|entry| entry.kind).collect()
}

/// The code of a refusal; anything else fails the test with what it was.
fn refusal<T: std::fmt::Debug>(answer: Result<T, StepError>) -> Outcome<String> {
    match answer {
        Err(StepError::Refused { code, .. }) => Ok(code),
        other => Err(format!("a refusal was due, not {other:?}").into()),
    }
}

fn is_unknown<T>(answer: &Result<T, StepError>) -> bool {
    matches!(answer, Err(StepError::Unknown { .. }))
}

fn is_retryable<T>(answer: &Result<T, StepError>) -> bool {
    matches!(answer, Err(StepError::Retryable { .. }))
}

/// What a crash in the midst of a write leaves behind.
fn tear(ledger: &Path) -> Outcome {
    let mut file = OpenOptions::new().append(true).open(ledger)?;
    file.write_all(b"{\"key\":\"torn\",\"fingerprint\":12,\"refer")?;
    Ok(())
}

/// Makes a test of each sentence of a suite, for one harness.
#[macro_export]
#[doc(hidden)]
macro_rules! contract_sentences {
    ($harness:ty, $suite:path: $($sentence:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() -> $crate::participants::contract::Outcome {
                use $suite as suite;
                let folder = tempfile::tempdir()?;
                suite::$sentence::<$harness>(&folder.path().join("ledger.jsonl")).await
            }
        )*
    };
}
