//! How far the read model has come.
use eventstore::{Incarnation, Log, Position};
use sqlx::PgConnection;

/// One checkpoint for all tables: they move together.
pub(crate) const NAME: &str = "read";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) version: i32,
    pub(crate) incarnation: Incarnation,
    pub(crate) position: Position,
}

pub(crate) async fn load(conn: &mut PgConnection) -> sqlx::Result<Option<Checkpoint>> {
    let row = sqlx::query!("SELECT version, incarnation, position FROM projections WHERE name = $1", NAME)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| Checkpoint {
        version: row.version,
        incarnation: Incarnation(row.incarnation),
        position: Position(row.position),
    }))
}

/// Begins at position 0, unless someone has begun already.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    version: i32,
    log: Log,
    incarnation: Incarnation,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO projections (name, version, log, incarnation, position) VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING",
        NAME,
        version,
        log.0,
        incarnation.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Moves on from `from`; `false` when it is no longer there.
pub(crate) async fn advance(
    conn: &mut PgConnection,
    from: Position,
    to: Position,
    incarnation: Incarnation,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE projections SET position = $3, incarnation = $4, updated_at = now() WHERE name = $1 AND position = $2",
        NAME,
        from.0,
        to.0,
        incarnation.0
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Where the live rows are; 0 before the first.
pub(crate) async fn live_position(conn: &mut PgConnection) -> sqlx::Result<Position> {
    let position =
        sqlx::query_scalar!("SELECT position FROM read.projections WHERE name = $1", NAME).fetch_optional(conn).await?;
    Ok(Position(position.unwrap_or(0)))
}
