//! The lives of a log: read, begun, and what of an earlier one is lost.
use super::read_error;
use crate::lives::{Abandoned, Life, Lives};
use crate::{Incarnation, Log, Position, ReadError};
use sqlx::PgPool;
use std::collections::BTreeMap;

/// Where a new life begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// With the next append: after a restore.
    Head,
    /// After a position that is there: what the store has after it is now the new life's, since the world knows other events there.
    Shared(Position),
}

pub(super) async fn lives(pool: &PgPool, log: Log) -> Result<Lives, ReadError> {
    let lives = sqlx::query!(
        "SELECT incarnation, after_position, began_at, reason FROM incarnations WHERE log = $1 ORDER BY incarnation",
        log.0
    )
    .fetch_all(pool)
    .await
    .map_err(read_error)?;
    let abandoned = sqlx::query!(
        "SELECT incarnation, from_position, to_position, events, streams, recorded_at, file FROM abandoned_ranges
          WHERE log = $1 ORDER BY incarnation, from_position",
        log.0
    )
    .fetch_all(pool)
    .await
    .map_err(read_error)?;
    let lives = lives.into_iter().map(|row| Life {
        incarnation: Incarnation(row.incarnation),
        after: Position(row.after_position),
        began_at: row.began_at,
        reason: row.reason,
    });
    let abandoned = abandoned.into_iter().map(|row| Abandoned {
        incarnation: Incarnation(row.incarnation),
        from: Position(row.from_position),
        to: Position(row.to_position),
        events: row.events,
        streams: row.streams,
        recorded_at: row.recorded_at,
        file: row.file,
    });
    Lives::new(lives.collect(), abandoned.collect())
        .ok_or_else(|| ReadError::Unavailable(format!("there is no log {}", log.name())))
}

/// Begins a new life of the log: higher than all before, and at least `at_least`. Appends wait for it, and those after it are of it.
pub async fn begin_incarnation(
    pool: &PgPool,
    log: Log,
    after: After,
    at_least: Incarnation,
    reason: &str,
) -> Result<Life, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!("SELECT pg_advisory_xact_lock(log_lock(), $1)", i32::from(log.0)).execute(&mut *transaction).await?;
    let shared = match after {
        After::Head => None,
        After::Shared(position) => Some(position.0),
    };
    let row = sqlx::query!(
        r#"INSERT INTO incarnations (log, incarnation, after_position, reason)
           SELECT $1, greatest((SELECT coalesce(max(i.incarnation), 0) + 1 FROM incarnations i WHERE i.log = $1), $2),
                  least($3::bigint, head.position), $4
             FROM (SELECT coalesce(max(e.position), 0) AS position FROM events e WHERE e.log = $1) AS head
        RETURNING incarnation, after_position, began_at, reason"#,
        log.0,
        at_least.0,
        shared,
        reason,
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Life {
        incarnation: Incarnation(row.incarnation),
        after: Position(row.after_position),
        began_at: row.began_at,
        reason: row.reason,
    })
}

/// Writes down that this range is lost. The same range again changes nothing but how far it goes.
pub async fn abandon(
    pool: &PgPool,
    log: Log,
    range: &Abandoned,
    types: &BTreeMap<String, u64>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO abandoned_ranges (log, incarnation, from_position, to_position, events, streams, types, file)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (log, incarnation, from_position) DO UPDATE
            SET to_position = greatest(abandoned_ranges.to_position, EXCLUDED.to_position), events = EXCLUDED.events,
                streams = EXCLUDED.streams, types = EXCLUDED.types, file = EXCLUDED.file, recorded_at = now()",
        log.0,
        range.incarnation.0,
        range.from.0,
        range.to.0,
        range.events,
        range.streams,
        serde_json::to_value(types).unwrap_or_default(),
        range.file,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// A reader's checkpoint that stands in events which the log has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostCheckpoint {
    pub name: String,
    pub incarnation: Incarnation,
    pub position: Position,
    /// Where it is set back to: the last place before that still counts.
    pub back_to: Position,
}

/// Checkpoints that stand in what is lost by these lives. They are set back with `set_back`.
pub async fn lost_checkpoints(pool: &PgPool, log: Log, lives: &Lives) -> Result<Vec<LostCheckpoint>, sqlx::Error> {
    let rows = sqlx::query!("SELECT name, incarnation, position FROM checkpoints WHERE log = $1 ORDER BY name", log.0)
        .fetch_all(pool)
        .await?;
    let found = rows.into_iter().map(|row| {
        let (incarnation, position) = (Incarnation(row.incarnation), Position(row.position));
        let back_to = lives.end_of(incarnation).unwrap_or(position);
        LostCheckpoint { name: row.name, incarnation, position, back_to }
    });
    Ok(found.filter(|at| at.position > Position::ZERO && lives.has_abandoned(at.incarnation, at.position)).collect())
}

/// Sets a checkpoint back, unless its reader has moved it since. The reader hears of that at its next append, and reads again.
pub async fn set_back(pool: &PgPool, log: Log, lost: &LostCheckpoint, lives: &Lives) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE checkpoints SET incarnation = $5, position = $6
          WHERE log = $1 AND name = $2 AND incarnation = $3 AND position = $4",
        log.0,
        lost.name,
        lost.incarnation.0,
        lost.position.0,
        lives.of(lost.back_to).0,
        lost.back_to.0,
    )
    .execute(pool)
    .await?;
    Ok(())
}
