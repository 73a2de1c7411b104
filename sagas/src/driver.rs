//! The sagas of one order, driven: ask each what is next, do it, write down what came of it, until all wait for someone or have ended.
//!
//! It knows them as [`domain::saga::Saga`], and none by name. Invariants:
//! - one driver an order, in a slot of ours; each append carries the slot's epoch;
//! - what a participant answered is not lost to a version race: the history is read again and the same answer decided on again;
//! - a call in flight is not broken off when someone else appends; a wait is;
//! - a saga that began in an earlier life of the log (it was restored since) asks by key before each call, and by its reference where keys
//!   are forgotten: in the life that is lost it may have made that call already, and may have undone it. What it undoes, it undoes whole:
//!   later steps than the one it stands at may have been taken there.
//!
//! [`Leave`] as an error ends the drive; a `?` passes it on.
use crate::call::Tries;
use crate::commit::Committed;
use crate::job::{Cause, Job, Leave, Seed, Signal};
use crate::limits::Participant;
use crate::metrics;
use crate::runner::Shared;
use crate::slots::Held;
use chrono::{DateTime, Utc};
use commands::History;
use domain::OrderId;
use domain::fulfillment::FulfillmentSaga;
use domain::saga::{Action, AnySaga, Direction, Next, Reply, SagaRef, Which};
use eventstore::{Position, slot_of};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// When a saga that can't be carried on is looked at again.
const STUCK_FOR: Duration = Duration::from_secs(60);

/// Drives the job's saga until it is put down.
pub(crate) async fn drive(shared: &Shared, job: Job) {
    let mut driving = Driving { shared, job, left: false };
    while !driving.left {
        let seed = driving.job.seed.take();
        let (leave, at) = match Driver::begin(shared, &driving.job, seed).await {
            Ok(mut driver) => {
                if let Some(due) = driving.job.due.take() {
                    metrics::taken_up(due.elapsed());
                }
                let Err(leave) = driver.go().await;
                (leave, driver.history.position)
            }
            Err(leave) => (leave, Position::ZERO),
        };
        driving.left = shared.live.leave(&driving.job, leave, at);
        if let (true, Leave::Until { parked: Some(participant), .. }) = (driving.left, leave) {
            shared.gate(participant).park(driving.job.order);
        }
    }
}

/// A driver that panics does not take its saga with it: that is looked at again later.
struct Driving<'a> {
    shared: &'a Shared,
    job: Job,
    left: bool,
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        if !self.left {
            let later = Leave::Until { due: Instant::now() + STUCK_FOR, parked: None };
            self.shared.live.leave(&self.job, later, Position(i64::MAX));
        }
    }
}

pub(crate) struct Driver<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) order: OrderId,
    pub(crate) history: History,
    /// What the next append answers.
    pub(crate) cause: Cause,
    pub(crate) held: Held,
    pub(crate) signal: Arc<Signal>,
    pub(crate) tries: Option<Tries>,
    /// Which of the order's sagas is being driven.
    pub(crate) which: Which,
    /// Put down until then, or until the participant is back, while others of the order go on.
    aside: BTreeMap<Which, (Instant, Option<Participant>)>,
    /// Where each saga stands, and since when: not before was the current action's key first used.
    pub(crate) marks: BTreeMap<Which, Mark>,
    /// Answers in a row that changed nothing.
    pub(crate) barren: u32,
    /// The last position that we appended ourselves.
    pub(crate) appended: Position,
}

