//! What time it is, for what is counted from what the history says: how long a step has been tried, how old a key is.
//!
//! By the store's clock, as it was told at the last round of leases, and carried on by the monotonic one: no step of this machine's clock
//! makes a budget run out, or a key look younger than it is. Before the first round, when nothing is driven yet, it is the machine's.
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct StoreTime(Mutex<Option<(DateTime<Utc>, Instant)>>);

impl StoreTime {
    /// The store says that it is `now`.
    pub(crate) fn told(&self, now: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Instant::now()));
    }

    pub(crate) fn now(&self) -> Option<DateTime<Utc>> {
        let told = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, at) = told?;
        now.checked_add_signed(TimeDelta::from_std(at.elapsed()).ok()?)
    }
}
