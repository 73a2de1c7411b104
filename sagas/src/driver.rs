//! The sagas of one order, driven: ask each what is next, do it, write down what came of it, until all wait for someone or have ended.
//!
//! It knows them as [`domain::saga::Saga`], and none by name. Invariants:
//! - one driver an order, in a slot of ours; each append carries the slot's epoch;
//! - what a participant answered is not lost to a version race: the history is read again and the same answer decided on again;
//! - a call in flight is not broken off when someone else appends; a wait is;
//! - a saga that began in an earlier life of the log (it was restored since) asks by key before each call, and by its reference where keys
//!   are forgotten: in the life that is lost it may have made that call already, and may have undone it.
//!
//! [`Leave`] as an error ends the drive; a `?` passes it on.
use crate::commit::Committed;
use crate::job::{Cause, Job, Leave, Seed, Signal};
use crate::limits::{Gate, Participant, Permit, Shut};
use crate::metrics;
use crate::perform::{Answer, Ask, Request, undone};
use crate::ports::SecretError;
use crate::runner::Shared;
use crate::slots::Held;
use chrono::{DateTime, TimeDelta, Utc};
use commands::{History, history::SAGA_TIMER};
use domain::fulfillment::FulfillmentSaga;
use domain::saga::{Action, AnySaga, Direction, Next, Reply, Retry, WaitingOn, Which};
use domain::{OrderId, StreamKind};
use eventstore::{Position, slot_of};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// When a saga that can't be carried on is looked at again.
const STUCK_FOR: Duration = Duration::from_secs(60);
/// A saga that waits for a participant to be back is looked at no less often, for its budget's sake.
const PARKED_AT_MOST: Duration = Duration::from_secs(3600);

/// A key is not sent in the last tenth of its life, and in no less than this: a call may be on its way for a while, and be the second one
/// to act if the key is forgotten by then.
const KEY_MARGIN: TimeDelta = TimeDelta::seconds(10);

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
    signal: Arc<Signal>,
    tries: Option<Tries>,
    /// Which of the order's sagas is being driven.
    pub(crate) which: Which,
    /// Put down until then, or until the participant is back, while others of the order go on.
    aside: BTreeMap<Which, (Instant, Option<Participant>)>,
    /// Where each saga stands, and since when: not before was the current action's key first used.
    marks: BTreeMap<Which, Mark>,
    /// Answers in a row that changed nothing.
    pub(crate) barren: u32,
    /// The last position that we appended ourselves.
    pub(crate) appended: Position,
}