/// A saga's step, direction and attempt, and since when it has been at them.
pub(crate) type Mark = ((&'static str, Direction, u32), DateTime<Utc>);

impl<'a> Driver<'a> {
    async fn begin(shared: &'a Shared, job: &Job, seed: Option<Box<Seed>>) -> Result<Driver<'a>, Leave> {
        let held = shared.slots.held(slot_of(job.order)).ok_or(Leave::Lost)?;
        let order = OrderId(job.order);
        // Another owner may have driven it since, and undone what would be done next.
        let seed = seed.filter(|seed| seed.fence.is_none_or(|fence| fence == held.fence));
        let is_read = seed.is_some();
        let (history, cause) = match seed {
            Some(seed) => (seed.history, seed.cause),
            None => (History::new(order, ""), Cause::default()),
        };
        let mut driver = Driver {
            shared,
            order,
            cause,
            held,
            signal: Arc::clone(&job.signal),
            tries: None,
            which: Which::Fulfillment,
            aside: BTreeMap::new(),
            marks: BTreeMap::new(),
            barren: 0,
            appended: Position::ZERO,
            history,
        };
        match driver.history.updated_at {
            Some(at) if is_read => driver.mark(at),
            _ => driver.reload().await?,
        }
        Ok(driver)
    }

    pub(crate) fn saga(&self) -> AnySaga<'_> {
        let state = &self.history.fulfillment;
        // Sagas begin, and are never taken back.
        state.one(self.order, self.which).unwrap_or(AnySaga::Fulfillment(FulfillmentSaga { order: self.order, state }))
    }

    pub(crate) fn id(&self) -> SagaRef {
        SagaRef { order: self.order, which: self.which }
    }

    /// An event was recorded at that time: sagas that it moved are where they are since then.
    pub(crate) fn mark(&mut self, at: DateTime<Utc>) {
        for which in self.history.fulfillment.sagas() {
            let Some(stands) = self.history.fulfillment.one(self.order, which).map(|saga| saga.at()) else { continue };
            let mark = self.marks.entry(which).or_insert((stands, at));
            if mark.0 != stands {
                *mark = (stands, at);
            }
        }
    }

    /// Until there is nothing more to do for now.
    async fn go(&mut self) -> Result<Infallible, Leave> {
        loop {
            self.check()?;
            if self.signal.is_beyond(self.history.position) {
                self.reload().await?;
            }
            self.history.goes_on_in(self.shared.slots.life());
            let next = match self.pick() {
                Err(Leave::Idle) => return Err(self.wait_for_people().await),
                picked => picked?,
            };
            match self.step(next).await {
                Err(Leave::Until { due, parked }) => {
                    self.aside.insert(self.which, (due, parked));
                }
                done => done?,
            }
        }
    }

    /// The next saga that has something to do, and what.
    fn pick(&mut self) -> Result<Next, Leave> {
        let now = Instant::now();
        self.aside.retain(|_, (due, _)| *due > now);
        let mut rest = Leave::Ended;
        for which in self.history.fulfillment.sagas() {
            let Some(next) = self.history.fulfillment.one(self.order, which).map(|saga| saga.next()) else { continue };
            match (next, self.aside.get(&which), rest) {
                (Next::Ended, ..) => {}
                (Next::Wait(_), ..) => rest = rest.or(Leave::Idle),
                (_, Some((due, parked)), _) => rest = rest.or(Leave::Until { due: *due, parked: *parked }),
                (next, None, _) => {
                    self.which = which;
                    return Ok(next);
                }
            }
        }
        Err(rest)
    }

    async fn step(&mut self, next: Next) -> Result<(), Leave> {
        match next {
            Next::Act(action @ Action::Reserve { .. }) => self.reserve(&action).await,
            Next::Act(action) => self.call(&action).await,
            Next::Advance | Next::Wait(_) | Next::Ended => self.commit(None, Reply::Nothing).await.map(|_| ()),
        }
    }

    /// Whether to go on at all.
    pub(crate) fn check(&self) -> Result<(), Leave> {
        match () {
            () if self.held.lost.is_cancelled() || !self.shared.slots.holds(self.held.fence.slot) => Err(Leave::Lost),
            () if self.shared.stopping.is_cancelled() => Err(Leave::Stopped),
            () => Ok(()),
        }
    }

    /// Stock is taken by the append that says so.
    async fn reserve(&mut self, action: &Action) -> Result<(), Leave> {
        if let Committed::Short = self.commit(Some(action), Reply::Reserved).await? {
            let shortages = self.shortages(action).await?;
            if shortages.is_empty() {
                // Goods came in meanwhile, and it is tried again.
                return self.nothing_changed();
            }
            self.commit(Some(action), Reply::OutOfStock { shortages }).await?;
        }
        Ok(())
    }

    /// It can't be carried on by this build, as it is: seen in the logs and the metrics, and looked at again later.
    pub(crate) fn stuck(&self, why: &str) -> Leave {
        metrics::stuck();
        let (step, ..) = self.saga().at();
        tracing::error!(order_id = %self.order, saga_id = %self.id(), step, why, "the saga can't be carried on");
        Leave::Until { due: Instant::now() + STUCK_FOR, parked: None }
    }
}
