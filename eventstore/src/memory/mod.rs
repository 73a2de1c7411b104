//! The event store in memory: the reference implementation of the contract suite, and what fast tests run on. Forgets all at its end.
mod claims;
mod directory;
mod people;
mod state;

use crate::prepared::Prepared;
use crate::store::raise;
use crate::{
    Abandoned, Append, AppendError, Appended, Attendance, ClaimRecord, EventStore, Incarnation, Lease, Life, Lives,
    Log, LogHead, Position, ReadError, RecordedEvent, Slot, SlotOwner, Timer, TimerMove, slot_of,
};
use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};
use state::{Due, Held, State};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

#[derive(Debug)]
pub struct MemoryEventStore {
    log: Log,
    /// One for each who watches: several receivers of one would be woken in an order left to chance, and tests are to be had again.
    watched: Mutex<Vec<watch::Sender<Position>>>,
    state: Mutex<State>,
}

impl Default for MemoryEventStore {
    fn default() -> Self {
        MemoryEventStore::new(Log::MAIN)
    }
}

impl MemoryEventStore {
    pub fn new(log: Log) -> MemoryEventStore {
        MemoryEventStore { log, watched: Mutex::default(), state: Mutex::default() }
    }

    /// A copy as it is now, to be restored later; nobody holds its leases.
    #[must_use]
    pub fn backup(&self) -> MemoryEventStore {
        let mut state = self.state().clone();
        state.leases.values_mut().for_each(Held::release);
        MemoryEventStore { log: self.log, watched: Mutex::default(), state: Mutex::new(state) }
    }

    /// Begins a new life of the log after `after`, or after its head if that lies before.
    pub fn begin_incarnation(&self, after: Position, at_least: Incarnation, reason: &str) -> Life {
        self.state().begin_incarnation(after, at_least, reason)
    }

    /// Writes down that this range is lost.
    pub fn abandon(&self, range: Abandoned) {
        self.state().abandon(range);
    }

    /// As if every claim that expires had been made so many days earlier.
    #[cfg(feature = "testing")]
    pub(crate) fn make_claims_older(&self, days: u64) {
        self.state().claims.age(days);
    }

    /// Tells all who watch that the head is at `last` at least.
    fn tell(&self, last: Position) {
        self.watched().retain(|head| {
            raise(head, last);
            head.receiver_count() > 0
        });
    }

    fn watched(&self) -> MutexGuard<'_, Vec<watch::Sender<Position>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A state is whole between two calls, whatever a thread that held it came to.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To the microsecond, as PostgreSQL keeps it.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

#[async_trait]
impl EventStore for MemoryEventStore {
    fn log(&self) -> Log {
        self.log
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let prepared = Prepared::new(append)?;
        let appended = self.state().append(self.log, prepared, now())?;
        self.tell(appended.last);
        Ok(appended)
    }

    async fn read_streams(&self, id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        Ok(self.state().read_streams(id))
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        let state = self.state();
        let from = usize::try_from(after.0).unwrap_or(0);
        Ok(state.events.iter().skip(from).take(limit).cloned().collect())
    }

    async fn head(&self) -> Result<LogHead, ReadError> {
        let state = self.state();
        Ok(LogHead { incarnation: state.incarnation(), position: state.position() })
    }

    async fn lives(&self) -> Result<Lives, ReadError> {
        Ok(self.state().lives())
    }

    fn watch_head(&self) -> watch::Receiver<Position> {
        // Under the lock, so that no append falls between the position and those who are told.
        let mut watched = self.watched();
        let (sender, receiver) = watch::channel(self.state().position());
        watched.push(sender);
        receiver
    }

    async fn claim(&self, scope: &str, key: &str) -> Result<Option<ClaimRecord>, ReadError> {
        Ok(self.state().claims.get(scope, key, now().date_naive()).cloned())
    }

    async fn checkpoint(&self, name: &str) -> Result<Option<(Incarnation, Position)>, ReadError> {
        Ok(self.state().checkpoints.get(name).map(|checkpoint| checkpoint.at))
    }

    async fn balances(&self, accounts: &[String]) -> Result<Vec<(String, i64)>, ReadError> {
        let state = self.state();
        let held = accounts.iter().filter_map(|account| state.balances.get_key_value(account));
        let held: std::collections::BTreeMap<_, _> = held.collect();
        Ok(held.into_iter().map(|(account, balance)| (account.clone(), *balance)).collect())
    }

    async fn list_balances(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, i64)>, ReadError> {
        let state = self.state();
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let held = state.balances.range::<str, _>((from, Bound::Unbounded));
        let held = held.take_while(|(account, _)| account.starts_with(prefix));
        Ok(held.take(limit).map(|(account, balance)| (account.clone(), *balance)).collect())
    }

    async fn timers(
        &self,
        slots: &[Slot],
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError> {
        let state = self.state();
        let of_slots = state.timers.iter().filter(|((stream, _), _)| slots.contains(&slot_of(stream.id)));
        let later = of_slots.filter(|((stream, _), due)| after.is_none_or(|after| (due.at, stream.id) > after));
        let mut timers: Vec<Timer> = later
            .map(|((stream, name), due)| Timer {
                stream: stream.clone(),
                name: name.clone(),
                due_at: due.at,
                set_at: Some(due.set_at),
            })
            .collect();
        timers.sort_by_key(|timer| (timer.due_at, timer.stream.id));
        // With ties, as in SQL: a page never ends between two that the next page can't tell apart.
        if let Some(last) = limit.checked_sub(1).and_then(|last| timers.get(last)) {
            let (due_at, id) = (last.due_at, last.stream.id);
            timers.retain(|timer| (timer.due_at, timer.stream.id) <= (due_at, id));
        }
        Ok(timers)
    }

    async fn move_timers(&self, moves: &[TimerMove]) -> Result<(), AppendError> {
        let mut state = self.state();
        for TimerMove { stream, name, due_at, set_at, upto } in moves {
            if let Some(due) = state.timers.get_mut(&(stream.clone(), name.to_string()))
                && due.position <= *upto
            {
                *due = Due::of(*due_at, *set_at, due.position);
            }
        }
        Ok(())
    }

    async fn take_leases(&self, slots: &[Slot], owner: Uuid, ttl: Duration) -> Result<Vec<Lease>, AppendError> {
        Ok(self.state().take_leases(slots, owner, ttl, now()))
    }

    async fn release_leases(&self, slots: &[Slot], owner: Uuid) -> Result<(), AppendError> {
        self.state().free_leases(owner, |slot| slots.contains(&slot));
        Ok(())
    }

    async fn attend(&self, owner: &SlotOwner, ttl: Duration) -> Result<Attendance, AppendError> {
        let now = now();
        Ok(Attendance { owners: self.state().attend(owner.id, ttl, now), now })
    }

    async fn depart(&self, owner: Uuid) -> Result<(), AppendError> {
        let mut state = self.state();
        state.owners.remove(&owner);
        state.free_leases(owner, |_| true);
        Ok(())
    }

    async fn sealed(&self, subject: Uuid) -> Result<Option<(Uuid, Vec<u8>)>, ReadError> {
        Ok(self.state().sealed.get(&subject).cloned())
    }
}