/// A saga's step, direction and attempt, and since when it has been at them.
type Mark = ((&'static str, Direction, u32), DateTime<Utc>);

/// What is known of the current action beyond the history.
struct Tries {
    key: String,
    request: Request,
    began: Instant,
    /// A try may have acted.
    unsure: bool,
}

impl<'a> Driver<'a> {
    async fn begin(shared: &'a Shared, job: &Job, seed: Option<Box<Seed>>) -> Result<Driver<'a>, Leave> {
        let held = shared.slots.held(slot_of(job.order)).ok_or(Leave::Lost)?;
        let order = OrderId(job.order);
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

    /// Calls a participant once, and writes down its answer, or that there is none.
    async fn call(&mut self, action: &Action) -> Result<(), Leave> {
        let retrying = self.retrying();
        if retrying.as_ref().is_some_and(|retrying| self.left_of_budget(retrying) <= TimeDelta::zero()) {
            self.commit(Some(action), Reply::Exhausted).await?;
            return Ok(());
        }
        let Some(mut tries) = self.tries(action, retrying.as_ref()).await? else { return Ok(()) };
        let gate = self.shared.gate(tries.request.participant());
        let permit = tokio::select! {
            biased;
            () = self.held.lost.cancelled() => return Err(Leave::Lost),
            () = self.shared.stopping.cancelled() => return Err(Leave::Stopped),
            () = self.signal.beyond(self.history.position) => None,
            entered = gate.enter() => Some(entered),
        };
        let permit = match permit {
            None => {
                self.tries = Some(tries);
                return Ok(());
            }
            Some(Err(shut)) => {
                self.tries = Some(tries);
                return self.shut_out(action, gate, shut).await;
            }
            Some(Ok(permit)) => permit,
        };
        self.check()?;
        match self.ask(action, &tries, permit).await {
            Answer::Definite(reply) => {
                self.commit(Some(action), reply).await?;
            }
            Answer::Forgotten => {
                let cause = "outcome_unknown".to_owned();
                self.commit(Some(action), Reply::Stuck { cause }).await?;
            }
            Answer::Missing { unsure, retry_after, message } => {
                tries.unsure |= unsure;
                self.unanswered(action, tries, retry_after, &message).await?;
            }
        }
        Ok(())
    }

    async fn ask(&self, action: &Action, tries: &Tries, permit: Permit<'_>) -> Answer {
        let is_restored = self.history.placed_in.is_some_and(|life| life < self.shared.slots.life());
        let ask = match () {
            () if self.has_outlived_its_key(&tries.request) => Ask::Only,
            () if is_restored => Ask::LostLife,
            () if tries.unsure => Ask::First,
            () => Ask::No,
        };
        let undone = if is_restored { self.undone_in_a_lost_life(action).await } else { None };
        let answer = match undone {
            Some(answer) => answer,
            None => tries.request.send(&*self.shared.payment, &*self.shared.shipping, ask).await,
        };
        permit.settle(self.order.0, !matches!(answer, Answer::Missing { .. }));
        answer
    }

    /// What a saga is about to build on may have been undone in the life that is lost: the order was cancelled there. Then it stops for a
    /// person, before goods leave for money that is no longer held.
    async fn undone_in_a_lost_life(&self, action: &Action) -> Option<Answer> {
        let reference = self.order.to_string();
        for (whom, key) in self.saga().undone_by(action) {
            let participant = if whom == WaitingOn::Shipping { Participant::Shipping } else { Participant::Payment };
            if let Some(answer) =
                undone(&key, &reference, participant, &*self.shared.payment, &*self.shared.shipping).await
            {
                return Some(answer);
            }
        }
        None
    }

    /// What was tried of this action so far. `None`: it can't be prepared, and that is written down.
    async fn tries(&mut self, action: &Action, retrying: Option<&Retrying>) -> Result<Option<Tries>, Leave> {
        let key = action.key().unwrap_or_default();
        if let Some(tries) = self.tries.take()
            && tries.key == key
        {
            return Ok(Some(tries));
        }
        let Some(placed) = self.history.fulfillment.order.placed.clone() else { return Err(self.stuck("no order")) };
        match Request::prepare(
            action,
            self.order,
            &self.history.shop,
            &self.history.fulfillment,
            &placed,
            &*self.shared.secrets,
        )
        .await
        {
            Ok(Some(request)) => Ok(Some(Tries {
                key: key.to_owned(),
                request,
                began: Instant::now(),
                unsure: retrying.is_some_and(|retrying| retrying.is_unsure),
            })),
            Ok(None) => Err(self.stuck("an action without a participant")),
            Err(SecretError::Missing(cause)) => {
                self.commit(Some(action), Reply::Stuck { cause: cause.to_owned() }).await?;
                Ok(None)
            }
            Err(SecretError::Unavailable(why)) => {
                tracing::warn!(order_id = %self.order, saga_id = %self.order.saga(), why, "personal data can't be read now");
                let wait = self.wait(retrying, None, None);
                Err(self.until(wait).await)
            }
        }
    }

    /// The gate is shut: put down here, visibly, until it calls.
    async fn shut_out(&mut self, action: &Action, gate: &Gate, shut: Shut) -> Result<(), Leave> {
        let retrying = self.retrying();
        if retrying.is_none() && shut == Shut::Open {
            self.commit(Some(action), Reply::Unanswered { cause: UNAVAILABLE.to_owned() }).await?;
            // A cancel may have come between.
            return Ok(());
        }
        let left = retrying.and_then(|retrying| self.left_of_budget(&retrying).to_std().ok());
        let wait = left.map_or(PARKED_AT_MOST, |left| left.min(PARKED_AT_MOST));
        Err(Leave::Until { due: Instant::now() + wait, parked: Some(gate.participant) })
    }

    /// No definite answer: say so in the history if it takes long, wait, and come back.
    async fn unanswered(
        &mut self,
        action: &Action,
        tries: Tries,
        retry_after: Option<Duration>,
        message: &str,
    ) -> Result<(), Leave> {
        let policy = &self.shared.config.retry;
        let cause = if tries.unsure { UNKNOWN_OUTCOME } else { UNAVAILABLE };
        let (step, ..) = self.saga().at();
        metrics::retry(step, cause);
        let retrying = self.retrying();
        let wait = self.wait(retrying.as_ref(), Some(&tries), retry_after);
        let (order_id, saga_id) = (self.order, self.order.saga());
        tracing::debug!(%order_id, %saga_id, step, cause, message, ?wait, "no definite answer");
        let is_long = tries.began.elapsed() + wait >= policy.visible_after;
        self.tries = Some(tries);
        if retrying.is_none() && is_long {
            self.commit(Some(action), Reply::Unanswered { cause: cause.to_owned() }).await?;
            if self.retrying().is_none() {
                // A cancel came between.
                return Ok(());
            }
        }
        if wait > policy.hold {
            return Err(self.until(wait).await);
        }
        tokio::select! {
            biased;
            () = self.held.lost.cancelled() => Err(Leave::Lost),
            () = self.shared.stopping.cancelled() => Err(Leave::Stopped),
            () = self.signal.beyond(self.history.position) => Ok(()),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// Put down until then; its timer in the store says the same, so that a restart keeps to it.
    async fn until(&self, wait: Duration) -> Leave {
        let due = Instant::now() + wait;
        let stream = self.history.stream(StreamKind::Order);
        self.shared.move_timer(self.shared.later(stream, SAGA_TIMER, wait, self.history.position)).await;
        Leave::Until { due, parked: None }
    }

    fn retrying(&self) -> Option<Retrying> {
        let saga = self.saga();
        let (cause, since) = saga.retrying()?;
        Some(Retrying { is_unsure: cause == UNKNOWN_OUTCOME, since })
    }

    /// How the current step is tried again.
    fn retry(&self) -> Retry {
        self.shared.config.retry.instead.unwrap_or_else(|| self.saga().retry())
    }

    fn wait(&self, retrying: Option<&Retrying>, tries: Option<&Tries>, asked: Option<Duration>) -> Duration {
        let recorded = retrying.and_then(|retrying| (self.shared.now() - retrying.since).to_std().ok());
        let tried = recorded.unwrap_or_default().max(tries.map_or(Duration::ZERO, |tries| tries.began.elapsed()));
        self.shared.config.retry.wait(&self.retry(), tried, asked, &self.shared.jitter)
    }

    fn left_of_budget(&self, retrying: &Retrying) -> TimeDelta {
        let budget = TimeDelta::from_std(self.retry().budget).unwrap_or(TimeDelta::MAX);
        budget - (self.shared.now() - retrying.since)
    }

    /// The step may have been begun, and its key forgotten since; or it would be before a call that is sent now arrives.
    fn has_outlived_its_key(&self, request: &Request) -> bool {
        let lifetime = match request.participant() {
            Participant::Payment => self.shared.payment.key_lifetime(),
            Participant::Shipping => self.shared.shipping.key_lifetime(),
        };
        let Some(lifetime) = lifetime.and_then(|lifetime| TimeDelta::from_std(lifetime).ok()) else { return false };
        let begun = self.marks.get(&self.which).map_or(DateTime::<Utc>::MIN_UTC, |(_, at)| *at);
        let margin = (lifetime / 10).max(KEY_MARGIN);
        // Whichever clock makes it older: one too many is asked for, none too many sent.
        self.shared.now().max(self.shared.clock.now()) - begun > lifetime - margin
    }

    /// It can't be carried on by this build, as it is: seen in the logs and the metrics, and looked at again later.
    pub(crate) fn stuck(&self, why: &str) -> Leave {
        metrics::stuck();
        let (step, ..) = self.saga().at();
        tracing::error!(order_id = %self.order, saga_id = %self.order.saga(), step, why, "the saga can't be carried on");
        Leave::Until { due: Instant::now() + STUCK_FOR, parked: None }
    }
}

/// What the history says of a step that is being tried again.
struct Retrying {
    is_unsure: bool,
    since: DateTime<Utc>,
}

/// Causes of `StepRetrying`.
const UNAVAILABLE: &str = "unavailable";
const UNKNOWN_OUTCOME: &str = "unknown_outcome";
