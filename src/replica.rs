//! Feeds a replica: carries the log from Kafka into a database of its own, beside which projections and queries run as they do beside the store.
//!
//! ```text
//! Kafka ─▶ KafkaFeed (each event once, in position order) ─▶ Replica::apply (one transaction a batch) ─▶ NOTIFY ─▶ StoreFeed ─▶ projections
//! ```
//!
//! Its place is the replica's own head: a kill at any moment loses nothing and doubles nothing. It never gives up by itself: Kafka and the
//! database are tried again for ever, and where it must not go on it says why, and looks again now and then. It writes nowhere else.
use chrono::Utc;
use eventstore::{
    EventFeed, FeedError, Log, Position, RecordedEvent,
    sql::replica::{self, Replica, ReplicaError},
};
use metrics::{counter, gauge, histogram};
use mirror::{KafkaConfig, KafkaFeed, Place};
use sqlx::PgPool;
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The most events of one transaction.
const MAX_BATCH_EVENTS: usize = 2_000;
/// The fewest events asked for, however large they are.
const MIN_BATCH_EVENTS: usize = 16;
/// What a transaction should hold at most, judged by the size of the events before.
const TARGET_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// A pause after a failure: doubled each time, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a replica that has halted looks whether it may go on.
const HALTED_CHECK: Duration = Duration::from_secs(5);
/// A stop waits no longer for the transaction under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How it stands. `position`: all up to there is in the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaStatus {
    Starting,
    /// It takes what comes. Whether that is all there is, only the store knows.
    Following {
        position: Position,
    },
    /// Kafka can't be read; it is tried again for ever.
    KafkaDown {
        position: Position,
        error: String,
    },
    /// The replica's own database can't be used; it is tried again for ever.
    DatabaseDown {
        position: Position,
        error: String,
    },
    /// Going on would make it something else than a copy: a person has to look.
    Halted {
        position: Position,
        why: String,
    },
    Stopped {
        position: Position,
    },
}

impl ReplicaStatus {
    pub fn position(&self) -> Position {
        match self {
            ReplicaStatus::Starting => Position::ZERO,
            ReplicaStatus::Following { position }
            | ReplicaStatus::KafkaDown { position, .. }
            | ReplicaStatus::DatabaseDown { position, .. }
            | ReplicaStatus::Halted { position, .. }
            | ReplicaStatus::Stopped { position } => *position,
        }
    }
}

/// Why it can't go on at once.
#[derive(Debug)]
enum Ended {
    Kafka(String),
    Database(String),
    Halt(String),
}

#[derive(Debug)]
pub struct ReplicaTask {
    pool: PgPool,
    log: Log,
    kafka: KafkaConfig,
    status: watch::Sender<ReplicaStatus>,
    stop: CancellationToken,
}

/// A replica being fed. Dropping the handle leaves it at work until its token is cancelled.
#[derive(Debug)]
pub struct ReplicaHandle {
    status: watch::Receiver<ReplicaStatus>,
    task: JoinHandle<()>,
}

