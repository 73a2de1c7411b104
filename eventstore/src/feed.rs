//! The feed: what sagas and projections read. The store feed reads by position; the mirror has one over Kafka. One contract suite for both.
use crate::{EventStore, Position, ReadError, RecordedEvent};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;

/// How long the store feed trusts its watch before it looks for itself.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// Events in position order, each once, none left out.
#[async_trait]
pub trait EventFeed: Send {
    /// Waits until there is at least one more event; answers at most `max` (at least 1), in position order, without a gap.
    /// After an error the same events come again: nothing is passed over. Dropping the future loses nothing.
    async fn next(&mut self, max: usize) -> Result<Vec<RecordedEvent>, FeedError>;
}

#[derive(Clone, Debug, Error)]
pub enum FeedError {
    #[error("the feed can't be read now: {0}")]
    Unavailable(String),
    #[error("what the feed holds can't be read: {0}")]
    Corrupt(String),
}

impl From<ReadError> for FeedError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(why) => FeedError::Unavailable(why),
            ReadError::Corrupt(why) => FeedError::Corrupt(why),
        }
    }
}

/// Reads the store's log from a position on.
#[derive(Debug)]
pub struct StoreFeed {
    store: Arc<dyn EventStore>,
    after: Position,
    head: watch::Receiver<Position>,
}

impl StoreFeed {
    /// The first event it answers is the one after `after`.
    pub fn new(store: Arc<dyn EventStore>, after: Position) -> StoreFeed {
        let head = store.watch_head();
        StoreFeed { store, after, head }
    }

    /// The position of the last event that it answered, or where it began.
    pub fn position(&self) -> Position {
        self.after
    }
}

#[async_trait]
impl EventFeed for StoreFeed {
    async fn next(&mut self, max: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        loop {
            let after = self.after;
            if *self.head.borrow_and_update() <= after {
                // Woken by the watch; or by nobody, and then it looks for itself. A watch without a sender can only time out.
                let moved = async {
                    if self.head.wait_for(|head| *head > after).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                };
                let _ = tokio::time::timeout(LOOK_ANYWAY, moved).await;
            }
            let events = self.store.read_next(after, max.max(1)).await?;
            if let Some(last) = events.last() {
                self.after = last.position;
                return Ok(events);
            }
        }
    }
}
