//! What many drivers ask of the store at the same moment, asked in few queries: histories, and timers that move.
//!
//! Thousands of sagas may be due at once, or taken over: each read by itself would be a round trip a saga, and each moved timer a commit.
use crate::gather::Gather;
use crate::runner::Shared;
use chrono::TimeDelta;
use eventstore::{AppendError, EventStore, MAX_READ_AT_ONCE, Position, ReadError, RecordedEvent, StreamId, TimerMove};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Queries of a kind under way at the same time: few enough to leave the pool's connections to others.
const LANES: usize = 4;
/// Timers moved by one statement.
const MAX_MOVED_AT_ONCE: usize = 256;

pub(crate) type Histories = Gather<Uuid, Result<Vec<RecordedEvent>, ReadError>>;
pub(crate) type Moves = Gather<TimerMove, Result<(), AppendError>>;

pub(crate) fn histories(store: &Arc<dyn EventStore>) -> Histories {
    let store = Arc::clone(store);
    Gather::new(MAX_READ_AT_ONCE, LANES, move |ids| read(Arc::clone(&store), ids))
}

async fn read(store: Arc<dyn EventStore>, ids: Vec<Uuid>) -> Vec<Result<Vec<RecordedEvent>, ReadError>> {
    if let [id] = ids[..] {
        return vec![store.read_streams(id).await];
    }
    match store.read_streams_of(&ids).await {
        Ok(histories) => histories.into_iter().map(Ok).collect(),
        // One of them is damaged, and no other is to suffer for it.
        Err(ReadError::Corrupt(_)) => {
            let mut answers = Vec::with_capacity(ids.len());
            for id in ids {
                answers.push(store.read_streams(id).await);
            }
            answers
        }
        Err(error) => vec![Err(error); ids.len()],
    }
}

pub(crate) fn moves(store: &Arc<dyn EventStore>) -> Moves {
    let store = Arc::clone(store);
    Gather::new(MAX_MOVED_AT_ONCE, LANES, move |moves: Vec<TimerMove>| {
        let store = Arc::clone(&store);
        async move {
            let moved = store.move_timers(&moves).await;
            vec![moved; moves.len()]
        }
    })
}

impl Shared {
    /// An order's whole history.
    pub(crate) async fn history_of(&self, order: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        let read = self.histories.ask(order).await;
        read.unwrap_or_else(|| Err(ReadError::Unavailable("the read was given up".to_owned())))
    }

    /// A timer's move to so much later than now, as decided by who knew all up to a position.
    pub(crate) fn later(&self, stream: StreamId, name: &'static str, wait: Duration, upto: Position) -> TimerMove {
        let set_at = self.now();
        let due_at = set_at + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
        TimerMove { stream, name: name.into(), due_at, set_at, upto }
    }

    /// Moves it. Where that fails it would, after a restart, only be looked at too soon.
    pub(crate) async fn move_timer(&self, to: TimerMove) {
        let stream = to.stream.clone();
        let failure = match self.moves.ask(to).await {
            Some(Ok(())) => return,
            Some(Err(error)) => error.to_string(),
            None => "the move was given up".to_owned(),
        };
        tracing::debug!(%stream, failure, "the timer stays where it is");
    }
}
