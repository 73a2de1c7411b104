//! What is read: events by stream and by position, the head, claims, checkpoints, balances, sealed data.
use super::read_error;
use crate::checksum::Sent;
use crate::{ClaimRecord, Incarnation, Log, LogHead, Metadata, Position, ReadError, RecordedEvent, StreamId, Version};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgPool;
use sqlx::types::Json;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// The end of the year 9999, in seconds since 1970.
const YEAR_9999: i64 = 253_402_300_799;

/// The incarnation is that of the latest life that began before the event: nearly always the one under which it was appended.
struct Row {
    position: i64,
    incarnation: i32,
    stream_id: Uuid,
    stream_kind: String,
    version: i32,
    event_type: String,
    schema_version: i16,
    shop: String,
    recorded_at: DateTime<Utc>,
    metadata: Json<Box<RawValue>>,
    checksum: Option<i32>,
    payload: Json<Box<RawValue>>,
}

impl Row {
    fn event(self, log: Log) -> Result<RecordedEvent, ReadError> {
        let position = self.position;
        let metadata: Metadata = serde_json::from_str(self.metadata.0.get())
            .map_err(|error| ReadError::Corrupt(format!("the metadata of position {position}: {error}")))?;
        let event = RecordedEvent {
            log,
            incarnation: Incarnation(self.incarnation),
            position: Position(position),
            stream: StreamId { id: self.stream_id, kind: self.stream_kind.into() },
            version: Version(self.version),
            shop: self.shop,
            event_type: self.event_type.into(),
            schema_version: self.schema_version,
            payload: self.payload.0.into(),
            metadata: Arc::new(metadata),
            recorded_at: self.recorded_at,
        };
        let sent = Sent {
            stream: &event.stream,
            event_type: &event.event_type,
            schema_version: event.schema_version,
            shop: &event.shop,
            command_id: event.metadata.command_id,
            metadata: self.metadata.0.get(),
            payload: event.payload.get(),
        };
        match self.checksum {
            Some(checksum) if checksum != sent.checksum() => Err(ReadError::Corrupt(format!(
                "the event at position {position} is not what was appended: its checksum is wrong"
            ))),
            _ => Ok(event),
        }
    }
}

fn events(rows: Vec<Row>, log: Log) -> Result<Vec<RecordedEvent>, ReadError> {
    rows.into_iter().map(|row| row.event(log)).collect()
}

/// What was recorded after `upto` is left out.
pub(super) async fn streams(
    pool: &PgPool,
    log: Log,
    id: Uuid,
    upto: Position,
) -> Result<Vec<RecordedEvent>, ReadError> {
    // `OFFSET 0`, here and below: an id's events are found by the index of streams. Without statistics the planner would go through the whole
    // log beside it.
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT position, stream_id, stream_kind, version, type AS event_type, schema_version, shop, recorded_at,
                  CASE WHEN position > (SELECT max(l.after_position) FROM incarnations l WHERE l.log = $2)
                       THEN (SELECT max(l.incarnation) FROM incarnations l WHERE l.log = $2)
                       ELSE (SELECT max(l.incarnation) FROM incarnations l WHERE l.log = events.log AND l.after_position < events.position)
                  END AS "incarnation!",
                  metadata AS "metadata: Json<Box<RawValue>>", checksum, payload AS "payload: Json<Box<RawValue>>"
             FROM (SELECT * FROM events WHERE stream_id = $1 OFFSET 0) AS events
            WHERE log = $2 AND position <= $3 ORDER BY position"#,
        id,
        log.0,
        upto.0,
    )
    .fetch_all(pool)
    .await
    .map_err(read_error)?;
    events(rows, log)
}

/// Those of each of these ids, in the order of the ids.
pub(super) async fn streams_of(pool: &PgPool, log: Log, ids: &[Uuid]) -> Result<Vec<Vec<RecordedEvent>>, ReadError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT position, stream_id, stream_kind, version, type AS event_type, schema_version, shop, recorded_at,
                  CASE WHEN position > (SELECT max(l.after_position) FROM incarnations l WHERE l.log = $2)
                       THEN (SELECT max(l.incarnation) FROM incarnations l WHERE l.log = $2)
                       ELSE (SELECT max(l.incarnation) FROM incarnations l WHERE l.log = events.log AND l.after_position < events.position)
                  END AS "incarnation!",
                  metadata AS "metadata: Json<Box<RawValue>>", checksum, payload AS "payload: Json<Box<RawValue>>"
             FROM (SELECT * FROM events WHERE stream_id = ANY ($1) OFFSET 0) AS events
            WHERE log = $2 ORDER BY position"#,
        ids,
        log.0,
    )
    .fetch_all(pool)
    .await
    .map_err(read_error)?;
    let mut by_id: HashMap<Uuid, Vec<RecordedEvent>> = HashMap::with_capacity(ids.len());
    for row in rows {
        by_id.entry(row.stream_id).or_default().push(row.event(log)?);
    }
    Ok(ids.iter().map(|id| by_id.remove(id).unwrap_or_default()).collect())
}

