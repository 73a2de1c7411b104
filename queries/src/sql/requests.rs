//! What operators ask of the projections about parked keys, and what came of it.
use crate::projections::{
    parked::Parked,
    requests::{Outcome, ParkedKey, Request, Verb},
};
use eventstore::{Incarnation, Position, StreamId, Version};
use sqlx::PgConnection;
use uuid::Uuid;

/// Parked keys by the position of the event, at most `limit`; of one key alone, if given.
pub(crate) async fn parked(conn: &mut PgConnection, key: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<ParkedKey>> {
    let rows = sqlx::query!(
        r#"
        SELECT key, position, incarnation, stream_kind, version, event_type, schema_version, cause, parked_at, tries
        FROM read.parked WHERE $1::uuid IS NULL OR key = $1 ORDER BY position LIMIT $2
        "#,
        key,
        limit
    )
    .fetch_all(conn)
    .await?;
    let parked = rows.into_iter().map(|row| ParkedKey {
        event: Parked {
            stream: StreamId { id: row.key, kind: row.stream_kind.into() },
            version: Version(row.version),
            event_type: row.event_type,
            schema_version: row.schema_version,
            incarnation: Incarnation(row.incarnation),
            position: Position(row.position),
            cause: row.cause,
        },
        since: row.parked_at,
        tries: row.tries,
    });
    Ok(parked.collect())
}

/// Asks; `None`: something is asked of this key already and not done yet.
pub(crate) async fn ask(
    conn: &mut PgConnection,
    parked: &Parked,
    verb: Verb,
    reason: &str,
    by: &str,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        r#"
        INSERT INTO public.parked_requests (key, position, verb, reason, asked_by) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (key) WHERE outcome IS NULL DO NOTHING RETURNING id
        "#,
        parked.stream.id,
        parked.position.0,
        verb.name() as _,
        reason,
        by
    )
    .fetch_optional(conn)
    .await
}

/// What is still to be done, the earliest first.
pub(crate) async fn open(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Request>> {
    let rows = sqlx::query!(
        r#"
        SELECT id, key, position, verb, reason, asked_by FROM public.parked_requests
        WHERE outcome IS NULL ORDER BY id LIMIT $1
        "#,
        limit
    )
    .fetch_all(conn)
    .await?;
    let request = rows.into_iter().map(|row| Request {
        id: row.id,
        key: row.key,
        position: Position(row.position),
        verb: if row.verb == Verb::Skip.name() { Verb::Skip } else { Verb::Release },
        reason: row.reason,
        by: row.asked_by,
    });
    Ok(request.collect())
}

pub(crate) async fn done(conn: &mut PgConnection, id: i64, outcome: Outcome) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE public.parked_requests SET outcome = $2, outcome_at = now() WHERE id = $1",
        id,
        outcome.name() as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// This transaction's commit waits for the disk.
pub(crate) async fn on_disk(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SET LOCAL synchronous_commit = on").execute(conn).await?;
    Ok(())
}

/// `None`: it isn't done yet.
pub(crate) async fn outcome(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<Outcome>> {
    let name =
        sqlx::query_scalar!("SELECT outcome FROM public.parked_requests WHERE id = $1", id).fetch_one(conn).await?;
    Ok(name.and_then(|name| Outcome::from_name(&name)))
}
