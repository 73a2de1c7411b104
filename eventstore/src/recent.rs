//! The events that this process has appended last, as any reader of the log is told them: readers beside the writer need not fetch them again.
//!
//! Invariants:
//! - positions without a hole, of one life of the log; whatever does not follow on what is held takes its place;
//! - only what is known to be committed is held. After a lost connection nothing is;
//! - bounded by number and by bytes: whoever is further behind reads the store.
use crate::prepared::Prepared;
use crate::{Appended, Expected, Incarnation, Log, Position, RecordedEvent, Version};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

const MAX_EVENTS: usize = 8_192;
const MAX_BYTES: usize = 16 << 20;
/// Of an event besides its payload, about.
const OVERHEAD: usize = 512;
/// A batch that has been under way for longer is waited for no more.
const LONGEST: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Recent {
    log: Log,
    held: Mutex<Held>,
    /// Since when a batch is being committed.
    committing: watch::Sender<Option<Instant>>,
}

/// A batch is being committed, until this is dropped.
#[derive(Debug)]
pub(crate) struct Committing<'a>(&'a watch::Sender<Option<Instant>>);

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

#[derive(Debug, Default)]
struct Held {
    events: VecDeque<RecordedEvent>,
    bytes: usize,
}

impl Recent {
    pub(crate) fn new(log: Log) -> Recent {
        Recent { log, held: Mutex::default(), committing: watch::Sender::new(None) }
    }

    /// A batch is about to be committed; one at a time.
    pub(crate) fn committing(&self) -> Committing<'_> {
        self.committing.send_replace(Some(Instant::now()));
        Committing(&self.committing)
    }

    /// Waits until the batch that is being committed now has been told here, if there is one.
    pub(crate) async fn settled(&self) {
        let mut committing = self.committing.subscribe();
        let since = *committing.borrow_and_update();
        if let Some(began) = since {
            let _ = tokio::time::timeout_at(began + LONGEST, committing.wait_for(|now| *now != since)).await;
        }
    }

    /// An append was committed, after all that were told before.
    pub(crate) fn committed(&self, prepared: &Prepared, incarnation: Incarnation, appended: &Appended) {
        if prepared.events.is_empty() {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = |last: &RecordedEvent| last.position.0 + 1 == appended.first.0 && last.incarnation == incarnation;
        if !held.events.back().is_some_and(follows) {
            held.clear();
        }
        for (at, position) in prepared.events.iter().zip(appended.first.0..) {
            let part = &prepared.append.streams[at.stream];
            let event = &part.events[at.event];
            let Expected::Exact(before) = part.expected else {
                // Its version is the store's alone to know.
                held.clear();
                continue;
            };
            held.push(RecordedEvent {
                log: self.log,
                incarnation,
                position: Position(position),
                stream: part.stream.clone(),
                version: Version(before.0 + at.nth),
                shop: prepared.append.shop.clone(),
                event_type: event.event_type.clone(),
                schema_version: event.schema_version,
                payload: event.payload.clone(),
                metadata: prepared.append.metadata.clone(),
                recorded_at: appended.recorded_at,
            });
        }
    }

    /// What was committed is not known any more.
    pub(crate) fn forget(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Those after `after`, at most `limit`; none when the next one is not held.
    pub(crate) fn after(&self, after: Position, limit: usize) -> Vec<RecordedEvent> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = held.events.front() else { return Vec::new() };
        let Ok(skipped) = usize::try_from(after.0 + 1 - first.position.0) else { return Vec::new() };
        held.events.iter().skip(skipped).take(limit).cloned().collect()
    }
}

impl Held {
    fn push(&mut self, event: RecordedEvent) {
        self.bytes += size(&event);
        self.events.push_back(event);
        while self.events.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.events.pop_front() else { return };
            self.bytes -= size(&oldest);
        }
    }

    fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }
}

