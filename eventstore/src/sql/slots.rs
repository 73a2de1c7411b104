//! What belongs to slots: the log's beginning, timers, leases and their owners.
use super::read::bound;
use super::{read_error, unavailable};
use crate::{AppendError, Attendance, Lease, Log, ReadError, SLOTS, Slot, SlotOwner, StreamId, Timer, TimerMove};
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
        r#"SELECT stream_id, stream_kind, name, due_at, set_at FROM timers
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
            set_at: row.set_at,
        })
        .collect())
}

pub(super) async fn move_timers(pool: &PgPool, moves: &[TimerMove]) -> Result<(), AppendError> {
    // In one order, so that two who move the same ones at once never wait for each other in a circle.
    let mut moves: Vec<&TimerMove> = moves.iter().collect();
    moves.sort_by_key(|to| (to.stream.id, to.stream.kind.as_ref(), to.name.as_ref()));
    sqlx::query!(
        "UPDATE timers SET due_at = m.due_at, set_at = m.set_at
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bigint[])
                AS m (id, kind, name, due_at, set_at, upto)
          WHERE stream_id = m.id AND stream_kind = m.kind AND timers.name = m.name
            AND (timers.position IS NULL OR timers.position <= m.upto)",
        &moves.iter().map(|to| to.stream.id).collect::<Vec<_>>(),
        &moves.iter().map(|to| to.stream.kind.as_ref()).collect::<Vec<_>>() as _,
        &moves.iter().map(|to| to.name.as_ref()).collect::<Vec<_>>() as _,
        &moves.iter().map(|to| to.due_at).collect::<Vec<_>>(),
        &moves.iter().map(|to| to.set_at).collect::<Vec<_>>(),
        &moves.iter().map(|to| to.upto.0).collect::<Vec<_>>(),
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
    let rows = sqlx::query!(
        r#"SELECT held_slot AS "slot!", held_epoch AS "epoch!", held_until AS "until!"
             FROM take_leases($1, $2, $3, $4) ORDER BY held_slot"#,
        log.0,
        &numbers(slots),
        owner,
        interval(ttl)?,
    )
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    Ok(rows
        .into_iter()
        .map(|row| Lease { slot: Slot(row.slot as u8), epoch: row.epoch, expires_at: row.until })
        .collect())
}

pub(super) async fn release_leases(pool: &PgPool, log: Log, slots: &[Slot], owner: Uuid) -> Result<(), AppendError> {
    sqlx::query!(
        "UPDATE leases SET owner = NULL WHERE log = $1 AND slot = ANY ($2) AND owner = $3",
        log.0,
        &numbers(slots),
        owner
    )
    .execute(pool)
    .await
    .map_err(unavailable)?;
    Ok(())
}

/// Whoever has been gone for long is forgotten on the way.
pub(super) async fn attend(
    pool: &PgPool,
    log: Log,
    owner: &SlotOwner,
    ttl: Duration,
) -> Result<Attendance, AppendError> {
    // A data-modifying WITH and the outer query see one snapshot, so the caller is added by hand.
    let told = sqlx::query!(
        r#"WITH told AS (
               INSERT INTO slot_owners (log, owner, name, app_version, until)
               VALUES ($1, $2, $3, $4, clock_timestamp() + $5)
               ON CONFLICT (log, owner) DO UPDATE SET name = $3, app_version = $4, until = clock_timestamp() + $5,
                   since = CASE WHEN slot_owners.until < clock_timestamp() THEN clock_timestamp() ELSE slot_owners.since END
           ), gone AS (
               DELETE FROM slot_owners WHERE log = $1 AND owner <> $2 AND until < clock_timestamp() - interval '1 day'
           )
           SELECT COALESCE(array_agg(owner), '{}') AS "others!", clock_timestamp() AS "now!"
           FROM slot_owners WHERE log = $1 AND owner <> $2 AND until >= clock_timestamp()"#,
        log.0,
        owner.id,
        owner.name,
        owner.app_version.as_ref(),
        interval(ttl)?,
    )
    .fetch_one(pool)
    .await
    .map_err(unavailable)?;
    let mut owners: Vec<Uuid> = told.others.into_iter().chain([owner.id]).collect();
    owners.sort_unstable();
    Ok(Attendance { owners, now: told.now })
}

pub(super) async fn depart(pool: &PgPool, log: Log, owner: Uuid) -> Result<(), AppendError> {
    sqlx::query!(
        "WITH gone AS (DELETE FROM slot_owners WHERE log = $1 AND owner = $2)
         UPDATE leases SET owner = NULL WHERE log = $1 AND owner = $2",
        log.0,
        owner
    )
    .execute(pool)
    .await
    .map_err(unavailable)?;
    Ok(())
}

/// Who holds slots or was there of late, and which slots it holds. For people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub owner: Uuid,
    /// `None`: it never said that it is there, as a process of the release before.
    pub name: Option<String>,
    pub app_version: Option<String>,
    pub since: Option<DateTime<Utc>>,
    /// Whether it says that it is there.
    pub is_there: bool,
    /// Held under leases that last.
    pub slots: Vec<Slot>,
    /// When the first of those leases runs out, unless it is renewed.
    pub until: Option<DateTime<Utc>>,
}

/// Owners of slots and those who want some, the longest there first; slots that nobody holds are in no list.
pub async fn holders(pool: &PgPool, log: Log) -> Result<Vec<Holder>, ReadError> {
    let rows = sqlx::query!(
        r#"SELECT COALESCE(o.owner, l.owner) AS "owner!", o.name AS "name?", o.app_version AS "app_version?", o.since AS "since?",
                  COALESCE(o.until >= clock_timestamp(), false) AS "is_there!",
                  COALESCE(l.slots, '{}') AS "slots!: Vec<i16>", l.until AS "until?"
             FROM slot_owners AS o
             FULL JOIN (SELECT owner, array_agg(slot ORDER BY slot) AS slots, min(expires_at) AS until FROM leases
                         WHERE log = $1 AND owner IS NOT NULL AND expires_at >= clock_timestamp() GROUP BY owner) AS l
                    ON l.owner = o.owner
            WHERE (o.log IS NULL OR o.log = $1) AND (l.owner IS NOT NULL OR o.until >= clock_timestamp())
            ORDER BY o.since NULLS FIRST, 1"#,
        log.0
    )
    .fetch_all(pool)
    .await
    .map_err(read_error)?;
    Ok(rows
        .into_iter()
        .map(|row| Holder {
            owner: row.owner,
            name: row.name,
            app_version: row.app_version,
            since: row.since,
            is_there: row.is_there,
            slots: row.slots.into_iter().map(|slot| Slot(slot as u8)).collect(),
            until: row.until,
        })
        .collect())
}

fn interval(ttl: Duration) -> Result<PgInterval, AppendError> {
    let microseconds =
        i64::try_from(ttl.as_micros()).map_err(|_| AppendError::Invalid("the ttl is too long".into()))?;
    Ok(PgInterval { months: 0, days: 0, microseconds })
}

fn numbers(slots: &[Slot]) -> Vec<i16> {
    slots.iter().map(|slot| i16::from(slot.0)).collect()
}
