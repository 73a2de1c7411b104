//! A provider's ledger: what each idempotency key led to, what acted in order, and which keys are blocked.
//!
//! A simulator brings its own books ([`Books`]) and decides by them; the ledger makes a decision once for each key,
//! writes it down, and answers only when that [`Lasts`]. The books are rebuilt from the file at the start.
//!
//! Invariants:
//! - deciding, recording and changing the books happen under one lock, so a key acts at most once and no other call
//!   comes between;
//! - nothing is answered, queried or listed before it is durable;
//! - refusals are remembered under their key and are no ledger entries; neither are blocked keys;
//! - entries are numbered from 1 without holes, in the order in which they acted;
//! - where keys live for a time only, one that is older is as unknown as one never used: it acts again. What acted is then found by its
//!   reference alone.

mod entry;
mod journal;
#[cfg(test)]
mod journal_tests;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use entry::Record;
pub(super) use entry::{Answer, Call, fingerprint};
pub use entry::{Entry, Kind};
pub use journal::OpenError;
use journal::{Journal, Room};

use super::fault::Fault;
use crate::participants::Amount;

/// Calls of one key that failed on purpose are counted for so many keys at most; past it they are turned away
/// uncounted.
const MAX_STUMBLING_KEYS: usize = 65_536;

/// What a record outlives by the time that its call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// It is synced.
    BeyondTheMachine,
    /// It is written. For a provider inside Waybill's own process, for measurements and fast tests.
    BeyondTheProcess,
}

/// What a participant's call brings about.
pub(super) trait Fact: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The ledger entry, when it acted.
    fn acted(&self) -> Option<(Kind, &Amount)>;
    /// The key that it blocks, when it is a tombstone.
    fn blocks(&self) -> Option<&str>;
}

/// A provider's books: folded from its facts, never changed otherwise.
pub(super) trait Books: Default + Send + 'static {
    type Fact: Fact;
    fn apply(&mut self, key: &str, fact: &Self::Fact);
}

/// A decision against a call, remembered under its key.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What is known of a key.
pub(super) enum Known<F> {
    Nothing,
    InProgress,
    Answered(Answer<F>),
}

/// A decided call. `first` is the one that decided it; its repeats only read.
pub(super) struct Settled<F> {
    pub(super) fact: F,
    pub(super) first: bool,
}

/// The books as a decision sees them.
pub(super) struct View<'a, B: Books> {
    pub(super) books: &'a B,
    pub(super) now: DateTime<Utc>,
    state: &'a State<B>,
}

/// One thing that was done under a reference.
pub(super) struct Deed<'a, F> {
    /// `None`: forgotten.
    pub(super) key: Option<&'a str>,
    pub(super) fact: &'a F,
}

impl<B: Books> View<'_, B> {
    /// What another key led to.
    pub(super) fn fact_of(&self, key: &str) -> Option<&B::Fact> {
        match self.state.record_of(key, self.now).map(|(_, record)| &record.answer) {
            Some(Answer::Done(fact)) => Some(fact),
            _ => None,
        }
    }
}

struct State<B: Books> {
    /// How long keys live; `None`: as long as the ledger.
    keys: Option<TimeDelta>,
    books: B,
    records: Vec<Record<B::Fact>>,
    by_key: HashMap<Arc<str>, usize>,
    /// Indices into `records`: the entry with number n is at n − 1.
    acted: Vec<usize>,
    /// Indices into `records`, in order.
    by_reference: HashMap<String, Vec<usize>>,
    /// Keys that may not act, and since when.
    blocked: HashMap<String, DateTime<Utc>>,
    running: HashSet<String>,
    stumbles: HashMap<String, u32>,
}

impl<B: Books> State<B> {
    fn new(keys: Option<Duration>) -> Self {
        Self {
            keys: keys.map(|keys| TimeDelta::from_std(keys).unwrap_or(TimeDelta::MAX)),
            books: B::default(),
            records: Vec::new(),
            by_key: HashMap::new(),
            acted: Vec::new(),
            by_reference: HashMap::new(),
            blocked: HashMap::new(),
            running: HashSet::new(),
            stumbles: HashMap::new(),
        }
    }

    fn is_forgotten(&self, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.keys.is_some_and(|keys| now - at >= keys)
    }

    /// What a key led to, unless that is forgotten.
    fn record_of(&self, key: &str, now: DateTime<Utc>) -> Option<(usize, &Record<B::Fact>)> {
        let index = *self.by_key.get(key)?;
        let record = self.records.get(index).filter(|record| !self.is_forgotten(record.at, now))?;
        Some((index, record))
    }

    fn is_blocked(&self, key: &str, now: DateTime<Utc>) -> bool {
        self.blocked.get(key).is_some_and(|at| !self.is_forgotten(*at, now))
    }

