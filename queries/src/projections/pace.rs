//! When the next batch is written: at once where somebody may wait for it, and else not within moments of the one before.
//!
//! Most of what a batch costs, it costs however many events it holds, and an order's row is written once for all that happened to it since the
//! batch before. So after a batch the runner rests, but not where an order has ended: whoever placed it may wait for that, and finds the runner at
//! rest and not amid a batch that nobody waits for. Under load one has nearly always. What another process appended says nothing of itself before
//! it is read: after it the runner rests for as long as the batch took. What comes after a while without any is not waited with.
use super::builder::BATCH_EVENTS;
use eventstore::{Position, RecordedEvent};
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

    /// Until it is time to write what came after `after`, if anything has. `recent`: as many events after a position, as far as this process
    /// appended them itself just now.
    pub(super) async fn rest(
        &self,
        recent: impl Fn(Position, usize) -> Vec<RecordedEvent>,
        head: &mut watch::Receiver<Position>,
        after: Position,
    ) {
        let (mut looked_at, mut until) = (after, self.until);
        while Instant::now() < until {
            let last = *head.borrow_and_update();
            if between(after, last) >= BATCH_EVENTS {
                return;
            }
            let there = between(looked_at, last);
            match is_awaited(&recent(looked_at, there), there) {
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

/// Whether an order ends in what is there; `None` where that can't be known without reading it.
fn is_awaited(known: &[RecordedEvent], there: usize) -> Option<bool> {
    (known.len() == there).then(|| known.iter().any(|event| ENDS.contains(&&*event.event_type)))
}

fn between(after: Position, last: Position) -> usize {
    usize::try_from(last.0 - after.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{BATCH_EVENTS, ENDS, Pace, REST};
    use domain::{
        Event,
        order::{CancelReason, OrderCancelled, OrderCompleted},
    };
    use eventstore::{Position, RecordedEvent, StreamId, contract::given};
    use std::time::Duration;
    use tokio::{sync::watch, time::Instant};
    use uuid::Uuid;

    #[test]
    fn the_ends_are_those_of_the_domain() {
        let ends = [OrderCompleted {}.into(), OrderCancelled { reason: CancelReason::Requested }.into()];
        assert_eq!(ends.map(|event: Event| event.event_type()), ENDS);
    }

    const TOOK: Duration = Duration::from_millis(8);
    /// The timer's.
    const GRAIN: Duration = Duration::from_millis(2);
    const AFTER: Position = Position(7);

    fn unknown(_after: Position, _count: usize) -> Vec<RecordedEvent> {
        Vec::new()
    }

    /// What lies after `AFTER`.
    fn known<'a>(types: &'a [&'static str]) -> impl Fn(Position, usize) -> Vec<RecordedEvent> + 'a {
        move |after, count| {
            let event = |(position, event_type): (i64, &&'static str)| RecordedEvent {
                event_type: (*event_type).into(),
                ..given::recorded(StreamId::new(Uuid::nil(), "order"), position)
            };
            let all = (AFTER.0 + 1..).zip(types).map(event);
            all.filter(|event| event.position > after).take(count).collect()
        }
    }

    /// How long it rests while the head moves on by one after each of these.
    async fn rested(
        pace: &Pace,
        recent: impl Fn(Position, usize) -> Vec<RecordedEvent>,
        moves: &[(Duration, i64)],
    ) -> Duration {
        let (head, mut watch) = watch::channel(AFTER);
        let began = Instant::now();
        let moving = async {
            for (pause, by) in moves {
                tokio::time::sleep(*pause).await;
                head.send_modify(|head| head.0 += by);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = moving => {}
            () = pace.rest(recent, &mut watch, AFTER) => {}
        }
        began.elapsed()
    }

    fn is(rested: Duration, expected: Duration) -> bool {
        rested >= expected && rested < expected + GRAIN
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_batch_it_rests_and_after_a_while_without_any_it_does_not() {
        let mut pace = Pace::new();
        pace.wrote(TOOK);
        for rests in [REST, Duration::ZERO] {
            let rested = rested(&pace, unknown, &[]).await;
            assert!(is(rested, rests), "{rested:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_rests_until_an_order_has_ended() {
        let (types, move_on) = (["PaymentCaptured", "ShipmentBooked", "OrderCompleted"], (TOOK, 1));
        for (moves, rests) in [(&[move_on; 2][..], REST), (&[move_on; 3], TOOK * 3), (&[(TOOK, 3)], TOOK)] {
            let mut pace = Pace::new();
            pace.wrote(TOOK);
            let rested = rested(&pace, known(&types), moves).await;
            assert!(is(rested, rests), "{moves:?}: {rested:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_known_is_waited_with_for_as_long_as_the_batch_took_and_what_is_full_is_not() {
        let mut pace = Pace::new();
        for (took, rests) in [(TOOK, TOOK), (REST * 9, REST)] {
            pace.wrote(took);
            let rested = rested(&pace, unknown, &[(Duration::ZERO, 1)]).await;
            assert!(is(rested, rests), "{rested:?}");
        }
        pace.wrote(TOOK);
        let full = i64::try_from(BATCH_EVENTS).unwrap();
        assert!(is(rested(&pace, unknown, &[(Duration::ZERO, full)]).await, Duration::ZERO));
    }
}
