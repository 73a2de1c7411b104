//! Does the erasures that are due, one after the other.
use super::table::UNDER_WAY;
use super::{Destroyed, ErasureDeps};
use crate::limits::{Gate, Participant};
use crate::participants::{ForgetRequest, StepError};
use crate::runner::Shared;
use commands::history::CommitError;
use commands::people::{ERASURE_TIMER, PersonHistory, person_name, person_stream};
use commands::{Change, History};
use domain::order::{Command as OrderCommand, Order};
use domain::person::Command;
use domain::{Decider, Event, OrderId};
use eventstore::{
    Actor, ActorKind, AppendError, Fence, Metadata, Position, ReadError, Source, TimerChange, slot_of,
    vault::VaultError,
};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;
use uuid::Uuid;

/// The actor in what is written here.
const ACTOR: &str = "erasure";
/// Open orders that are watched at once; when they have ended, the next are.
const WATCHED: usize = 1_000;
/// Subjects of a person that are read at once, and the orders of one call to a participant.
const PAGE: usize = 200;
/// Waiting for orders, it looks by itself so often.
const LOOK_ANYWAY: Duration = Duration::from_secs(3600);
/// After a failure, from and to; it doubles.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// How often an order's history that others carry on is read again.
const ATTEMPTS: u32 = 8;

#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("{0} has not forgotten: {1}")]
    Participant(&'static str, String),
    #[error("what was erased can't be kept on record: {0}")]
    Record(String),
    #[error("{0}")]
    Strange(String),
}

enum Outcome {
    Done,
    /// For so many orders.
    Waits(u64),
    /// Another process owns the slot.
    NotOurs,
}

/// Until the runner stops.
pub(crate) async fn run(shared: Arc<Shared>, deps: ErasureDeps) {
    let worker = Worker { shared: &shared, deps };
    let mut failures: std::collections::HashMap<Uuid, u32> = std::collections::HashMap::new();
    loop {
        let person = shared.erasures.next().await;
        let name = person_name(person);
        match worker.erase(person).await {
            Ok(Outcome::Done) => {
                failures.remove(&person);
                shared.erasures.forget(person);
            }
            Ok(Outcome::NotOurs) => {
                failures.remove(&person);
                shared.erasures.forget(person);
                tracing::debug!(person = name, "the erasure is another process's to do");
            }
            Ok(Outcome::Waits(orders)) => {
                failures.remove(&person);
                tracing::info!(person = name, orders, "an erasure waits for open orders");
                worker.later(person, LOOK_ANYWAY).await;
            }
            Err(error) => {
                let tries = failures.entry(person).or_default();
                let pause = PAUSE.0.saturating_mul(1 << (*tries).min(10)).min(PAUSE.1);
                *tries += 1;
                tracing::warn!(person = name, %error, ?pause, "an erasure is tried again");
                worker.later(person, pause).await;
            }
        }
    }
}

struct Worker<'a> {
    shared: &'a Arc<Shared>,
    deps: ErasureDeps,
}

