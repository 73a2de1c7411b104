//! The Kafka feed: the log as Kafka tells it, for a read side on a database of its own.
//!
//! It reads all partitions and merges them by position, so it answers the log itself, without a gap. It begins where its caller's checkpoint
//! says: committed offsets are neither written nor read, and there is no group. It reads uncommitted records, since whatever is in Kafka is
//! committed in the store; what a later attempt writes again is dropped by its position. Each record must name the one before it: a broken
//! chain is an error, not an event less. A record that isn't ours is passed over: the chain proves that nothing of ours is left out by that.
//!
//! Where a new life of the log has begun, the records tell after which position: what an earlier life wrote beyond that is passed over.
//! Whoever was told of it already hears of an error until it begins again from a place that counts.
mod merge;

use crate::{
    KafkaConfig, MirrorError, Place, chain,
    lanes::{self, Fetch, Lanes},
    seek,
    topics::{self, Lane, blocking},
};
use async_trait::async_trait;
use eventstore::{EventFeed, FeedError, Lives, Log, Position, RecordedEvent};
use merge::Merge;
use std::{sync::Arc, time::Duration};

/// The broker holds an empty fetch this long. New records end it at once.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// How long a fetch waits that looks for a place.
const SEEK_WAIT: Duration = Duration::from_millis(10);
/// How often the consumer's own events are served while nothing comes.
const SERVE_EVERY: Duration = Duration::from_millis(100);
/// A pause before Kafka is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Later positions have come, this one hasn't: after this long, say so.
const OVERDUE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct KafkaFeed {
    config: KafkaConfig,
    log: Log,
    /// The last place answered: all before it was, too.
    after: Place,
    /// As far as the records tell.
    lives: Lives,
    open: Option<Merge>,
}

impl KafkaFeed {
    /// The whole log after `after`.
    pub fn whole(config: KafkaConfig, log: Log, after: Place) -> KafkaFeed {
        KafkaFeed { config, log, after, lives: Lives::first(), open: None }
    }

    /// The lives of the log, as far as the records tell.
    pub fn lives(&self) -> &Lives {
        &self.lives
    }

    /// The last place that it answered.
    pub fn place(&self) -> Place {
        self.after
    }

    async fn step(&mut self, max: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        if self.open.is_none() {
            match self.connect().await {
                // A log that was never mirrored is an empty log.
                Err(MirrorError::NotMirrored) => {
                    tokio::time::sleep(RETRY_AFTER).await;
                    return Ok(Vec::new());
                }
                connected => connected.map_err(unavailable)?,
            }
        }
        let Some(open) = self.open.as_mut() else { return Ok(Vec::new()) };
        open.fill(&mut self.lives)?;
        check_lives(self.after, &self.lives)?;
        let mut events = Vec::new();
        while events.len() < max
            && let Some((lane, event)) = open.take(Position(self.after.position.0 + 1))
        {
            self.after = self.after.max(Place::of(&event));
            events.push(event);
            let known = self.lives.current();
            open.fill_lane(lane, &mut self.lives)?;
            if self.lives.current() != known {
                // What was gathered is looked at again in the light of it.
                break;
            }
        }
        if !events.is_empty() {
            return Ok(events);
        }
        if let Some(later) = open.overdue(OVERDUE) {
            let missing = self.after.position.0 + 1;
            return Err(FeedError::Unavailable(format!("Kafka holds position {later}, but not {missing} before it")));
        }
        tokio::select! {
            () = open.woken() => {}
            () = tokio::time::sleep(SERVE_EVERY) => {}
        }
        Ok(Vec::new())
    }

    /// Finds the topics and the place in each partition, and begins to read.
    async fn connect(&mut self) -> Result<(), MirrorError> {
        let (config, log, after) = (self.config.clone(), self.log, self.after);
        let (merge, lives) = blocking(move || {
            // Apart from the one that reads: they fetch little, and this one what is committed.
            let finder = lanes::consumer(&config, "waybill-feed-lives", "read_committed", Fetch::Little, SEEK_WAIT)?;
            let routing = Arc::new(topics::find(&config, log, &finder)?.ok_or(MirrorError::NotMirrored)?);
            // What is gone by now is not answered first and taken back then.
            let lives = chain::known_lives(&chain::tails(&finder, &routing)?);
            let finder = lanes::consumer(&config, "waybill-feed-seek", "read_uncommitted", Fetch::Little, SEEK_WAIT)?;
            let begins = seek::offsets_after(&finder, &routing, after)?;
            let from: Vec<(Lane, i64)> = routing.lanes().map(|(lane, ..)| (lane, begins[lane.0].offset)).collect();
            let consumer = lanes::consumer(&config, "waybill-feed", "read_uncommitted", Fetch::Ahead, FETCH_WAIT)?;
            let lanes = Lanes::open(consumer, &routing, &from)?;
            Ok((Merge::new(lanes, routing, after), lives))
        })
        .await?;
        self.lives = lives.filter(|lives| lives.current() > self.lives.current()).unwrap_or_else(|| self.lives.clone());
        self.open = Some(merge);
        Ok(())
    }
}

#[async_trait]
impl EventFeed for KafkaFeed {
    async fn next(&mut self, max: usize) -> Result<Vec<RecordedEvent>, FeedError> {
        loop {
            match self.step(max.max(1)).await {
                Ok(events) if events.is_empty() => {}
                Ok(events) => return Ok(events),
                Err(error) => {
                    // Begins again from the last event answered.
                    self.open = None;
                    tokio::time::sleep(RETRY_AFTER).await;
                    return Err(error);
                }
            }
        }
    }
}

/// Fails when what was answered is gone since.
fn check_lives(answered: Place, lives: &Lives) -> Result<(), FeedError> {
    if !answered.is_abandoned(lives) {
        return Ok(());
    }
    let shared = lives.end_of(answered.incarnation).unwrap_or_default();
    Err(FeedError::Corrupt(format!(
        "the log has begun incarnation {} after position {shared}: what was read after that, up to {answered}, has been lost with incarnation {}; \
         whatever was built from it has to be built again",
        lives.current().0,
        answered.incarnation.0
    )))
}

fn unavailable(error: MirrorError) -> FeedError {
    FeedError::Unavailable(error.to_string())
}
