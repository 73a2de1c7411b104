//! A saga's call of a participant: made once, tried again, put down, given up.
//!
//! Invariants: a call without a definite answer goes out again under the same key only; a key that the participant may have forgotten is not
//! sent at all; right before each sending the slot is still ours, however long a place or the answer to a question was waited for; whoever
//! finds the gate shut, or has long to wait, is put down and says so in the history.
use crate::driver::Driver;
use crate::job::Leave;
use crate::limits::{Gate, Participant, Permit, Shut};
use crate::lookup::LookUp;
use crate::metrics;
use crate::perform::{Answer, Ask, Request, undone};
use crate::ports::SecretError;
use chrono::{DateTime, TimeDelta, Utc};
use commands::history::SAGA_TIMER;
use domain::StreamKind;
use domain::saga::{Action, Reply, Retry, WaitingOn};
use std::time::Duration;
use tokio::time::Instant;

/// A saga that waits for a participant to be back is looked at no less often, for its budget's sake.
const PARKED_AT_MOST: Duration = Duration::from_secs(3600);
/// A key is not sent in the last tenth of its life, and in no less than this: a call may be on its way for a while, and be the second one
/// to act if the key is forgotten by then.
const KEY_MARGIN: TimeDelta = TimeDelta::seconds(10);

/// What is known of the current action beyond the history.
pub(crate) struct Tries {
    key: String,
    request: Request,
    began: Instant,
    /// A try may have acted.
    unsure: bool,
}

impl Driver<'_> {
    /// Calls a participant once, and writes down its answer, or that there is none.
    pub(crate) async fn call(&mut self, action: &Action) -> Result<(), Leave> {
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
        match self.ask(action, &tries, permit).await? {
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

    /// Asks where it has to be asked, and sends it where that is no answer.
    async fn ask(&self, action: &Action, tries: &Tries, permit: Permit<'_>) -> Result<Answer, Leave> {
        let (payment, shipping) = (&*self.shared.payment, &*self.shared.shipping);
        let answer = loop {
            let ask = self.to_be_asked(tries);
            let found = match self.undone_in_a_lost_life(action).await {
                Some(answer) => LookUp::Answered(answer),
                None => tries.request.ask(payment, shipping, ask).await,
            };
            let instead = match found {
                LookUp::Answered(answer) => break answer,
                LookUp::Send(request) => Some(request),
                LookUp::Nothing => None,
            };
            // Questions take their time. The slot may be another owner's by now, and the key forgotten.
            self.check()?;
            if self.to_be_asked(tries) == ask {
                break instead.as_ref().unwrap_or(&tries.request).send(payment, shipping).await;
            }
        };
        permit.settle(self.order.0, !matches!(answer, Answer::Missing { .. }));
        Ok(answer)
    }

    fn to_be_asked(&self, tries: &Tries) -> Ask {
        match () {
            () if self.has_outlived_its_key(&tries.request) => Ask::Only,
            () if self.history.fulfillment.has_lost_life() => Ask::LostLife,
            () if tries.unsure => Ask::First,
            () => Ask::No,
        }
    }

    /// What a saga is about to build on may have been undone in the life that is lost: the order was cancelled there. Then it stops for a
    /// person, before goods leave for money that is no longer held.
    async fn undone_in_a_lost_life(&self, action: &Action) -> Option<Answer> {
        if !self.history.fulfillment.has_lost_life() {
            return None;
        }
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
        match Request::prepare(action, &self.history, &placed, &*self.shared.secrets).await {
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
                tracing::warn!(order_id = %self.order, saga_id = %self.id(), why, "personal data can't be read now");
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
        let (order_id, saga_id) = (self.order, self.id());
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
}

/// What the history says of a step that is being tried again.
struct Retrying {
    is_unsure: bool,
    since: DateTime<Utc>,
}

/// Causes of `StepRetrying`.
const UNAVAILABLE: &str = "unavailable";
const UNKNOWN_OUTCOME: &str = "unknown_outcome";
