//! A copy of a log in a database of its own, for a read side that stands apart: filled from Kafka in position order, into the very same
//! tables, so that projections and queries read it as they read the store.
//!
//! Invariants:
//! - a database is a replica because it says so (`replicas`), from before its first event on; a store never becomes one, and nothing is
//!   appended to one (`PgEventStore::append` refuses);
//! - an event is written as it was recorded, only exactly after the last one, whole batches in one transaction under the log's lock: two
//!   who feed one replica can't write an event twice;
//! - no event is deleted. Where a later life of the log has lost what is here, nothing more is written: the replica is made anew.
use super::inspect::{StoredEvent, StoredLife};
use super::{lives, read_error, slots, transfer};
use crate::append::MAX_PAYLOAD_BYTES;
use crate::checksum::Sent;
use crate::{Incarnation, Life, Lives, Log, Position, ReadError, RecordedEvent};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;

/// Why a life is here, as the table of lives says it.
const TOLD: &str = "told by the mirror";

#[derive(Debug, Error)]
pub enum ReplicaError {
    #[error("the replica's database can't be used now: {0}")]
    Unavailable(#[from] sqlx::Error),
    #[error(
        "this database holds a log of its own, up to position {head}: a replica needs a database on which nothing was ever started"
    )]
    NotAReplica { head: Position },
    #[error("this database is a replica of {was}, not of {is}")]
    OtherSource { was: String, is: String },
    /// Somebody else feeds it too, or the events aren't the next ones: open it again, and go on from there.
    #[error("position {found} does not follow the replica's last, {head}")]
    NotNext { head: Position, found: Position },
    /// A later life of the log has lost what is here.
    #[error(
        "the log has begun incarnation {} after position {after}, and this replica holds what was lost by that, up to position {head}: \
         make it anew with --from-scratch", .incarnation.0
    )]
    Lost { incarnation: Incarnation, after: Position, head: Position },
    #[error("the log tells of its lives otherwise than this replica knows them, at incarnation {}: make it anew with --from-scratch", .incarnation.0)]
    OtherLives { incarnation: Incarnation },
    #[error("the event at position {position} can't be one of the log: {why}")]
    Corrupt { position: Position, why: String },
}

/// A replica that is open for what comes next.
#[derive(Debug)]
pub struct Replica {
    pool: PgPool,
    log: Log,
    head: Position,
    recorded_at: DateTime<Utc>,
    lives: Lives,
}

impl Replica {
    /// Opens the replica of a log, and marks an empty database as one. `source` says whose copy it is: a replica of one is never fed by another.
    pub async fn open(pool: &PgPool, log: Log, source: &str) -> Result<Replica, ReplicaError> {
        slots::begin_log(pool, log).await.map_err(unavailable)?;
        let mut transaction = pool.begin().await?;
        lock(&mut transaction, log).await?;
        let (head, recorded_at) = last(&mut transaction, log).await?;
        match marked(&mut transaction, log).await? {
            Some(was) if was == source => {}
            Some(was) => return Err(ReplicaError::OtherSource { was, is: source.to_owned() }),
            None if head > Position::ZERO => return Err(ReplicaError::NotAReplica { head }),
            None => mark(&mut transaction, log, source).await?,
        }
        transaction.commit().await?;
        let lives = lives::lives(pool, log).await.map_err(unavailable)?;
        Ok(Replica { pool: pool.clone(), log, head, recorded_at, lives })
    }

    /// The last event that is here, as the world orders it; position 0: there is none.
    pub fn head(&self) -> (Incarnation, Position) {
        (self.lives.of(self.head), self.head)
    }