impl ReplicaHandle {
    pub fn status(&self) -> ReplicaStatus {
        self.status.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<ReplicaStatus> {
        self.status.clone()
    }

    /// Ends it where it stands, as a crash would.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Waits for its end, after its token was cancelled: 2 s at most.
    pub async fn join(mut self) {
        if tokio::time::timeout(STOP_TIMEOUT, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl ReplicaTask {
    /// Feeds the replica in this database, which has all migrations and nothing in it yet, or a replica of the same topics. Ends by `stop` alone.
    pub fn spawn(pool: PgPool, log: Log, kafka: KafkaConfig, stop: CancellationToken) -> ReplicaHandle {
        let (status, watching) = watch::channel(ReplicaStatus::Starting);
        let task = ReplicaTask { pool, log, kafka, status, stop };
        ReplicaHandle { status: watching, task: tokio::spawn(task.run()) }
    }

    async fn run(self) {
        let mut backoff = BACKOFF.0;
        while !self.stop.is_cancelled() {
            let before = self.position();
            let ended = tokio::select! {
                () = self.stop.cancelled() => break,
                Err(ended) = self.follow() => ended,
            };
            if self.position() > before {
                backoff = BACKOFF.0;
            }
            let pause = if matches!(ended, Ended::Halt(_)) { HALTED_CHECK } else { backoff };
            self.tell(ended);
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(pause) => backoff = (backoff * 2).min(BACKOFF.1),
            }
        }
        self.status.send_replace(ReplicaStatus::Stopped { position: self.position() });
    }

    /// Follows the log from the replica's head on; ends only where it can't go on.
    async fn follow(&self) -> Result<Infallible, Ended> {
        let mut replica = Replica::open(&self.pool, self.log, &self.kafka.topic_prefix).await?;
        let (incarnation, position) = replica.head();
        let place = if position == Position::ZERO { Place::START } else { Place { incarnation, position } };
        // Asked first: an idle log tells nothing, and one that was trimmed would be waited for in vain.
        self.look(place).await?;
        let mut feed = KafkaFeed::whole(self.kafka.clone(), self.log, place);
        tracing::info!(log = %self.log.name(), %position, "the replica goes on");
        self.following(position);
        let mut limit = MIN_BATCH_EVENTS * 8;
        loop {
            let events = match feed.next(limit).await {
                Ok(events) => events,
                Err(error) => return Err(self.why(error, feed.place()).await),
            };
            limit = next_limit(&events);
            let (began, count) = (Instant::now(), events.len() as u64);
            let position = replica.apply(&events, feed.lives()).await?;
            let age = events.last().map(|event| (Utc::now() - event.recorded_at).as_seconds_f64().max(0.0));
            counter!("waybill_replica_events_total").increment(count);
            histogram!("waybill_replica_batch_seconds").record(began.elapsed());
            // How long the latest event has been on its way; both clocks are taken as they are.
            gauge!("waybill_replica_lag_seconds").set(age.unwrap_or_default());
            self.following(position);
        }
    }

    /// Whether Kafka is there, and still holds what follows this place.
    async fn look(&self, place: Place) -> Result<(), Ended> {
        match mirror::trimmed_beyond(&self.kafka, self.log, place).await {
            Ok(None) => Ok(()),
            Ok(Some(topic)) => Err(Ended::Halt(format!(
                "{topic} was trimmed: Kafka no longer holds all that follows position {}. Stop this, fill the replica by `waybill log export` \
                 beside the store and `waybill log import` here (one that holds something is emptied first, with --from-scratch), and start it again",
                place.position
            ))),
            Err(error) => Err(Ended::Kafka(error.to_string())),
        }
    }

    /// What a feed's failure means for a copy. Who was trimmed off meanwhile hears of a broken chain.
    async fn why(&self, error: FeedError, place: Place) -> Ended {
        match error {
            FeedError::Unavailable(why) => Ended::Kafka(why),
            FeedError::Corrupt(why) => match self.look(place).await {
                Err(trimmed @ Ended::Halt(_)) => trimmed,
                _ => Ended::Halt(format!("{why} (a replica is made anew with --from-scratch)")),
            },
        }
    }

    fn following(&self, position: Position) {
        gauge!("waybill_replica_position").set(position.0 as f64);
        gauge!("waybill_replica_following").set(1.0);
        self.status.send_replace(ReplicaStatus::Following { position });
    }

    fn position(&self) -> Position {
        self.status.borrow().position()
    }

    /// Logged once for each new trouble, not for each try.
    fn tell(&self, ended: Ended) {
        gauge!("waybill_replica_following").set(0.0);
        counter!("waybill_replica_failures_total").increment(1);
        let position = self.position();
        let status = match ended {
            Ended::Kafka(error) => ReplicaStatus::KafkaDown { position, error },
            Ended::Database(error) => ReplicaStatus::DatabaseDown { position, error },
            Ended::Halt(why) => ReplicaStatus::Halted { position, why },
        };
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            if changed {
                tracing::error!(?status, "the replica stands still; trying again");
                *known = status;
            }
            changed
        });
    }
}

/// As many events as make a batch of the wished size, if they are like these.
fn next_limit(batch: &[RecordedEvent]) -> usize {
    /// Metadata and such, beside the payload.
    const OVERHEAD: usize = 1_000;
    let bytes: usize = batch.iter().map(|event| event.payload.get().len() + OVERHEAD).sum();
    let average = bytes / batch.len().max(1);
    (TARGET_BATCH_BYTES / average.max(1)).clamp(MIN_BATCH_EVENTS, MAX_BATCH_EVENTS)
}

impl From<ReplicaError> for Ended {
    fn from(error: ReplicaError) -> Self {
        match error {
            // Somebody else feeds it too: the next try begins where that one is.
            ReplicaError::Unavailable(_) | ReplicaError::NotNext { .. } => Ended::Database(error.to_string()),
            error => Ended::Halt(error.to_string()),
        }
    }
}

/// `--from-scratch`: empties the replica and the read model that was built from it. Nobody may be feeding it meanwhile. What is no replica is refused.
pub async fn start_over(pool: &PgPool, log: Log) -> anyhow::Result<()> {
    if !replica::is_replica(pool, log).await? {
        anyhow::bail!("this database holds no replica: nothing in it is deleted");
    }
    // The read model first: killed in between, it is built again from a log that is still whole.
    queries::projections::reset_read_model(&pool.connect_options()).await?;
    replica::start_over(pool, log).await?;
    Ok(())
}