fn size(event: &RecordedEvent) -> usize {
    OVERHEAD + event.payload.get().len()
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, MAX_EVENTS, Recent};
    use crate::contract::given::{append, stream};
    use crate::prepared::Prepared;
    use crate::{Append, Appended, Expected, Incarnation, Log, Position};
    use chrono::Utc;
    use futures_util::poll;
    use std::pin::pin;
    use tokio::time::Instant;

    fn commit(recent: &Recent, append: Append, first: i64, life: i32) {
        let prepared = Prepared::new(append).unwrap();
        let last = first + prepared.events.len() as i64 - 1;
        let appended = Appended { first: Position(first), last: Position(last), recorded_at: Utc::now() };
        recent.committed(&prepared, Incarnation(life), &appended);
    }

    fn positions(recent: &Recent, after: i64, limit: usize) -> Vec<i64> {
        recent.after(Position(after), limit).iter().map(|event| event.position.0).collect()
    }

    #[test]
    fn who_follows_gets_what_comes_next_and_who_is_behind_or_ahead_gets_nothing() {
        let recent = Recent::new(Log::MAIN);
        assert!(positions(&recent, 0, 10).is_empty());
        commit(&recent, append().with(&stream(), 0, &["a", "b"]), 5, 1);
        commit(&recent, append().with(&stream(), 7, &["c"]), 7, 1);
        assert_eq!(positions(&recent, 4, 10), [5, 6, 7]);
        assert_eq!(positions(&recent, 5, 1), [6]);
        assert_eq!(
            (positions(&recent, 3, 10), positions(&recent, 7, 10), positions(&recent, 9, 10)),
            (vec![], vec![], vec![])
        );
        assert_eq!(recent.after(Position(6), 1)[0].version.0, 8);
    }

    #[test]
    fn nothing_is_told_across_a_hole_a_new_life_or_an_unknown_version() {
        let recent = Recent::new(Log::MAIN);
        commit(&recent, append().with(&stream(), 0, &["a"]), 1, 1);
        commit(&recent, append().with(&stream(), 0, &["b"]), 3, 1);
        assert_eq!((positions(&recent, 0, 10), positions(&recent, 2, 10)), (vec![], vec![3]));
        commit(&recent, append().with(&stream(), 0, &["c"]), 4, 2);
        assert_eq!((positions(&recent, 2, 10), positions(&recent, 3, 10)), (vec![], vec![4]));
        let mut any = append().with(&stream(), 0, &["d"]);
        any.streams[0].expected = Expected::Any;
        commit(&recent, any, 5, 2);
        assert_eq!((positions(&recent, 3, 10), positions(&recent, 4, 10)), (vec![], vec![]));
        commit(&recent, append().with(&stream(), 0, &["e"]), 6, 2);
        assert_eq!(positions(&recent, 5, 10), [6]);
        recent.forget();
        assert!(positions(&recent, 5, 10).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_under_way_is_waited_for_and_no_later_one_and_not_for_ever() {
        let recent = Recent::new(Log::MAIN);
        recent.settled().await;
        let batch = recent.committing();
        let mut settled = pin!(recent.settled());
        assert!(poll!(&mut settled).is_pending());
        drop(batch);
        tokio::time::advance(LONGEST / 10).await;
        let next = recent.committing();
        assert!(poll!(&mut settled).is_ready(), "whoever came before the next one");
        let since = Instant::now();
        recent.settled().await;
        assert_eq!(since.elapsed(), LONGEST);
        recent.settled().await;
        assert_eq!(since.elapsed(), LONGEST, "one that hangs holds up nobody after that");
        drop(next);
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
        let recent = Recent::new(Log::MAIN);
        for position in 1..=MAX_EVENTS as i64 + 10 {
            commit(&recent, append().with(&stream(), 0, &["a"]), position, 1);
        }
        assert_eq!((positions(&recent, 9, 1), positions(&recent, 10, usize::MAX).len()), (vec![], MAX_EVENTS));
    }
}
