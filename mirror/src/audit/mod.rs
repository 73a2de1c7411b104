//! The audit: compares Kafka with the store range after range, for ever, at low priority.
//!
//! It works a small share of its time, never beyond what the relay has reached, and writes nowhere. A pass goes from where it is told to the
//! head, and follows that; some time later the next one begins at the beginning, so that old records are looked at again, too. A fault is
//! told once a second look has found it as well, and is known until a later look at its range is clean.
mod known;
mod status;

pub use status::{AuditState, AuditStatus};

use crate::{
    ChainReport, KafkaConfig, MirrorError, Range, reached,
    verify::{Rests, verify_at_leisure},
};
use eventstore::{EventStore, Lives, Position};
use known::Known;
use status::Reporter;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A fault is looked at again after this: what was just changing hands is none.
const SECOND_LOOK_AFTER: Duration = Duration::from_secs(1);
/// While Kafka or the store is away.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// How hard it works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Positions that are looked at in one go; at least 1.
    pub range: i64,
    /// How much of its time it works, a little at a time: 1 is all of it.
    pub share: f64,
    /// At the head, how often it looks whether there is more.
    pub idle: Duration,
    /// From the end of a pass to the beginning of the next.
    pub between_passes: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (idle, between_passes) = (Duration::from_secs(10), Duration::from_secs(3_600));
        Pace { range: 10_000, share: 0.05, idle, between_passes }
    }
}

/// An audit; `spawn` sets it to work.
#[derive(Debug)]
pub struct Audit {
    store: Arc<dyn EventStore>,
    kafka: KafkaConfig,
    pace: Pace,
    stop: CancellationToken,
    reporter: Reporter,
    known: Known,
    lives: Option<Lives>,
    /// Up to here this pass has come.
    position: Position,
    passes: u64,
    /// What this pass has found trimmed away.
    trimmed: u64,
    /// When the pass was done; `None`: it is under way.
    done_at: Option<Instant>,
}

/// An audit at work. Dropping the handle leaves it at work until its token is cancelled.
#[derive(Debug)]
pub struct AuditHandle {
    status: watch::Receiver<AuditStatus>,
    task: JoinHandle<()>,
}

impl AuditHandle {
    pub fn status(&self) -> AuditStatus {
        self.status.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<AuditStatus> {
        self.status.clone()
    }

    /// Waits for its end, after its token was cancelled. It holds nothing that would need more time.
    pub async fn join(self) {
        // A task that was ended otherwise has ended, too.
        let _ = self.task.await;
    }
}

impl Audit {
    /// Looks at what comes after `from` first. Never gives up: it ends by `stop` alone.
    pub fn spawn(
        store: Arc<dyn EventStore>,
        kafka: KafkaConfig,
        pace: Pace,
        from: Position,
        stop: CancellationToken,
    ) -> AuditHandle {
        let pace = Pace { range: pace.range.max(1), ..pace };
        let reporter = Reporter::new(store.log(), from);
        let status = reporter.subscribe();
        let known = Known::default();
        let audit = Audit {
            store,
            kafka,
            pace,
            stop: stop.clone(),
            reporter,
            known,
            lives: None,
            position: from,
            passes: 0,
            trimmed: 0,
            done_at: None,
        };
        let task = tokio::spawn(async move {
            // Whatever it is at may be left: it only reads.
            stop.run_until_cancelled_owned(audit.run()).await;
        });
        AuditHandle { status, task }
    }

    async fn run(mut self) {
        let mut backoff = FIRST_BACKOFF;
        while !self.stop.is_cancelled() {
            let rest = match self.step().await {
                Ok(rest) => {
                    backoff = FIRST_BACKOFF;
                    rest
                }
                Err(error) => {
                    self.reporter.waiting(&error.to_string());
                    let pause = backoff;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    pause
                }
            };
            tokio::time::sleep(rest).await;
        }
    }

    /// Looks at the next range, if there is one, and rests for that. Answers how long to wait for more.
    async fn step(&mut self) -> Result<Duration, MirrorError> {
        let mut rests = Rests::begin(self.pace.share);
        self.follow_lives().await?;
        let reached = reached(&self.kafka, self.store.as_ref()).await?;
        self.position = self.position.min(reached);
        if self.position == reached {
            return Ok(self.at_the_head());
        }
        // Ranges begin at the same positions in every pass.
        let number = self.position.0 / self.pace.range;
        let upto = Position(((number + 1) * self.pace.range).min(reached.0));
        let range = Range { after: self.position, upto };
        let mut report = self.look(range, &mut rests).await?;
        if report.as_ref().is_some_and(|report| !report.is_whole()) {
            tokio::time::sleep(SECOND_LOOK_AFTER).await;
            report = self.look(range, &mut rests).await?;
        }
        // None: a new life has begun meanwhile, and it is looked at again.
        if let Some(report) = report {
            let afresh = range.after.0 == number * self.pace.range;
            let news = self.known.learn(number, afresh, report.broken);
            self.position = upto;
            self.trimmed += report.trimmed;
            self.reporter.looked(self.position, self.passes, &self.known, &news);
        }
        rests.rest().await;
        Ok(Duration::ZERO)
    }

    /// Ends the pass; begins the next one when it is time.
    fn at_the_head(&mut self) -> Duration {
        match self.done_at {
            None => {
                self.passes += 1;
                self.done_at = Some(Instant::now());
                self.reporter.trimmed(std::mem::take(&mut self.trimmed));
                self.reporter.passed(self.position, self.passes, &self.known);
            }
            Some(done_at) if done_at.elapsed() >= self.pace.between_passes && self.position > Position::ZERO => {
                self.position = Position::ZERO;
                self.done_at = None;
                return Duration::ZERO;
            }
            Some(_) => self.reporter.passed(self.position, self.passes, &self.known),
        }
        self.pace.idle.min(self.pace.between_passes)
    }

    /// `None`: what was found can't be relied on.
    async fn look(&self, range: Range, rests: &mut Rests) -> Result<Option<ChainReport>, MirrorError> {
        let report = verify_at_leisure(&self.kafka, self.store.as_ref(), range, rests).await?;
        let lives = self.store.lives().await?;
        Ok((self.lives.as_ref().map(Lives::current) == Some(lives.current())).then_some(report))
    }

    /// Where another life of the log has begun, it goes on from there.
    async fn follow_lives(&mut self) -> Result<(), MirrorError> {
        let lives = self.store.lives().await?;
        let known = self.lives.as_ref().map(Lives::current);
        if known.is_some_and(|known| known != lives.current()) {
            let begun = lives.all().iter().filter(|life| Some(life.incarnation) > known).map(|life| life.after).min();
            if let Some(shared) = begun {
                self.known.forget_from(shared.0 / self.pace.range);
                self.position = self.position.min(shared);
            }
        }
        self.lives = Some(lives);
        Ok(())
    }
}
