//! What lies in the database, row by row and unjudged, for whoever has to prove it or to carry it elsewhere. It reads alone.
//!
//! A reader of the log refuses a page that holds a broken event; here a broken event is a row like any other, and `StoredEvent` says
//! what is wrong with it.
use crate::checksum::Sent;
use crate::{Incarnation, Log, Metadata, Position, RecordedEvent, StreamId, Version};
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

/// An event, column by column; the texts byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    pub position: i64,
    pub incarnation: i32,
    pub recorded_at: DateTime<Utc>,
    pub stream_id: Uuid,
    pub stream_kind: String,
    pub version: i32,
    pub event_type: String,
    pub schema_version: i16,
    pub shop: String,
    pub command_id: Uuid,
    pub checksum: Option<i32>,
    pub metadata: String,
    pub payload: String,
}

/// What an event's checksum says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    Whole,
    Broken,
    /// Appended by a release that made none.
    Absent,
}

impl StoredEvent {
    pub fn seal(&self) -> Seal {
        let stream = self.stream();
        let sent = Sent {
            stream: &stream,
            event_type: &self.event_type,
            schema_version: self.schema_version,
            shop: &self.shop,
            command_id: self.command_id,
            metadata: &self.metadata,
            payload: &self.payload,
        };
        match self.checksum {
            None => Seal::Absent,
            Some(checksum) if checksum == sent.checksum() => Seal::Whole,
            Some(_) => Seal::Broken,
        }
    }

    pub fn stream(&self) -> StreamId {
        StreamId { id: self.stream_id, kind: self.stream_kind.clone().into() }
    }

    /// The event as readers of the log get it; else what of it can't be read.
    pub fn recorded(self, log: Log) -> Result<RecordedEvent, String> {
        let metadata: Metadata =
            serde_json::from_str(&self.metadata).map_err(|error| format!("its metadata can't be read: {error}"))?;
        if metadata.command_id != self.command_id {
            return Err("its metadata names another command than its row".to_owned());
        }
        let stream = self.stream();
        let payload =
            RawValue::from_string(self.payload).map_err(|error| format!("its payload can't be read: {error}"))?;
        Ok(RecordedEvent {
            log,
            incarnation: Incarnation(self.incarnation),
            position: Position(self.position),
            stream,
            version: Version(self.version),
            shop: self.shop,
            event_type: self.event_type.into(),
            schema_version: self.schema_version,
            payload: payload.into(),
            metadata: metadata.into(),
            recorded_at: self.recorded_at,
        })
    }
}

/// A life of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLife {
    pub incarnation: i32,
    /// It began after this position.
    pub after_position: i64,
    pub began_at: DateTime<Utc>,
    pub reason: String,
}