    fn take(&mut self, record: Record<B::Fact>) {
        if let Answer::Done(fact) = &record.answer {
            self.books.apply(&record.key, fact);
            if fact.acted().is_some() {
                self.acted.push(self.records.len());
            }
            if let Some(forward_key) = fact.blocks() {
                self.blocked.insert(forward_key.to_owned(), record.at);
            }
            self.by_reference.entry(record.reference.clone()).or_default().push(self.records.len());
        }
        self.by_key.insert(Arc::clone(&record.key), self.records.len());
        self.records.push(record);
    }
}

/// A provider's ledger over books `B`.
pub(super) struct Ledger<B: Books> {
    state: Mutex<State<B>>,
    journal: Journal,
    /// Time goes on from here by the runtime's clock, which a test may own.
    began: (DateTime<Utc>, Instant),
}

impl<B: Books> Ledger<B> {
    /// A ledger that lasts as long as the process, for tests and measurements.
    pub(super) fn volatile(keys: Option<Duration>) -> Self {
        Self::over(State::new(keys), Journal::volatile())
    }

    /// The same by a clock that others go by too.
    #[cfg(test)]
    pub(super) fn volatile_since(began: (DateTime<Utc>, Instant), keys: Option<Duration>) -> Self {
        Self { began, ..Self::volatile(keys) }
    }

    /// Opens or creates the ledger in a file of its own, and forgets keys that are older than `keys`. Blocks while it reads.
    pub(super) fn open(path: &Path, keys: Option<Duration>, lasts: Lasts) -> Result<Self, OpenError> {
        let mut state = State::new(keys);
        let take = |line: &[u8]| {
            let record: Record<B::Fact> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            if !record.again && state.by_key.contains_key(&record.key) {
                return Err(format!("the key {} a second time", record.key));
            }
            state.take(record);
            Ok(())
        };
        let journal = match lasts {
            Lasts::BeyondTheMachine => Journal::open(path, take)?,
            Lasts::BeyondTheProcess => Journal::open_unsynced(path, take)?,
        };
        Ok(Self::over(state, journal))
    }

    fn over(state: State<B>, journal: Journal) -> Self {
        Self { state: Mutex::new(state), journal, began: (Utc::now(), Instant::now()) }
    }

    fn now(&self) -> DateTime<Utc> {
        let (at, began) = self.began;
        TimeDelta::from_std(began.elapsed()).ok().and_then(|since| at.checked_add_signed(since)).unwrap_or(at)
    }

    /// How long keys live; `None`: as long as the ledger.
    pub(super) fn key_lifetime(&self) -> Option<Duration> {
        self.lock().keys.and_then(|keys| keys.to_std().ok())
    }