pub(super) async fn log(
    pool: &PgPool,
    log: Log,
    after: Position,
    limit: usize,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT position, stream_id, stream_kind, version, type AS event_type, schema_version, shop, recorded_at,
                  CASE WHEN position > (SELECT max(l.after_position) FROM incarnations l WHERE l.log = $1)
                       THEN (SELECT max(l.incarnation) FROM incarnations l WHERE l.log = $1)
                       ELSE (SELECT max(l.incarnation) FROM incarnations l WHERE l.log = events.log AND l.after_position < events.position)
                  END AS "incarnation!",
                  metadata AS "metadata: Json<Box<RawValue>>", checksum, payload AS "payload: Json<Box<RawValue>>"
             FROM events WHERE log = $1 AND position > $2 ORDER BY position LIMIT $3"#,
        log.0,
        after.0,
        bound(limit),
    )
    .fetch_all(pool)
    .await
    .map_err(read_error)?;
    events(rows, log)
}

/// The last position recorded at or before `time`, by halving: some thirty look-ups in the primary key, whatever the log's length.
/// `low` and all before it is recorded by then; `high` is later, or beyond the head.
pub(crate) async fn position_at(pool: &PgPool, log: Log, time: DateTime<Utc>) -> Result<Position, ReadError> {
    // No event is older; what chrono can say and PostgreSQL can't is far outside.
    let (oldest, latest) = (DateTime::UNIX_EPOCH, DateTime::from_timestamp(YEAR_9999, 0).unwrap_or_default());
    let position = sqlx::query_scalar!(
        r#"WITH RECURSIVE search (low, high) AS (
               SELECT 0::bigint, l.last_position + 1 FROM logs l WHERE l.log = $1
                UNION ALL
               SELECT CASE WHEN e.recorded_at <= $2 THEN s.low + (s.high - s.low) / 2 ELSE s.low END,
                      CASE WHEN e.recorded_at <= $2 THEN s.high ELSE s.low + (s.high - s.low) / 2 END
                 FROM search s
                CROSS JOIN LATERAL (
                          SELECT f.recorded_at FROM events f
                           WHERE f.log = $1 AND f.position >= s.low + (s.high - s.low) / 2
                           ORDER BY f.position LIMIT 1
                      ) AS e
                WHERE s.high - s.low > 1
           )
           SELECT coalesce(max(low), 0) AS "position!" FROM search"#,
        log.0,
        time.clamp(oldest, latest),
    )
    .fetch_one(pool)
    .await
    .map_err(read_error)?;
    Ok(Position(position))
}

pub(super) async fn head(pool: &PgPool, log: Log) -> Result<LogHead, ReadError> {
    let row = sqlx::query!(
        r#"SELECT incarnation AS "incarnation!", last_position AS "last_position!" FROM logs WHERE log = $1"#,
        log.0
    )
    .fetch_one(pool)
    .await
    .map_err(read_error)?;
    Ok(LogHead { incarnation: Incarnation(row.incarnation), position: Position(row.last_position) })
}

pub(super) async fn claim(pool: &PgPool, scope: &str, key: &str) -> Result<Option<ClaimRecord>, ReadError> {
    let row = sqlx::query!(
        r#"SELECT scope AS "scope!", key AS "key!", holder AS "holder!", fingerprint, position AS "position!" FROM claims
            WHERE scope = $1 AND key = $2
            UNION ALL
           SELECT scope, key, holder, fingerprint, position FROM expiring_claims
            WHERE scope = $1 AND key = $2 AND day >= (now() AT TIME ZONE 'UTC')::date - 1
            LIMIT 1"#,
        scope,
        key
    )
    .fetch_optional(pool)
    .await
    .map_err(read_error)?;
    Ok(row.map(|row| ClaimRecord {
        scope: row.scope,
        key: row.key,
        holder: row.holder,
        fingerprint: row.fingerprint.and_then(|bytes| bytes.try_into().ok()),
        position: Position(row.position),
    }))
}

pub(super) async fn checkpoint(
    pool: &PgPool,
    log: Log,
    name: &str,
) -> Result<Option<(Incarnation, Position)>, ReadError> {
    let row = sqlx::query!("SELECT incarnation, position FROM checkpoints WHERE log = $1 AND name = $2", log.0, name)
        .fetch_optional(pool)
        .await
        .map_err(read_error)?;
    Ok(row.map(|row| (Incarnation(row.incarnation), Position(row.position))))
}

pub(super) async fn balances(pool: &PgPool, accounts: &[String]) -> Result<Vec<(String, i64)>, ReadError> {
    let rows =
        sqlx::query!("SELECT account, balance FROM balances WHERE account = ANY ($1) ORDER BY account", accounts)
            .fetch_all(pool)
            .await
            .map_err(read_error)?;
    Ok(rows.into_iter().map(|row| (row.account, row.balance)).collect())
}

pub(super) async fn list_balances(
    pool: &PgPool,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<(String, i64)>, ReadError> {
    // U+10FFFF is the last there is: by bytes, all names with the prefix lie before it.
    let rows = sqlx::query!(
        r"SELECT account, balance FROM balances
           WHERE account >= $1 AND account < $1 || U&'\+10FFFF' AND account > $2
           ORDER BY account LIMIT $3",
        prefix,
        after,
        bound(limit),
    )
    .fetch_all(pool)
    .await
    .map_err(read_error)?;
    Ok(rows.into_iter().map(|row| (row.account, row.balance)).collect())
}

pub(super) async fn sealed(pool: &PgPool, subject: Uuid) -> Result<Option<(Uuid, Vec<u8>)>, ReadError> {
    let row = sqlx::query!("SELECT person, sealed FROM vault_entries WHERE subject = $1", subject)
        .fetch_optional(pool)
        .await
        .map_err(read_error)?;
    Ok(row.map(|row| (row.person, row.sealed)))
}

/// A limit as SQL takes it.
pub(super) fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
