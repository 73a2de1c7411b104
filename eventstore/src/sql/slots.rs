//! What belongs to slots: the log's beginning, timers and leases.
use super::read::bound;
use super::{read_error, unavailable};
use crate::{AppendError, Lease, Log, ReadError, SLOTS, Slot, StreamId, Timer};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;
use std::time::Duration;
use uuid::Uuid;

/// Begins the log and makes its leases if they aren't there yet.
pub(super) async fn begin_log(pool: &PgPool, log: Log) -> Result<(), ReadError> {
    sqlx::query!(
        "INSERT INTO incarnations (log, incarnation, reason) VALUES ($1, 1, 'the beginning') ON CONFLICT DO NOTHING",
        log.0
    )
    .execute(pool)
    .await
    .map_err(read_error)?;
    sqlx::query!(
        "INSERT INTO leases (log, slot) SELECT $1, slot FROM generate_series(0, $2::integer - 1) AS slot ON CONFLICT DO NOTHING",
        log.0,
        SLOTS as i32,
    )
    .execute(pool)
    .await
    .map_err(read_error)?;
    Ok(())
}

pub(super) async fn timers(
    pool: &PgPool,
    log: Log,
    slots: &[Slot],
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: usize,
) -> Result<Vec<Timer>, ReadError> {
    let (after_due, after_id) = after.unzip();
    // With ties, since (due_at, id) is all that the next page is asked by: one stream may have two timers of one instant.
    let rows = sqlx::query!(
        r#"SELECT stream_id, stream_kind, name, due_at FROM timers
            WHERE log = $1 AND slot = ANY ($2)
              AND ($3::timestamptz IS NULL OR (due_at, stream_id) > ($3, $4::uuid))
            ORDER BY due_at, stream_id FETCH FIRST $5 ROWS WITH TIES"#,
        log.0,
        &numbers(slots),
        after_due,
        after_id,
        bound(limit),
    )
    .fetch_all(pool)
    .await
    .map_err(read_error)?;
    Ok(rows
        .into_iter()
        .map(|row| Timer {
            stream: StreamId { id: row.stream_id, kind: row.stream_kind.into() },
            name: row.name,
            due_at: row.due_at,
        })
        .collect())
}

pub(super) async fn move_timer(
    pool: &PgPool,
    stream: &StreamId,
    name: &str,
    due_at: DateTime<Utc>,
) -> Result<(), AppendError> {
    sqlx::query!(
        "UPDATE timers SET due_at = $4 WHERE stream_id = $1 AND stream_kind = $2 AND name = $3",
        stream.id,
        stream.kind.as_ref(),
        name,
        due_at,
    )
    .execute(pool)
    .await
    .map_err(unavailable)?;
    Ok(())
}

pub(super) async fn take_leases(
    pool: &PgPool,
    log: Log,
    slots: &[Slot],
    owner: Uuid,
    ttl: Duration,
) -> Result<Vec<Lease>, AppendError> {
    let microseconds =
        i64::try_from(ttl.as_micros()).map_err(|_| AppendError::Invalid("the ttl is too long".into()))?;
    let rows = sqlx::query!(
        r#"SELECT held_slot AS "slot!", held_epoch AS "epoch!", held_until AS "until!"
             FROM take_leases($1, $2, $3, $4) ORDER BY held_slot"#,
        log.0,
        &numbers(slots),
        owner,
        PgInterval { months: 0, days: 0, microseconds },
    )
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    Ok(rows
        .into_iter()
        .map(|row| Lease { slot: Slot(row.slot as u8), epoch: row.epoch, expires_at: row.until })
        .collect())
}

pub(super) async fn release_leases(pool: &PgPool, log: Log, owner: Uuid) -> Result<(), AppendError> {
    sqlx::query!("UPDATE leases SET owner = NULL WHERE log = $1 AND owner = $2", log.0, owner)
        .execute(pool)
        .await
        .map_err(unavailable)?;
    Ok(())
}

fn numbers(slots: &[Slot]) -> Vec<i16> {
    slots.iter().map(|slot| i16::from(slot.0)).collect()
}
