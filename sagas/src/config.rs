//! The runner's settings. Every wait, queue and count has its bound here.
use domain::saga::Retry;
use eventstore::SlotOwner;
use std::borrow::Cow;
use std::time::Duration;

/// Drivers beyond those that may stand before the gates.
const SPARE_DRIVERS: usize = 256;

/// How sagas are run.
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// Who holds the leases. One whose id is the same after a restart takes its own slots back at once; it must never run twice at a time.
    pub owner: SlotOwner,
    /// A dead owner's slots are free after this long. Renewed three times within it.
    pub lease_ttl: Duration,
    /// Sagas driven at the same time; the others queue.
    pub max_active: usize,
    /// Queued sagas whose history is kept in memory; of the others only the id.
    pub max_seeds: usize,
    /// Timers read at once at a start or a takeover; so many sagas may queue before the next page is read.
    pub page: usize,
    /// Events read at once from the feed.
    pub batch: usize,
    /// After each batch the feed is left alone for so long, so that under load it is read in large pieces. What was appended in this
    /// process is handed over and does not wait for it.
    pub feed_pause: Duration,
    /// Where goods lie.
    pub location: &'static str,
    pub retry: RetryPolicy,
    pub payment: GateConfig,
    pub shipping: GateConfig,
    /// Calls in flight may take so long to finish at a stop.
    pub stop_within: Duration,
    /// Calls in flight may take so long to finish before their slots are another's; shorter than what is left of a lease then.
    pub hand_over_within: Duration,
    /// Kept with every event.
    pub app_version: Cow<'static, str>,
    /// Makes jitter repeatable in tests.
    pub seed: Option<u64>,
}

impl RunnerConfig {
    /// Bounds for one ordinary process.
    pub fn new(owner: SlotOwner) -> RunnerConfig {
        RunnerConfig {
            app_version: owner.app_version.clone(),
            owner,
            lease_ttl: Duration::from_secs(6),
            max_active: 1024 + SPARE_DRIVERS,
            max_seeds: 4096,
            page: 10_000,
            batch: 512,
            feed_pause: Duration::from_millis(10),
            location: domain::location::MAIN,
            retry: RetryPolicy::default(),
            payment: GateConfig::default(),
            shipping: GateConfig::default(),
            stop_within: Duration::from_millis(2500),
            hand_over_within: Duration::from_millis(2500),
            seed: None,
        }
    }

    /// As many drivers as may stand before both gates, and some for the steps that need none of them: so a participant that is slow, or two,
    /// slow no other step.
    #[must_use]
    pub fn with_drivers_to_spare(mut self) -> RunnerConfig {
        let at_gates: usize =
            [&self.payment, &self.shipping].iter().map(|gate| gate.concurrency + gate.max_waiting).sum();
        self.max_active = self.max_active.max(at_gates + SPARE_DRIVERS);
        self
    }
}

/// How a call that got no definite answer is tried again, beside what the saga's own table says of the step.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Instead of what the table says, for every step.
    pub instead: Option<Retry>,
    /// A participant may ask for a longer wait than the cap, but not for a longer one than this.
    pub retry_after_cap: Duration,
    /// A step that would be without an answer for longer than this says so in the order's history (`StepRetrying`). A fault that
    /// passes at once leaves no trace there.
    pub visible_after: Duration,
    /// A wait up to this long is spent in memory; for a longer one the saga is put down, and taken up when its timer is due.
    pub hold: Duration,
}

impl RetryPolicy {
    /// No wait between two tries is longer.
    pub(crate) fn longest(&self) -> Duration {
        let cap = self.instead.unwrap_or(Retry::CALL).cap;
        cap.max(self.retry_after_cap + self.retry_after_cap / 10)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            instead: None,
            retry_after_cap: Duration::from_secs(300),
            visible_after: Duration::from_secs(1),
            hold: Duration::from_millis(1200),
        }
    }
}

/// What a participant is spared.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// Calls under way at the same time.
    pub concurrency: usize,
    /// Sagas that may wait for a call in memory; further ones are put down, so that a slow participant slows no other step.
    pub max_waiting: usize,
    /// Calls a second; no limit when absent.
    pub rate: Option<u32>,
    /// So many different sagas in a row without a definite answer open the breaker.
    pub failures: usize,
    /// How long it stays open the first time; doubled each time a probe fails.
    pub open_for: Duration,
    pub open_at_most: Duration,
    /// Calls let through at the same time to see whether the participant is back, and how many must be answered to close.
    pub probes: usize,
    /// Sagas a second that go on once it is back.
    pub drain: u32,
}

impl Default for GateConfig {
    fn default() -> Self {
        GateConfig {
            concurrency: 128,
            max_waiting: 384,
            rate: None,
            failures: 16,
            open_for: Duration::from_secs(1),
            open_at_most: Duration::from_secs(10),
            probes: 2,
            drain: 1000,
        }
    }
}
