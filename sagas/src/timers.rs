//! Timers: which sagas are under way in slots that are newly ours, and which are due now.
//!
//! In a process waits are measured by the monotonic clock, so a step of the wall clock moves none of them. In the store a timer is two
//! instants by one reading of one clock: when it is due, and when it was set. Sagas read the store's clock (`time`), which is one for all;
//! the command side, whose timers are due at once, its own. Whoever reads a timer later waits until it is due by the store's clock, and
//! never for longer than from the one instant to the other: whichever clock was put back or forward, nobody waits for longer than was
//! meant, counted from the take-up.
use crate::retry::StoreBackoff;
use crate::runner::Shared;
use chrono::{DateTime, Utc};
use commands::history::SAGA_TIMER;
use commands::people::ERASURE_TIMER;
use eventstore::{Slot, Timer};
use std::sync::Arc;
use std::time::Duration;
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

/// How long to wait for it; `None`: it is due. One of which nobody said when it was set is of the release before, which set none that
/// was due later than after the longest wait between two tries.
fn wait(timer: &Timer, now: DateTime<Utc>, longest_untold: Duration) -> Option<Duration> {
    let meant = match timer.set_at {
        Some(set_at) => (timer.due_at - set_at).to_std().unwrap_or_default(),
        None => longest_untold,
    };
    (timer.due_at - now).to_std().ok().map(|wait| wait.min(meant)).filter(|wait| !wait.is_zero())
}

fn take_up(shared: &Arc<Shared>, timer: &Timer) {
    // What is due is taken up now, what is not when it is.
    let wait = wait(timer, shared.now(), shared.config.retry.longest());
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
                    biased;
                    () = tokio::time::sleep_until(next) => {}
                    () = shared.live.sooner.notified() => {}
                }
            }
            None => shared.live.sooner.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::wait;
    use chrono::{DateTime, TimeDelta, Utc};
    use eventstore::{StreamId, Timer};
    use std::time::Duration;
    use uuid::Uuid;

    const LONGEST: Duration = Duration::from_secs(330);

    fn timer(due: i64, set: Option<i64>) -> Timer {
        let at = |seconds| DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(1_000_000 + seconds);
        Timer { stream: StreamId::new(Uuid::nil(), "order"), name: "saga".into(), due_at: at(due), set_at: set.map(at) }
    }

    fn seconds(due: i64, set: Option<i64>, now: i64) -> u64 {
        let now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(1_000_000 + now);
        wait(&timer(due, set), now, LONGEST).map_or(0, |wait| wait.as_secs())
    }

    #[test]
    fn nobody_waits_for_longer_than_was_meant_however_the_clock_was_put() {
        assert_eq!(seconds(30, Some(0), 10), 20);
        assert_eq!(seconds(30, Some(0), 30), 0);
        assert_eq!(seconds(30, Some(0), -3 * 3600), 30, "put back by hours");
        assert_eq!(seconds(30, Some(0), 3 * 3600), 0, "put forward by hours");
        assert_eq!(seconds(0, Some(0), -3 * 3600), 0, "due at once is due at once");
        assert_eq!(seconds(-5, Some(0), -3 * 3600), 0, "due before it was set");
    }

    #[test]
    fn where_nobody_said_when_it_was_set_it_waits_no_longer_than_between_two_tries() {
        assert_eq!(seconds(30, None, 10), 20);
        assert_eq!(seconds(30, None, -3 * 3600), 330);
        assert_eq!(seconds(30, None, 3 * 3600), 0);
    }
}
