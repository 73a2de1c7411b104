//! Group commit: who waits, who is in the batch.
//!
//! Appends of this instance gather in one bounded queue; one task takes what waits and has it written as one batch, one at a time.
//! Invariants:
//! - no stream, checkpoint, timer or vault subject is in two members of a batch, unless both only read it; whoever comes second waits,
//!   and nobody overtakes on a stream;
//! - an answer is given after the commit, and to each member its own;
//! - a fault that the database finds in a batch is narrowed down by halves to the member that has it;
//! - a connection lost under way is settled before anything else is written: each member is looked for by its command id;
//! - what waits and what is under way is bounded in number and in bytes, and every wait in time (`queue`).
//!
//! It knows no SQL: `Writer` does.
mod queue;

pub(crate) use queue::GroupCommit;

use crate::prepared::{Prepared, Touched};
use crate::recent::Recent;
use crate::store::raise;
use crate::{AppendError, Appended, Incarnation, Position};
use async_trait::async_trait;
use metrics::{counter, gauge, histogram};
use queue::Waiting;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How much may wait, and how much goes into one batch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_members: usize,
    pub max_events: usize,
    pub max_bytes: usize,
    /// Appends that may be queued or under way; beyond that callers wait for a place.
    pub queue: usize,
    /// The bytes that these may have together.
    pub queue_bytes: usize,
    /// How long a caller waits for a place before it is told `Unavailable`.
    pub queue_wait: Duration,
    /// How long one with a place waits for its turn before it is told `Unavailable`, and from then on for an answer before it is told
    /// `Unknown`.
    pub patience: Duration,
}

impl Limits {
    /// No append is without an answer for longer.
    pub fn longest_answer(&self) -> Duration {
        self.queue_wait + 2 * self.patience
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_members: 256,
            max_events: 4_000,
            max_bytes: 4 << 20,
            queue: 2_048,
            queue_bytes: 64 << 20,
            queue_wait: Duration::from_secs(5),
            patience: Duration::from_secs(15),
        }
    }
}

/// How often the members of a lost batch are looked for, and how often one that was not written is sent again.
const SETTLE_TRIES: u32 = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(250);
/// Looking is given up after this time, however few tries that was.
const SETTLE_WITHIN: Duration = Duration::from_secs(30);
const MAX_SENDS: u32 = 3;

/// What writes a batch.
#[async_trait]
pub(crate) trait Writer: Send + 'static {
    /// Writes all members that can be taken, in one commit; an answer for each. Answers after the commit.
    async fn write(&mut self, batch: &[&Prepared]) -> Result<Written, WriteError>;

    /// After `WriteError::Lost`: what of this was written? Certain: what isn't found here never will be written.
    async fn recall(&mut self, batch: &[&Prepared]) -> Result<Vec<Option<Appended>>, WriteError>;
}

/// A batch that was committed.
#[derive(Debug)]
pub(crate) struct Written {
    /// The life of the log that it was written in.
    pub(crate) incarnation: Incarnation,
    /// Of each member.
    pub(crate) outcomes: Vec<Result<Appended, AppendError>>,
}

#[derive(Debug)]
pub(crate) enum WriteError {
    /// Some member is at fault; nothing was written.
    Fault(String),
    /// Nothing was written, no member is to blame.
    Unavailable(String),
    /// It may have been written.
    Lost(String),
}

impl Waiting {
    /// Without events, what was written shows only until somebody else moves the checkpoint on. So when such an append is sent again
    /// after a loss, and fails, it may still have been written the first time.
    fn weigh(&self, outcome: Result<Appended, AppendError>) -> Result<Appended, AppendError> {
        match outcome {
            Err(error) if self.sends > 1 && self.prepared.events.is_empty() => {
                Err(AppendError::Unknown(format!("the connection was lost, and then: {error}")))
            }
            outcome => outcome,
        }
    }
}

impl GroupCommit {
    /// Starts the task. It ends when this is dropped, after what was handed in. After each commit `recent` is told, then `head` is moved.
    pub(crate) fn start(
        writer: impl Writer,
        limits: Limits,
        head: watch::Sender<Position>,
        recent: Arc<Recent>,
    ) -> GroupCommit {
        let (near, waiting) = GroupCommit::new(limits);
        tokio::spawn(Batches { writer, limits, head, recent, waiting, held: VecDeque::new(), written: 0 }.run());
        near
    }
}

