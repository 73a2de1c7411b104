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
            if between(after, last) >= BATCH_EVENTS {
                return;
            }
            match is_awaited(store, looked_at, last) {
                Some(true) => return,
                Some(false) => {}
                None => until = self.blind_until,
            }
            looked_at = last;
            // A watch without a sender has nothing to tell.
            if !matches!(timeout_at(until, head.changed()).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}

/// Whether an order ends in what lies between; `None` where that can't be known without reading it.
fn is_awaited(store: &dyn EventStore, after: Position, last: Position) -> Option<bool> {
    let there = between(after, last);
    let known = store.recent(after, there);
    (known.len() == there).then(|| known.iter().any(|event| ENDS.contains(&&*event.event_type)))
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
    /// The timer's.
    const GRAIN: Duration = Duration::from_millis(2);

    #[tokio::test(start_paused = true)]
    async fn after_a_batch_it_rests_and_after_a_while_without_any_it_does_not() {
        let (store, (_sender, mut head)) = (MemoryEventStore::default(), watch::channel(Position(7)));
        let mut pace = Pace::new();
        pace.wrote(TOOK);
        for rests in [REST, Duration::ZERO] {
            let rested = rested(&pace, &store, &mut head).await;
            assert!(rested >= rests && rested < rests + GRAIN, "{rested:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_known_is_waited_with_for_as_long_as_the_batch_took_and_what_is_full_is_not() {
        let (store, (sender, mut head)) = (MemoryEventStore::default(), watch::channel(Position(7)));
        assert!(store.recent(Position(7), 1).is_empty(), "this store can't tell");
        let mut pace = Pace::new();
        for (took, rests) in [(TOOK, TOOK), (REST * 9, REST)] {
            pace.wrote(took);
            sender.send_replace(Position(8));
            let rested = rested(&pace, &store, &mut head).await;
            assert!(rested >= rests && rested < rests + GRAIN, "{rested:?}");
        }
        pace.wrote(TOOK);
        sender.send_replace(Position(507));
        assert_eq!(rested(&pace, &store, &mut head).await, Duration::ZERO);
    }

    async fn rested(pace: &Pace, store: &dyn EventStore, head: &mut watch::Receiver<Position>) -> Duration {
        let began = Instant::now();
        pace.rest(store, head, Position(7)).await;
        began.elapsed()
    }
}
