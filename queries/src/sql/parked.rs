//! Parked keys and skipped events: read and written with the live tables alone.
use crate::projections::parked::{Held, Parked, Skip};
use eventstore::{Incarnation, Position, StreamId, Version};
use sqlx::PgConnection;
use uuid::Uuid;

/// All that the projections hold back or leave out.
pub(crate) async fn load(conn: &mut PgConnection) -> sqlx::Result<Held> {
    let parked = sqlx::query!(
        "SELECT key, position, incarnation, stream_kind, version, event_type, schema_version, cause FROM read.parked"
    )
    .fetch_all(&mut *conn)
    .await?;
    let skipped = sqlx::query!("SELECT incarnation, position FROM public.skipped_events").fetch_all(&mut *conn).await?;
    let parked = parked.into_iter().map(|row| Parked {
        stream: StreamId { id: row.key, kind: row.stream_kind.into() },
        version: Version(row.version),
        event_type: row.event_type,
        schema_version: row.schema_version,
        incarnation: Incarnation(row.incarnation),
        position: Position(row.position),
        cause: row.cause,
    });
    let skipped = skipped.into_iter().map(|row| (Incarnation(row.incarnation), Position(row.position)));
    Ok(Held::new(parked, skipped))
}

/// Which of these keys' events are left out; of what is held back it knows nothing.
pub(crate) async fn skipped_of(conn: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<Held> {
    let rows = sqlx::query!("SELECT incarnation, position FROM public.skipped_events WHERE key = ANY($1)", keys)
        .fetch_all(conn)
        .await?;
    Ok(Held::new([], rows.into_iter().map(|row| (Incarnation(row.incarnation), Position(row.position)))))
}

/// A key that is parked already is from now on parked at this event; at the same one as before, it is one try more.
pub(crate) async fn park(conn: &mut PgConnection, parked: &[Parked]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO read.parked AS p (key, position, incarnation, stream_kind, version, event_type, schema_version, cause)
        SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::integer[], $6::text[], $7::smallint[], $8::text[])
        ON CONFLICT (key) DO UPDATE
        SET position = EXCLUDED.position, incarnation = EXCLUDED.incarnation, stream_kind = EXCLUDED.stream_kind,
            version = EXCLUDED.version, event_type = EXCLUDED.event_type, schema_version = EXCLUDED.schema_version,
            cause = EXCLUDED.cause, parked_at = CASE WHEN p.position = EXCLUDED.position THEN p.parked_at ELSE now() END,
            tries = CASE WHEN p.position = EXCLUDED.position THEN p.tries + 1 ELSE 0 END
        "#,
        &parked.iter().map(|parked| parked.stream.id).collect::<Vec<_>>(),
        &parked.iter().map(|parked| parked.position.0).collect::<Vec<_>>(),
        &parked.iter().map(|parked| parked.incarnation.0).collect::<Vec<_>>(),
        &parked.iter().map(|parked| parked.stream.kind.as_ref()).collect::<Vec<_>>() as _,
        &parked.iter().map(|parked| parked.version.0).collect::<Vec<_>>(),
        &parked.iter().map(|parked| parked.event_type.as_str()).collect::<Vec<_>>() as _,
        &parked.iter().map(|parked| parked.schema_version).collect::<Vec<_>>(),
        &parked.iter().map(|parked| parked.cause.as_str()).collect::<Vec<_>>() as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn unpark(conn: &mut PgConnection, key: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM read.parked WHERE key = $1", key).execute(conn).await?;
    Ok(())
}

/// Puts on record, for ever, that this event is left out.
pub(crate) async fn skip(conn: &mut PgConnection, skip: &Skip<'_>) -> sqlx::Result<()> {
    let Skip { event, reason, by } = skip;
    sqlx::query!(
        r#"
        INSERT INTO public.skipped_events (incarnation, position, key, stream_kind, version, event_type, schema_version, cause, reason, skipped_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING
        "#,
        event.incarnation.0,
        event.position.0,
        event.stream.id,
        event.stream.kind.as_ref() as _,
        event.version.0,
        &event.event_type as _,
        event.schema_version,
        event.cause,
        reason,
        by
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn count(conn: &mut PgConnection) -> sqlx::Result<usize> {
    let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM read.parked"#).fetch_one(conn).await?;
    Ok(usize::try_from(count).unwrap_or(0))
}