impl Worker<'_> {
    async fn erase(&self, person: Uuid) -> Result<Outcome, Failure> {
        let Some(held) = self.shared.slots.held(slot_of(person)) else { return Ok(Outcome::NotOurs) };
        let history = self.load(person).await?;
        let Some(customer_ref) = history.state.requested.clone().filter(|_| !history.state.erased) else {
            return Ok(Outcome::Done);
        };
        self.deps.vault.part(person).await?;
        // Watched before it is looked at again: an end is either heard of or seen.
        let (open, _) = self.deps.vault.persons().subjects_with_timer(person, UNDER_WAY, WATCHED).await?;
        self.shared.erasures.watch(person, &open);
        let (_, open) = self.deps.vault.persons().subjects_with_timer(person, UNDER_WAY, 1).await?;
        if open > 0 {
            return Ok(Outcome::Waits(open));
        }
        let mut after = None;
        while let Some((orders, last)) = self.page(person, after).await? {
            after = Some(last);
            self.tell(person, &orders).await?;
        }
        self.deps.vault.erase(person).await?;
        let (shop, at) = (history.shop.clone(), self.shared.clock.now());
        let destroyed = Destroyed { person, shop, customer_ref, at };
        self.deps.record.keep(&destroyed).await.map_err(Failure::Record)?;
        let (fence, mut orders, mut after) = (held.fence, 0, None);
        while let Some((page, last)) = self.page(person, after).await? {
            after = Some(last);
            for order in page {
                self.mark(order, person, &history, fence).await?;
                orders += 1;
            }
        }
        self.finish(&history, orders, fence).await?;
        tracing::info!(person = person_name(person), orders, "a person was erased");
        Ok(Outcome::Done)
    }

    /// The orders among the person's next subjects, and the last of these; `None`: there are no more.
    async fn page(&self, person: Uuid, after: Option<Uuid>) -> Result<Option<(Vec<History>, Uuid)>, Failure> {
        let subjects = self.deps.vault.persons().subjects_of(person, after, PAGE).await?;
        let Some(last) = subjects.last().copied() else { return Ok(None) };
        let mut orders = Vec::new();
        for subject in subjects {
            // The others are notes.
            let history = History::load(&*self.shared.store, OrderId(subject)).await.map_err(strange)?;
            let is_theirs = |history: &History| {
                let placed = history.fulfillment.order.placed.as_ref();
                placed.is_some_and(|placed| placed.person_id == Some(person))
            };
            orders.extend(history.filter(is_theirs));
        }
        Ok(Some((orders, last)))
    }

    /// Both participants; under keys that follow from what is said, so that it can be said again.
    async fn tell(&self, person: Uuid, orders: &[History]) -> Result<(), Failure> {
        if orders.is_empty() {
            return Ok(());
        }
        let orders: Vec<String> = orders.iter().map(|history| history.order.to_string()).collect();
        let reference = person_name(person);
        let key = format!("{reference}/forget/{}", Uuid::new_v5(&person, orders.join(" ").as_bytes()).simple());
        let request = ForgetRequest { key, reference, orders };
        for participant in [Participant::Payment, Participant::Shipping] {
            let gate: &Gate = self.shared.gate(participant);
            let failed = |why: String| Failure::Participant(participant.name(), why);
            let permit = gate.enter().await.map_err(|shut| failed(format!("{shut:?}")))?;
            let answer = match participant {
                Participant::Payment => self.shared.payment.forget(&request).await,
                Participant::Shipping => self.shared.shipping.forget(&request).await,
            };
            permit.settle(person, matches!(answer, Ok(_) | Err(StepError::Refused { .. })));
            answer.map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }

    /// The order's own history says that its customer is erased.
    async fn mark(&self, mut order: History, person: Uuid, asked: &PersonHistory, fence: Fence) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            let command = OrderCommand::RecordErasure { person_id: person };
            let events = Order::decide(&order.fulfillment.order, command).map_err(strange)?;
            let events: Vec<Event> = events.into_iter().map(Event::from).collect();
            if events.is_empty() {
                return Ok(());
            }
            let change = Change { fence: Some(fence), ..Change::default() };
            let metadata = self.metadata(order.order.0, asked);
            match order.commit(&*self.shared.store, &events, metadata, change).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Append(AppendError::Conflict { .. })) => {
                    let again = History::load(&*self.shared.store, order.order).await.map_err(strange)?;
                    order = again.ok_or_else(|| Failure::Strange(format!("{} is gone", order.order)))?;
                }
                Err(CommitError::Append(error)) => return Err(self.failed(error, fence)),
                Err(CommitError::History(error)) => return Err(strange(error)),
            }
        }
        Err(Failure::Strange(format!("{} goes on and on", order.order)))
    }

    async fn finish(&self, history: &PersonHistory, orders: u64, fence: Fence) -> Result<(), Failure> {
        let metadata = self.metadata(history.person, history);
        let append = history.decide(&history.shop, metadata, Command::RecordErased { orders });
        let append = append.map_err(|error| match error {
            Ok(rejection) => strange(rejection),
            Err(error) => strange(error),
        })?;
        let Some(mut append) = append else { return Ok(()) };
        let (stream, name) = (person_stream(history.person), Cow::Borrowed(ERASURE_TIMER));
        append.timers.push(TimerChange::Clear { stream, name });
        append.fence = Some(fence);
        self.shared.store.append(append).await.map_err(|error| self.failed(error, fence))?;
        Ok(())
    }

    async fn load(&self, person: Uuid) -> Result<PersonHistory, Failure> {
        PersonHistory::load(&*self.shared.store, person).await.map_err(strange)
    }

    /// Looked at again after so long; the timer in the store says the same.
    async fn later(&self, person: Uuid, pause: Duration) {
        self.shared.erasures.found(person, Instant::now() + pause);
        let to = self.shared.later(person_stream(person), ERASURE_TIMER, pause, Position(i64::MAX));
        if let Err(error) = self.shared.store.move_timers(&[to]).await {
            // After a restart it would only be looked at too soon.
            tracing::debug!(%error, "the timer stays where it is");
        }
    }

    fn failed(&self, error: AppendError, fence: Fence) -> Failure {
        if let AppendError::Fenced { .. } = &error {
            self.shared.slots.fenced(fence);
        }
        error.into()
    }

    fn metadata(&self, correlation: Uuid, asked: &PersonHistory) -> Metadata {
        Metadata {
            command_id: Uuid::now_v7(),
            causation_id: asked.cause,
            correlation_id: correlation,
            actor: Actor { kind: ActorKind::Saga, id: ACTOR.to_owned(), key: None, on_behalf_of: None },
            source: Source::Saga,
            reason_code: None,
            occurred_at: self.shared.clock.now(),
            trace_id: asked.trace_id.clone(),
            app_version: self.shared.config.app_version.clone(),
        }
    }
}

fn strange(error: impl std::fmt::Display) -> Failure {
    Failure::Strange(error.to_string())
}