/// The far end.
struct Batches<W> {
    writer: W,
    limits: Limits,
    head: watch::Sender<Position>,
    recent: Arc<Recent>,
    waiting: mpsc::Receiver<Waiting>,
    /// Taken from the queue, but left out of the batches so far; before all that is in the queue.
    held: VecDeque<Waiting>,
    /// The members of the batch before.
    written: usize,
}

impl<W: Writer> Batches<W> {
    async fn run(mut self) {
        loop {
            if self.held.is_empty() {
                match self.waiting.recv().await {
                    Some(first) => self.held.push_back(first),
                    None => return,
                }
            }
            self.drain().await;
            let batch = self.gather();
            self.written = batch.len();
            observe(&batch);
            let started = Instant::now();
            let recent = Arc::clone(&self.recent);
            let committing = recent.committing();
            self.commit(batch).await;
            drop(committing);
            histogram!("waybill_append_batch_seconds").record(started.elapsed());
        }
    }

    /// Takes in what waits. Whoever has just been answered is about to append again: the first of them must not go alone, while the
    /// others wait for its commit. So the rest get their turn, as long as that brings any. But where many have waited for the batch
    /// before, they go at once: the database has nothing to do meanwhile.
    async fn drain(&mut self) {
        let enough = self.limits.max_members.min((self.written / 4).max(2));
        loop {
            let before = self.held.len();
            while self.held.len() < self.limits.queue
                && let Ok(next) = self.waiting.try_recv()
            {
                self.held.push_back(next);
            }
            if self.held.len() == before || self.held.len() >= enough {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The next batch, in order of arrival; what would clash with it or exceed its bounds is held for the next.
    fn gather(&mut self) -> Vec<Waiting> {
        let mut batch: Vec<Waiting> = Vec::new();
        let mut left = VecDeque::new();
        // And whether it is changed.
        let mut touched: HashMap<Touched, bool> = HashMap::new();
        let (mut events, mut bytes) = (0, 0);
        while let Some(next) = self.held.pop_front() {
            if next.turn.is_withdrawn() {
                continue;
            }
            events += next.prepared.events.len();
            bytes += next.prepared.bytes;
            let full = batch.len() == self.limits.max_members
                || events > self.limits.max_events
                || bytes > self.limits.max_bytes;
            if full && !batch.is_empty() {
                left.push_back(next);
                break;
            }
            let meets = |(part, changes)| touched.get(&part).is_some_and(|changed| changes || *changed);
            let clashes = next.prepared.touched().any(meets);
            // Also when it is held, so that none after it overtakes it.
            for (part, changes) in next.prepared.touched() {
                *touched.entry(part).or_insert(false) |= changes;
            }
            if clashes {
                left.push_back(next);
            } else if next.turn.comes() {
                batch.push(next);
            }
        }
        left.append(&mut self.held);
        self.held = left;
        batch
    }

    async fn commit(&mut self, batch: Vec<Waiting>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            part.iter_mut().for_each(|waiting| waiting.sends += 1);
            let members: Vec<&Prepared> = part.iter().map(|waiting| &*waiting.prepared).collect();
            match self.writer.write(&members).await {
                Ok(Written { incarnation, outcomes }) => {
                    for (prepared, outcome) in members.iter().zip(&outcomes) {
                        if let Ok(appended) = outcome {
                            self.recent.committed(prepared, incarnation, appended);
                        }
                    }
                    self.answer(part.into_iter().zip(outcomes));
                }
                Err(WriteError::Fault(_)) if part.len() > 1 => {
                    part.iter_mut().for_each(|waiting| waiting.sends -= 1);
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(WriteError::Fault(why)) => self.fail(part, &AppendError::Invalid(why)),
                Err(WriteError::Unavailable(why)) => {
                    self.recent.forget();
                    self.fail(part, &AppendError::Unavailable(why));
                }
                Err(WriteError::Lost(why)) => {
                    self.recent.forget();
                    tracing::warn!(members = part.len(), why, "lost the connection during an append");
                    parts.push(self.settle(part, &why).await);
                }
            }
        }
    }

    /// Finds out what became of a lost batch. Answers those who are to be sent again.
    async fn settle(&mut self, part: Vec<Waiting>, why: &str) -> Vec<Waiting> {
        let members: Vec<&Prepared> = part.iter().map(|waiting| &*waiting.prepared).collect();
        let mut found = None;
        let deadline = tokio::time::Instant::now() + SETTLE_WITHIN;
        for _ in 0..SETTLE_TRIES {
            if tokio::time::Instant::now() >= deadline {
                break;
            }
            match self.writer.recall(&members).await {
                Ok(outcomes) => {
                    found = Some(outcomes);
                    break;
                }
                Err(error) => {
                    tracing::debug!(?error, "can't yet find out what was written");
                    tokio::time::sleep(SETTLE_PAUSE).await;
                }
            }
        }
        let Some(found) = found else {
            self.fail(part, &AppendError::Unknown(why.to_owned()));
            return Vec::new();
        };
        let mut again = Vec::new();
        let mut settled = Vec::new();
        for (waiting, outcome) in part.into_iter().zip(found) {
            match outcome {
                Some(appended) => settled.push((waiting, Ok(appended))),
                // Without events or a checkpoint there is nothing that would show it.
                None if waiting.prepared.events.is_empty() && waiting.prepared.append.checkpoint.is_none() => {
                    settled.push((waiting, Err(AppendError::Unknown(why.to_owned()))));
                }
                None if waiting.sends >= MAX_SENDS => {
                    settled.push((waiting, Err(AppendError::Unavailable(why.to_owned()))));
                }
                None => again.push(waiting),
            }
        }
        self.answer(settled);
        again
    }

    fn fail(&self, part: Vec<Waiting>, error: &AppendError) {
        self.answer(part.into_iter().map(|waiting| (waiting, Err(error.clone()))));
    }

    /// Moves the head first: who has its answer finds the watch there.
    fn answer(&self, outcomes: impl IntoIterator<Item = (Waiting, Result<Appended, AppendError>)>) {
        let weighed = outcomes.into_iter().map(|(waiting, outcome)| (waiting.weigh(outcome), waiting));
        let outcomes: Vec<_> = weighed.collect();
        if let Some(last) = outcomes.iter().filter_map(|(outcome, _)| Some(outcome.as_ref().ok()?.last)).max() {
            raise(&self.head, last);
            gauge!("waybill_log_position").set(last.0 as f64);
        }
        for (outcome, waiting) in outcomes {
            if let Err(error) = &outcome {
                counter!("waybill_append_failures_total", "kind" => kind(error)).increment(1);
            }
            histogram!("waybill_append_seconds").record(waiting.since.elapsed().as_secs_f64());
            // Whoever has gone away no longer needs the answer.
            let _ = waiting.answer.send(outcome);
        }
    }
}

/// What a batch is made of, and how long its members have waited for it.
fn observe(batch: &[Waiting]) {
    let prepared = || batch.iter().map(|waiting| &waiting.prepared);
    histogram!("waybill_append_batch_members").record(batch.len() as f64);
    histogram!("waybill_append_batch_events").record(prepared().map(|p| p.events.len()).sum::<usize>() as f64);
    histogram!("waybill_append_batch_bytes").record(prepared().map(|p| p.bytes).sum::<usize>() as f64);
    for waiting in batch {
        histogram!("waybill_append_queue_wait_seconds").record(waiting.since.elapsed());
    }
}

fn kind(error: &AppendError) -> &'static str {
    match error {
        AppendError::Conflict { .. } => "conflict",
        AppendError::CheckpointMoved { .. } => "checkpoint_moved",
        AppendError::Refused(_) => "refused",
        AppendError::Fenced { .. } => "fenced",
        AppendError::Invalid(_) => "invalid",
        AppendError::Unavailable(_) => "unavailable",
        AppendError::Unknown(_) => "unknown",
    }
}

#[cfg(test)]
mod tests;
