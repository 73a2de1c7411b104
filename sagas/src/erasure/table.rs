//! The erasures that this process knows of: when each is to be looked at, and for which orders it waits.
use commands::history::SAGA_TIMER;
use domain::StreamKind;
use eventstore::RecordedEvent;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// Erasures known at once; those beyond are found again by their timers, at the next start or take-over.
const AT_MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Table {
    state: Mutex<State>,
    sooner: Notify,
}

#[derive(Debug, Default)]
struct State {
    due: BTreeMap<Uuid, Instant>,
    /// Whose erasure waits for an order.
    waits_for: HashMap<Uuid, Uuid>,
}

impl Table {
    /// Is to be looked at then, or sooner if that was said before.
    pub(crate) fn found(&self, person: Uuid, at: Instant) {
        let mut state = self.lock();
        if state.due.len() >= AT_MOST && !state.due.contains_key(&person) {
            tracing::warn!(%person, "too many erasures at once: this one is taken up at the next start");
            return;
        }
        let due = state.due.entry(person).or_insert(at);
        *due = at.min(*due);
        drop(state);
        self.sooner.notify_one();
    }

    /// An event of the log; of persons only those in slots of ours.
    pub(crate) fn hear(&self, event: &RecordedEvent, is_ours: impl Fn(Uuid) -> bool) {
        if event.stream.kind == StreamKind::Person.name() {
            if event.event_type == "ErasureRequested" && is_ours(event.stream.id) {
                self.found(event.stream.id, Instant::now());
            }
            return;
        }
        if event.event_type == "OrderCompleted" || event.event_type == "OrderCancelled" {
            let person = self.lock().waits_for.remove(&event.stream.id);
            if let Some(person) = person {
                self.found(person, Instant::now());
            }
        }
    }

    /// From now on the end of one of these orders wakes the person's erasure.
    pub(super) fn watch(&self, person: Uuid, orders: &[Uuid]) {
        self.lock().waits_for.extend(orders.iter().map(|order| (*order, person)));
    }

    /// The next one that is due. Taken from the table: it is put back, or done.
    pub(super) async fn next(&self) -> Uuid {
        loop {
            let first = self.lock().due.iter().map(|(person, at)| (*at, *person)).min();
            match first {
                Some((at, person)) if at <= Instant::now() => {
                    self.lock().due.remove(&person);
                    return person;
                }
                Some((at, _)) => {
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(at) => {}
                        () = self.sooner.notified() => {}
                    }
                }
                None => self.sooner.notified().await,
            }
        }
    }

    /// Nothing more is to be heard for this person.
    pub(super) fn forget(&self, person: Uuid) {
        self.lock().waits_for.retain(|_, whose| *whose != person);
    }

    /// Erasures under way here, those that wait for orders.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.lock();
        let mut persons: Vec<Uuid> = state.waits_for.values().copied().collect();
        persons.sort_unstable();
        persons.dedup();
        persons.len()
    }

    pub(crate) fn known(&self) -> usize {
        self.lock().due.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The timer of an order under way: what an erasure waits for.
pub(super) const UNDER_WAY: &str = SAGA_TIMER;
