//! The switch on a simulated provider's side: how it behaves to every call from now on.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::fault::Fault;

/// Calls that a provider works on at once, those that hang included; more are turned away.
const MAX_CALLS: usize = 4096;

/// `slow` without a time waits so long.
const DEFAULT_SLOW: Duration = Duration::from_secs(1);

/// The body of `POST /control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Mode {
    /// As it should.
    #[default]
    Ok,
    /// Every call is turned away with 503 and does not act.
    Down,
    /// Every call waits first, `ms` milliseconds, one second when absent; then it is served as usual.
    Slow {
        /// Milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u32>,
    },
    /// No call is ever answered, and none acts.
    Hang,
    /// Every call that acts is never answered the first time; its repeats and all that only reads are.
    HangAfterActing,
}

/// The mode, the number of calls under way, and the end of it all.
#[derive(Debug)]
pub(super) struct Switch {
    mode: RwLock<Mode>,
    calls: Semaphore,
    /// All that ever asked, those that were turned away included.
    asked: AtomicU64,
    stopped: CancellationToken,
}

/// A call that was let in.
pub(super) struct Admitted<'a> {
    pub(super) hang_after_acting: bool,
    _permit: SemaphorePermit<'a>,
}

impl Switch {
    pub(super) fn new() -> Self {
        Self {
            mode: RwLock::default(),
            calls: Semaphore::new(MAX_CALLS),
            asked: AtomicU64::new(0),
            stopped: CancellationToken::new(),
        }
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.mode.write().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    pub(super) fn mode(&self) -> Mode {
        *self.mode.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls there were since the start, whatever became of them.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends whatever waits or hangs, with an answer of unknown outcome.
    pub(super) fn stop(&self) {
        self.stopped.cancel();
    }

    /// Lets a call in, or keeps it out, as the mode says.
    pub(super) async fn admit(&self) -> Result<Admitted<'_>, Fault> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.stopped.is_cancelled() {
            return Err(Fault::unavailable("the provider is stopping"));
        }
        let permit = self.calls.try_acquire().map_err(|_| Fault::unavailable("too many calls at once"))?;
        let mode = self.mode();
        match mode {
            Mode::Ok | Mode::HangAfterActing => {}
            Mode::Down => return Err(Fault::unavailable("the provider is down")),
            Mode::Slow { ms } => {
                let wait = ms.map_or(DEFAULT_SLOW, |ms| Duration::from_millis(ms.into()));
                self.unless_stopped(tokio::time::sleep(wait)).await?;
            }
            Mode::Hang => return Err(self.hang().await),
        }
        Ok(Admitted { hang_after_acting: mode == Mode::HangAfterActing, _permit: permit })
    }

    /// Never returns before the provider stops.
    pub(super) async fn hang(&self) -> Fault {
        self.stopped.cancelled().await;
        Fault::Failed("the provider stopped".to_owned())
    }

    /// Waits for `future`, but not longer than the provider runs.
    pub(super) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Fault> {
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => Err(Fault::Failed("the provider stopped".to_owned())),
            value = future => Ok(value),
        }
    }
}