    /// Writes the next events, all or none, and tells whoever listens; answers the new head. `told` are the lives that the source knows of:
    /// those up to the last event's own are written down with it.
    pub async fn apply(&mut self, events: &[RecordedEvent], told: &Lives) -> Result<Position, ReplicaError> {
        let Some(last_event) = events.last() else { return Ok(self.head) };
        let new = self.new_lives(events, told)?;
        let known = new.iter().fold(self.lives.clone(), |lives, life| lives.with(life.clone()));
        self.check(events, &known)?;
        let rows: Vec<StoredEvent> = events.iter().map(stored).collect();
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction, self.log).await?;
        let (head, _) = last(&mut transaction, self.log).await?;
        if head != self.head || marked(&mut transaction, self.log).await?.is_none() {
            return Err(ReplicaError::NotNext { head, found: events[0].position });
        }
        for life in &new {
            insert_life(&mut transaction, self.log, &stored_life(life)).await?;
        }
        transfer::insert_events(&mut transaction, self.log, &rows).await?;
        transfer::announce(&mut transaction, self.log, last_event.position).await?;
        transaction.commit().await?;
        (self.head, self.recorded_at, self.lives) = (last_event.position, last_event.recorded_at, known);
        Ok(self.head)
    }

    /// The lives up to that of the last event which aren't known here.
    fn new_lives(&self, events: &[RecordedEvent], told: &Lives) -> Result<Vec<Life>, ReplicaError> {
        let upto = events.last().map_or(Incarnation(0), |event| event.incarnation);
        let mut new = Vec::new();
        for life in told.all().iter().filter(|life| life.incarnation <= upto) {
            match self.lives.get(life.incarnation) {
                Some(known) if known.after == life.after => {}
                Some(_) => return Err(ReplicaError::OtherLives { incarnation: life.incarnation }),
                None if life.after < self.head => {
                    return Err(ReplicaError::Lost {
                        incarnation: life.incarnation,
                        after: life.after,
                        head: self.head,
                    });
                }
                None => {
                    // When it began isn't told; its first event is the nearest to it.
                    let first = events.iter().find(|event| event.incarnation >= life.incarnation);
                    let began_at = first.map_or(self.recorded_at, |event| event.recorded_at);
                    new.push(Life { began_at, reason: TOLD.to_owned(), ..life.clone() });
                }
            }
        }
        Ok(new)
    }

    /// What the store's own append would never have written.
    fn check(&self, events: &[RecordedEvent], lives: &Lives) -> Result<(), ReplicaError> {
        let (mut head, mut recorded_at) = (self.head, self.recorded_at);
        for event in events {
            let position = event.position;
            let corrupt = |why: String| Err(ReplicaError::Corrupt { position, why });
            if event.log != self.log {
                return corrupt(format!("it is of log {}", event.log.name()));
            }
            if position.0 != head.0 + 1 {
                return Err(ReplicaError::NotNext { head, found: position });
            }
            if lives.of(position) != event.incarnation {
                let (own, known) = (event.incarnation.0, lives.of(position).0);
                return corrupt(format!("it is of incarnation {own}, and that position belongs to {known}"));
            }
            if event.recorded_at < recorded_at {
                return corrupt("it was recorded before the one before it".to_owned());
            }
            if event.version.0 < 1 || event.event_type.is_empty() || event.payload.get().len() > MAX_PAYLOAD_BYTES {
                return corrupt("it could never have been appended".to_owned());
            }
            (head, recorded_at) = (position, event.recorded_at);
        }
        Ok(())
    }
}

/// Empties a replica, so that it can be filled anew; what isn't one is refused. The read model that was built from it has to be emptied before.
pub async fn start_over(pool: &PgPool, log: Log) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT empty_replica($1)", log.0).execute(pool).await?;
    Ok(())
}

/// Whether the database holds a copy of the log, to which nothing is appended.
pub async fn is_replica(pool: &PgPool, log: Log) -> Result<bool, ReadError> {
    let mut connection = pool.acquire().await.map_err(read_error)?;
    Ok(marked(&mut connection, log).await.map_err(read_error)?.is_some())
}

fn unavailable(error: ReadError) -> ReplicaError {
    ReplicaError::Unavailable(sqlx::Error::Protocol(error.to_string()))
}

/// As its appender sent it; the metadata is written as an append writes it.
fn stored(event: &RecordedEvent) -> StoredEvent {
    // Plain data: it always has a JSON text.
    let metadata = serde_json::to_string(&event.metadata).unwrap_or_default();
    let sent = Sent {
        stream: &event.stream,
        event_type: &event.event_type,
        schema_version: event.schema_version,
        shop: &event.shop,
        command_id: event.metadata.command_id,
        metadata: &metadata,
        payload: event.payload.get(),
    };
    StoredEvent {
        position: event.position.0,
        incarnation: event.incarnation.0,
        recorded_at: event.recorded_at,
        stream_id: event.stream.id,
        stream_kind: event.stream.kind.to_string(),
        version: event.version.0,
        event_type: event.event_type.to_string(),
        schema_version: event.schema_version,
        shop: event.shop.clone(),
        command_id: event.metadata.command_id,
        checksum: Some(sent.checksum()),
        payload: event.payload.get().to_owned(),
        metadata,
    }
}

fn stored_life(life: &Life) -> StoredLife {
    StoredLife {
        incarnation: life.incarnation.0,
        after_position: life.after.0,
        began_at: life.began_at,
        reason: life.reason.clone(),
    }
}

/// Nobody else appends or feeds until the transaction's end.
async fn lock(conn: &mut PgConnection, log: Log) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(log_lock(), $1)", i32::from(log.0)).execute(conn).await?;
    Ok(())
}

/// Position and time of the last event.
async fn last(conn: &mut PgConnection, log: Log) -> Result<(Position, DateTime<Utc>), sqlx::Error> {
    let row =
        sqlx::query!("SELECT position, recorded_at FROM events WHERE log = $1 ORDER BY position DESC LIMIT 1", log.0);
    let row = row.fetch_optional(conn).await?;
    Ok(row.map_or((Position::ZERO, DateTime::UNIX_EPOCH), |row| (Position(row.position), row.recorded_at)))
}

/// Whose copy it is; `None`: it is no replica.
async fn marked(conn: &mut PgConnection, log: Log) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("SELECT source FROM replicas WHERE log = $1", log.0).fetch_optional(conn).await
}

async fn mark(conn: &mut PgConnection, log: Log, source: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("INSERT INTO replicas (log, source) VALUES ($1, $2)", log.0, source).execute(conn).await?;
    Ok(())
}

async fn insert_life(conn: &mut PgConnection, log: Log, life: &StoredLife) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO incarnations (log, incarnation, after_position, began_at, reason) VALUES ($1, $2, $3, $4, $5)",
        log.0,
        life.incarnation,
        life.after_position,
        life.began_at,
        life.reason
    )
    .execute(conn)
    .await?;
    Ok(())
}
