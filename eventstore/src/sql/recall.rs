//! An append recognises itself by its command id: in its events, or without events in its checkpoint.
use crate::prepared::Prepared;
use crate::{Appended, CheckpointWrite, Expected, Log, Position};
use sqlx::{Error, PgExecutor};
use std::collections::HashMap;
use uuid::Uuid;

/// Where this append was written, if it was: all its events, in its streams, at the versions that it expects.
pub(super) async fn recall(
    executor: impl PgExecutor<'_>,
    log: Log,
    prepared: &Prepared,
) -> Result<Option<Appended>, Error> {
    if prepared.events.is_empty() {
        return match &prepared.append.checkpoint {
            Some(checkpoint) => by_checkpoint(executor, log, prepared.append.metadata.command_id, checkpoint).await,
            None => Ok(None),
        };
    }
    let written_to = prepared.append.streams.iter().filter(|part| !part.events.is_empty());
    let (ids, kinds): (Vec<_>, Vec<_>) = written_to.map(|part| (part.stream.id, part.stream.kind.to_string())).unzip();
    let rows = sqlx::query!(
        r#"SELECT e.position, e.recorded_at, e.stream_id, e.stream_kind, e.version
             FROM unnest($1::uuid[], $2::text[]) AS s (id, kind)
             JOIN events e ON e.stream_id = s.id AND e.stream_kind = s.kind
            WHERE e.log = $3 AND e.command_id = $4
            ORDER BY e.position"#,
        &ids,
        &kinds,
        log.0,
        prepared.append.metadata.command_id,
    )
    .fetch_all(executor)
    .await?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(None);
    };
    let expected: HashMap<_, _> = prepared
        .append
        .streams
        .iter()
        .map(|part| ((part.stream.id, part.stream.kind.as_ref()), (part.expected, part.events.len() as i32)))
        .collect();
    let fits = rows.len() == prepared.events.len()
        && rows.iter().all(|row| match expected.get(&(row.stream_id, row.stream_kind.as_str())) {
            Some((Expected::Exact(before), count)) => row.version > before.0 && row.version <= before.0 + count,
            Some((Expected::Any, _)) => true,
            None => false,
        });
    Ok(fits.then_some(Appended {
        first: Position(first.position),
        last: Position(last.position),
        recorded_at: first.recorded_at,
    }))
}

/// It shows only the last append that moved it.
async fn by_checkpoint(
    executor: impl PgExecutor<'_>,
    log: Log,
    command: Uuid,
    checkpoint: &CheckpointWrite,
) -> Result<Option<Appended>, Error> {
    let (incarnation, position) = checkpoint.to;
    let row = sqlx::query!(
        "SELECT last_position, recorded_at FROM checkpoints
          WHERE log = $1 AND name = $2 AND command_id = $3 AND incarnation = $4 AND position = $5",
        log.0,
        checkpoint.name,
        command,
        incarnation.0,
        position.0,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| {
        let last = Position(row.last_position);
        Appended { first: last, last, recorded_at: row.recorded_at }
    }))
}
