//! When the next batch is written: at once where somebody may wait for it, and else not within moments of the one before.
//!
//! Most of what a batch costs, it costs however many events it holds, and an order's row is written once for all that happened to it since the
//! batch before. So after a batch the runner rests, but not where an order has ended: whoever placed it may wait for that, and finds the runner at
//! rest and not amid a batch that nobody waits for. Under load one has nearly always. What another process appended says nothing of itself before
//! it is read: after it the runner rests for as long as the batch took. What comes after a while without any is not waited with.
use super::builder::BATCH_EVENTS;
use eventstore::{EventStore, Position};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// Longer than an order that nothing holds up is under way, on a machine with time to spare; too short to be noticed.
const REST: Duration = Duration::from_millis(30);
const ENDS: [&str; 2] = ["OrderCompleted", "OrderCancelled"];

#[derive(Debug)]
pub(super) struct Pace {
    /// Where nobody waits for what has come.
    until: Instant,
    /// Where it can't be known.
    blind_until: Instant,
}

/// What came since the last batch, as far as can be told without reading it.
enum Came {
    AnEnd,
    NoEnd,
    Unknown,
}

impl Pace {
    pub(super) fn new() -> Pace {
        let now = Instant::now();
        Pace { until: now, blind_until: now }
    }

    /// A batch was written just now, and took so long.
    pub(super) fn wrote(&mut self, took: Duration) {
        let now = Instant::now();
        *self = Pace { until: now + REST, blind_until: now + took.min(REST) };
    }

    /// Until it is time to write what came after `after`, if anything has.
    pub(super) async fn rest(&self, store: &dyn EventStore, head: &mut watch::Receiver<Position>, after: Position) {
        let (mut looked_at, mut until) = (after, self.until);
        while Instant::now() < until {
            let last = *head.borrow_and_update();
            match came(store, looked_at, last) {
                Came::AnEnd => return,
                Came::Unknown => until = self.blind_until,
                Came::NoEnd => {}
            }
            looked_at = last;
            // A watch without a sender has nothing to tell.
            let is_full = between(after, last) >= BATCH_EVENTS;
            if is_full || !matches!(timeout_at(until, head.changed()).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}

fn came(store: &dyn EventStore, after: Position, last: Position) -> Came {
    let there = between(after, last);
    let known = store.recent(after, there);
    match () {
        () if known.len() < there => Came::Unknown,
        () if known.iter().any(|event| ENDS.contains(&&*event.event_type)) => Came::AnEnd,
        () => Came::NoEnd,
    }
}

fn between(after: Position, last: Position) -> usize {
    usize::try_from(last.0 - after.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{ENDS, Pace, REST};
    use domain::{
        Event,
        order::{CancelReason, OrderCancelled, OrderCompleted},
    };
    use eventstore::{EventStore, MemoryEventStore, Position};
    use std::time::Duration;
    use tokio::{sync::watch, time::Instant};

    #[test]
    fn the_ends_are_those_of_the_domain() {
        let ends = [OrderCompleted {}.into(), OrderCancelled { reason: CancelReason::Requested }.into()];
        assert_eq!(ends.map(|event: Event| event.event_type()), ENDS);
    }

    const TOOK: Duration = Duration::from_millis(8);

    #[tokio::test(start_paused = true)]
    async fn after_a_batch_it_rests_and_after_a_while_without_any_it_does_not() {
        let (store, (_sender, mut head)) = (MemoryEventStore::default(), watch::channel(Position(7)));
        let mut pace = Pace::new();
        pace.wrote(TOOK);
        for rests in [REST, Duration::ZERO] {
            assert_rests(rests, &pace, &store, &mut head).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_known_is_waited_with_for_as_long_as_the_batch_took_and_what_is_full_is_not() {
        let (store, (sender, mut head)) = (MemoryEventStore::default(), watch::channel(Position(7)));
        assert!(store.recent(Position(7), 1).is_empty(), "this store can't tell");
        let mut pace = Pace::new();
        for (there, took, rests) in [(1, TOOK, TOOK), (1, REST * 9, REST), (500, TOOK, Duration::ZERO)] {
            pace.wrote(took);
            sender.send_replace(Position(7 + there));
            assert_rests(rests, &pace, &store, &mut head).await;
        }
    }

    /// By the timer's grain.
    async fn assert_rests(rests: Duration, pace: &Pace, store: &dyn EventStore, head: &mut watch::Receiver<Position>) {
        let began = Instant::now();
        pace.rest(store, head, Position(7)).await;
        let rested = began.elapsed();
        assert!(rested >= rests && rested < rests + Duration::from_millis(2), "{rested:?}");
    }
}