/// What an earlier life told the world and the store has lost; `types` is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAbandoned {
    pub incarnation: i32,
    pub from_position: i64,
    pub to_position: i64,
    pub events: i64,
    pub streams: i64,
    pub types: String,
    pub file: String,
    pub recorded_at: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTimer {
    pub stream_id: Uuid,
    pub stream_kind: String,
    pub name: String,
    pub slot: i16,
    pub due_at: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StoredLease {
    pub slot: i16,
    pub epoch: i64,
    /// Held, and for how many seconds still; negative: expired.
    pub held_for: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    pub name: String,
    pub incarnation: i32,
    pub position: i64,
    pub command_id: Uuid,
    pub last_position: i64,
    pub recorded_at: DateTime<Utc>,
}

/// All but events and claims, as of one moment. It grows with the orders under way, the accounts and the vault's entries.
#[derive(Clone, Debug)]
pub struct Still {
    pub head: Position,
    /// In their order.
    pub lives: Vec<StoredLife>,
    /// By name.
    pub balances: Vec<(String, i64)>,
    pub timers: Vec<StoredTimer>,
    pub leases: Vec<StoredLease>,
    pub checkpoints: Vec<StoredCheckpoint>,
    /// Whose personal data is sealed: (subject, has its person a row among the keys).
    pub sealed: Vec<(Uuid, bool)>,
    /// When the oldest of the persons' keys that are here was made.
    pub keys_since: Option<DateTime<Utc>>,
}

/// A transaction that sees one moment and writes nothing.
pub(super) async fn moment(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
}

/// Reads what stands beside the log, in one short moment. `None`: there is no such log.
pub async fn still(pool: &PgPool, log: Log) -> Result<Option<Still>, sqlx::Error> {
    let mut moment = moment(pool).await?;
    let lives = lives(&mut moment, log).await?;
    if lives.is_empty() {
        return Ok(None);
    }
    let head = head(&mut moment, log).await?;
    let balances =
        sqlx::query!("SELECT account, balance FROM balances ORDER BY account").fetch_all(&mut *moment).await?;
    let timers = sqlx::query_as!(
        StoredTimer,
        "SELECT stream_id, stream_kind, name, slot, due_at FROM timers WHERE log = $1 ORDER BY stream_id, stream_kind, name",
        log.0
    )
    .fetch_all(&mut *moment)
    .await?;
    let leases = sqlx::query_as!(
        StoredLease,
        r#"SELECT slot, epoch,
                  CASE WHEN owner IS NOT NULL THEN extract(epoch FROM expires_at - clock_timestamp())::double precision END AS held_for
             FROM leases WHERE log = $1 ORDER BY slot"#,
        log.0
    )
    .fetch_all(&mut *moment)
    .await?;
    let checkpoints = checkpoints(&mut moment, log).await?;
    let sealed = sqlx::query!(
        r#"SELECT v.subject, k.person IS NOT NULL AS "has_key!"
             FROM vault_entries v LEFT JOIN vault.person_keys k ON k.person = v.person"#
    )
    .fetch_all(&mut *moment)
    .await?;
    let keys_since =
        sqlx::query_scalar!("SELECT min(created_at) FROM vault.person_keys").fetch_one(&mut *moment).await?;
    Ok(Some(Still {
        head,
        lives,
        balances: balances.into_iter().map(|row| (row.account, row.balance)).collect(),
        timers,
        leases,
        checkpoints,
        sealed: sealed.into_iter().map(|row| (row.subject, row.has_key)).collect(),
        keys_since,
    }))
}

pub(super) async fn head(conn: &mut PgConnection, log: Log) -> Result<Position, sqlx::Error> {
    let last = sqlx::query_scalar!("SELECT position FROM events WHERE log = $1 ORDER BY position DESC LIMIT 1", log.0)
        .fetch_optional(conn)
        .await?;
    Ok(last.map_or(Position::ZERO, Position))
}

pub(super) async fn lives(conn: &mut PgConnection, log: Log) -> Result<Vec<StoredLife>, sqlx::Error> {
    sqlx::query_as!(
        StoredLife,
        "SELECT incarnation, after_position, began_at, reason FROM incarnations WHERE log = $1 ORDER BY incarnation",
        log.0
    )
    .fetch_all(conn)
    .await
}

pub(super) async fn checkpoints(conn: &mut PgConnection, log: Log) -> Result<Vec<StoredCheckpoint>, sqlx::Error> {
    sqlx::query_as!(
        StoredCheckpoint,
        r#"SELECT name, incarnation, position, command_id, last_position, recorded_at
             FROM checkpoints WHERE log = $1 ORDER BY name"#,
        log.0
    )
    .fetch_all(conn)
    .await
}

/// The events after `after` up to and with `upto`, by position. One at a time: memory is bounded, whatever the log's length.
pub fn events<'a>(
    from: impl sqlx::PgExecutor<'a> + 'a,
    log: Log,
    after: Position,
    upto: Position,
) -> BoxStream<'a, Result<StoredEvent, sqlx::Error>> {
    sqlx::query_as!(
        StoredEvent,
        r#"SELECT position, incarnation, recorded_at, stream_id, stream_kind, version, type AS event_type, schema_version, shop,
                  command_id, checksum, metadata::text AS "metadata!", payload::text AS "payload!"
             FROM events WHERE log = $1 AND position > $2 AND position <= $3 ORDER BY position"#,
        log.0,
        after.0,
        upto.0,
    )
    .fetch(from)
}

/// Claims that name a position which is not in the log.
#[derive(Clone, Debug)]
pub struct Dangling {
    /// How many claims there are in all.
    pub claims: i64,
    /// `scope:key` and position, at most `limit`.
    pub found: Vec<(String, i64)>,
}

/// Looks at every claim; position 0 is that of an append without events to an empty log.
pub async fn dangling_claims(pool: &PgPool, log: Log, limit: i64) -> Result<Dangling, sqlx::Error> {
    let claims = sqlx::query_scalar!(
        r#"SELECT (SELECT count(*) FROM claims WHERE log = $1) + (SELECT count(*) FROM expiring_claims WHERE log = $1) AS "claims!""#,
        log.0
    )
    .fetch_one(pool)
    .await?;
    // One statement sees one moment: a claim and its event are committed together.
    let found = sqlx::query!(
        r#"SELECT c.scope || ':' || c.key AS "name!", c.position AS "position!"
             FROM (SELECT scope, key, position FROM claims WHERE log = $1
                    UNION ALL
                   SELECT scope, key, position FROM expiring_claims WHERE log = $1) AS c
            WHERE c.position <> 0 AND NOT EXISTS (SELECT FROM events e WHERE e.log = $1 AND e.position = c.position)
            LIMIT $2"#,
        log.0,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(Dangling { claims, found: found.into_iter().map(|row| (row.name, row.position)).collect() })
}
