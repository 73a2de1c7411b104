//! What passes between the table of sagas under way and those who drive them.
use crate::limits::Participant;
use commands::History;
use eventstore::{Fence, Position};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// What a driver begins with, when it need not be read from the store.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    pub(crate) history: History,
    pub(crate) cause: Cause,
    /// The lease under which its saga began with it: good for as long as that is held. `None`: the history is the placement alone, and the
    /// first step an append, which finds out by itself when it comes too late.
    pub(crate) fence: Option<Fence>,
}

/// What the saga's next append answers.
#[derive(Clone, Debug, Default)]
pub struct Cause {
    /// The last command, the shop's or our own.
    pub command: Option<Uuid>,
    pub trace_id: Option<String>,
}

/// How a driver hears of what others append to its order.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    newest: AtomicI64,
    wake: Notify,
}

impl Signal {
    pub(crate) fn raise(&self, position: Position) {
        self.newest.fetch_max(position.0, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Up to where there is said to be something.
    pub(crate) fn newest(&self) -> Position {
        Position(self.newest.load(Ordering::Acquire))
    }

    /// There was nothing beyond `known`, whoever said so; unless more was said meanwhile.
    pub(crate) fn settle(&self, newest: Position, known: Position) {
        if known < newest {
            // Another value is news, and stays.
            let _ = self.newest.compare_exchange(newest.0, known.0, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// There is more than is known at `position`.
    pub(crate) fn is_beyond(&self, position: Position) -> bool {
        self.newest.load(Ordering::Acquire) > position.0
    }

    /// Waits until there is.
    pub(crate) async fn beyond(&self, position: Position) {
        while !self.is_beyond(position) {
            self.wake.notified().await;
        }
    }
}

/// A saga to be driven now.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) order: Uuid,
    pub(crate) seed: Option<Box<Seed>>,
    pub(crate) signal: Arc<Signal>,
    /// When its timer was due, if that is why.
    pub(crate) due: Option<Instant>,
}

/// How a driver leaves its saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Ended,
    /// For an event of someone else's.
    Idle,
    /// Until then, or until the participant is back.
    Until {
        due: Instant,
        parked: Option<Participant>,
    },
    /// The slot is not ours any more.
    Lost,
    Stopped,
}

impl Leave {
    /// How an order is left of whose sagas one leaves so and another so.
    pub(crate) fn or(self, other: Leave) -> Leave {
        match (self, other) {
            (Leave::Until { due, .. }, Leave::Until { due: sooner, .. }) if sooner < due => other,
            (Leave::Until { .. }, _) | (Leave::Idle, Leave::Ended | Leave::Idle) => self,
            _ => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;
    use eventstore::Position;

    #[test]
    fn what_is_not_there_is_not_looked_for_again_and_news_stays() {
        let signal = Signal::default();
        signal.raise(Position(9));
        let newest = signal.newest();
        signal.settle(newest, Position(7));
        assert!(!signal.is_beyond(Position(7)), "it was looked for");

        signal.raise(Position(9));
        let newest = signal.newest();
        signal.raise(Position(12));
        signal.settle(newest, Position(9));
        assert!(signal.is_beyond(Position(9)), "this was said meanwhile");
    }
}
