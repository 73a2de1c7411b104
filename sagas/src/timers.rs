//! Timers: which sagas are under way in slots that are newly ours, and which are due now.
use crate::retry::StoreBackoff;
use crate::runner::Shared;
use chrono::{DateTime, Utc};
use commands::history::SAGA_TIMER;
use commands::people::ERASURE_TIMER;
use eventstore::{Slot, Timer};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

/// Sagas taken up at once before others get a turn.
const AT_ONCE: usize = 256;

/// Reads the timers of slots as they become ours, page by page, as fast as they are worked off.
pub(crate) async fn load(shared: Arc<Shared>, mut taken: mpsc::Receiver<Vec<Slot>>) {
    while let Some(slots) = taken.recv().await {
        let (mut after, mut found) = (None, 0);
        while let Some(page) = page(&shared, &slots, after).await {
            let Some(last) = page.last() else { break };
            after = Some((last.due_at, last.stream.id));
            found += page.len();
            page.iter().for_each(|timer| take_up(&shared, timer));
            // A page that is not full is the last one.
            if page.len() < shared.config.page {
                break;
            }
            shared.live.has_room().await;
        }
        tracing::info!(slots = slots.len(), sagas = found, "sagas under way taken up");
    }
}

/// `None`: none of the slots is ours any more.
async fn page(shared: &Shared, slots: &[Slot], after: Option<(DateTime<Utc>, Uuid)>) -> Option<Vec<Timer>> {
    let mut backoff = StoreBackoff::new();
    loop {
        let ours: Vec<Slot> = slots.iter().copied().filter(|slot| shared.slots.holds(*slot)).collect();
        if ours.is_empty() {
            return None;
        }
        match shared.store.timers(&ours, after, shared.config.page).await {
            Ok(page) => return Some(page),
            Err(error) => tracing::warn!(%error, "timers can't be read now"),
        }
        backoff.pause(&shared.jitter).await;
    }
}

fn take_up(shared: &Arc<Shared>, timer: &Timer) {
    // What is due is taken up now, what is not when it is.
    let wait = (timer.due_at - shared.clock.now()).to_std().ok().filter(|wait| !wait.is_zero());
    if timer.name == ERASURE_TIMER {
        // Orders may have ended while nobody listened: it is looked at now, whatever it waited for.
        shared.erasures.found(timer.stream.id, Instant::now());
        return;
    }
    if timer.name != SAGA_TIMER {
        return;
    }
    if let Some(job) = shared.live.found(timer.stream.id, wait.map(|wait| Instant::now() + wait)) {
        shared.start(job);
    }
}

/// Takes up what is due.
pub(crate) async fn wake(shared: Arc<Shared>) {
    loop {
        let now = Instant::now();
        let (jobs, next) = shared.live.due(now, AT_ONCE);
        jobs.into_iter().for_each(|job| shared.start(job));
        match next {
            Some(next) if next <= now => tokio::task::yield_now().await,
            Some(next) => {
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = shared.live.sooner.notified() => {}
                }
            }
            None => shared.live.sooner.notified().await,
        }
    }
}