    /// Decides a call, or finds what was decided; returns when that is durable.
    pub(super) async fn settle(
        &self,
        call: &Call<'_>,
        decide: impl FnOnce(&View<'_, B>) -> Result<B::Fact, Refusal>,
    ) -> Result<Settled<B::Fact>, Fault> {
        let (answer, durable_at, first) = self.settle_now(call, decide)?;
        self.durable(durable_at).await?;
        match answer {
            Answer::Done(fact) => Ok(Settled { fact, first }),
            Answer::Refused { code, message } => Err(Fault::Refused { code, message }),
        }
    }

    fn settle_now(
        &self,
        call: &Call<'_>,
        decide: impl FnOnce(&View<'_, B>) -> Result<B::Fact, Refusal>,
    ) -> Result<(Answer<B::Fact>, u64, bool), Fault> {
        let mut state = self.lock();
        let now = self.now();
        if let Some((index, record)) = state.record_of(call.key, now) {
            if record.fingerprint != call.fingerprint {
                return Err(Fault::refused("key_reused", "the idempotency key was used for another request"));
            }
            return Ok((record.answer.clone(), index as u64 + 1, false));
        }
        if state.is_blocked(call.key, now) {
            return Ok((blocked(), state.records.len() as u64, false));
        }
        if !call.owns_key && state.running.contains(call.key) {
            return Err(Fault::InProgress);
        }
        match self.journal.room() {
            Room::Free => {}
            Room::Full => return Err(Fault::unavailable("too much waits for the disk")),
            Room::Broken => return Err(broken()),
        }
        let now = now.trunc_subsecs(6);
        let answer = match decide(&View { books: &state.books, now, state: &state }) {
            Ok(fact) => Answer::Done(fact),
            Err(refusal) => Answer::Refused { code: refusal.code.to_owned(), message: refusal.message },
        };
        let record = Record {
            key: Arc::from(call.key),
            fingerprint: call.fingerprint,
            reference: call.reference.to_owned(),
            at: now,
            again: state.by_key.contains_key(call.key),
            answer: answer.clone(),
        };
        let mut line = serde_json::to_vec(&record).map_err(|error| Fault::Failed(error.to_string()))?;
        line.push(b'\n');
        self.journal.append(&line);
        state.stumbles.remove(call.key);
        state.take(record);
        Ok((answer, state.records.len() as u64, true))
    }

    /// What is known of a key; durable when it returns.
    pub(super) async fn known(&self, key: &str) -> Result<Known<B::Fact>, Fault> {
        let (known, durable_at) = {
            let (state, now) = (self.lock(), self.now());
            match state.record_of(key, now) {
                Some((index, record)) => (Known::Answered(record.answer.clone()), index as u64 + 1),
                None if state.is_blocked(key, now) => (Known::Answered(blocked()), state.records.len() as u64),
                None if state.running.contains(key) => (Known::InProgress, 0),
                None => (Known::Nothing, 0),
            }
        };
        self.durable(durable_at).await?;
        Ok(known)
    }

    /// Reads the books; what was read is durable when it returns.
    pub(super) async fn look<T>(&self, read: impl FnOnce(&B) -> T) -> Result<T, Fault> {
        let (value, durable_at) = {
            let state = self.lock();
            (read(&state.books), state.records.len() as u64)
        };
        self.durable(durable_at).await?;
        Ok(value)
    }

    /// What was done under a reference, in order; durable when it returns. Refusals are none.
    pub(super) async fn under<T>(
        &self,
        reference: &str,
        read: impl FnOnce(&[Deed<'_, B::Fact>]) -> T,
    ) -> Result<T, Fault> {
        let (value, durable_at) = {
            let (state, now) = (self.lock(), self.now());
            let records =
                state.by_reference.get(reference).into_iter().flatten().filter_map(|index| state.records.get(*index));
            let deeds: Vec<_> = records
                .filter_map(|record| {
                    let Answer::Done(fact) = &record.answer else { return None };
                    let key = (!state.is_forgotten(record.at, now)).then_some(&*record.key);
                    Some(Deed { key, fact })
                })
                .collect();
            (read(&deeds), state.records.len() as u64)
        };
        self.durable(durable_at).await?;
        Ok(value)
    }

    /// Whether a call with this key has nothing to wait for: it was decided or blocked.
    pub(super) fn is_decided(&self, key: &str) -> bool {
        let (state, now) = (self.lock(), self.now());
        state.record_of(key, now).is_some() || state.is_blocked(key, now)
    }

    /// Marks a key as being worked on until the mark is dropped; `None` when it already is.
    pub(super) fn run(self: &Arc<Self>, key: &str) -> Option<Running<B>> {
        self.lock().running.insert(key.to_owned()).then(|| Running { ledger: Arc::clone(self), key: key.to_owned() })
    }

    /// Counts one more failure on purpose for a key that has not acted; false when it has failed `times` times already.
    pub(super) fn stumbles(&self, key: &str, times: u32) -> bool {
        let mut state = self.lock();
        if state.stumbles.len() >= MAX_STUMBLING_KEYS && !state.stumbles.contains_key(key) {
            return times > 0;
        }
        let count = state.stumbles.entry(key.to_owned()).or_default();
        *count += 1;
        *count <= times
    }

    /// The number of the last entry.
    pub(super) fn last_seq(&self) -> u64 {
        self.lock().acted.len() as u64
    }

    /// Up to `limit` entries with numbers above `after`; durable when it returns.
    pub(super) async fn entries(&self, after: u64, limit: usize) -> Result<Vec<Entry>, Fault> {
        let (page, durable_at) = {
            let state = self.lock();
            let skip = usize::try_from(after).unwrap_or(usize::MAX);
            let indices = state.acted.iter().enumerate().skip(skip).take(limit);
            let page: Vec<Entry> =
                indices.filter_map(|(n, index)| state.records.get(*index)?.entry(n as u64 + 1)).collect();
            let last = state.acted.get(skip..).and_then(|rest| rest.get(..limit.min(rest.len()))?.last());
            (page, last.map_or(0, |index| *index as u64 + 1))
        };
        self.durable(durable_at).await?;
        Ok(page)
    }

    async fn durable(&self, records: u64) -> Result<(), Fault> {
        self.journal.durable(records).await.map_err(|_| broken())
    }

    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that is being worked on.
pub(super) struct Running<B: Books> {
    ledger: Arc<Ledger<B>>,
    key: String,
}

impl<B: Books> Drop for Running<B> {
    fn drop(&mut self) {
        self.ledger.lock().running.remove(&self.key);
    }
}

fn broken() -> Fault {
    Fault::Failed("the ledger can't be written".to_owned())
}

fn blocked<F>() -> Answer<F> {
    Answer::Refused { code: "voided".to_owned(), message: "the key was blocked by a void before it acted".to_owned() }
}
