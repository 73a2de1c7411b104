//! How far the read model has come.
use eventstore::{Incarnation, Log, Position};
use sqlx::PgConnection;

/// One checkpoint for all tables: they move together.
pub(crate) const NAME: &str = "read";

/// Whoever has to know how far the rows have come listens here; the payload is the position.
pub(crate) const CHANNEL: &str = "waybill_read";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) version: i32,
    pub(crate) incarnation: Incarnation,
    pub(crate) position: Position,
    /// Raised by each takeover.
    pub(crate) epoch: i64,
}

impl Checkpoint {
    /// As a row has it.
    fn of(version: i32, incarnation: i32, position: i64, epoch: i64) -> Checkpoint {
        Checkpoint { version, incarnation: Incarnation(incarnation), position: Position(position), epoch }
    }
}

pub(crate) async fn load(conn: &mut PgConnection) -> sqlx::Result<Option<Checkpoint>> {
    let row = sqlx::query!("SELECT version, incarnation, position, epoch FROM projections WHERE name = $1", NAME)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| Checkpoint::of(row.version, row.incarnation, row.position, row.epoch)))
}

/// Begins at position 0, unless someone has begun already. A read model that is made again goes on with later epochs.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    version: i32,
    log: Log,
    incarnation: Incarnation,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO projections (name, version, log, incarnation, position, epoch)
         VALUES ($1, $2, $3, $4, 0, (extract(epoch FROM clock_timestamp()) * 1000)::bigint) ON CONFLICT DO NOTHING",
        NAME,
        version,
        log.0,
        incarnation.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Nobody else moves it on from here; waits for a transaction that is under way. `None`: it is gone, or of a later version.
pub(crate) async fn take_over(conn: &mut PgConnection, version: i32) -> sqlx::Result<Option<Checkpoint>> {
    let row = sqlx::query!(
        "UPDATE projections SET epoch = epoch + 1 WHERE name = $1 AND version <= $2 RETURNING version, incarnation, position, epoch",
        NAME,
        version
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Checkpoint::of(row.version, row.incarnation, row.position, row.epoch)))
}

/// Nobody else moves it while the transaction lasts; `false` when it is no longer there, or somebody has taken over.
pub(crate) async fn hold(conn: &mut PgConnection, (at, epoch): (Position, i64)) -> sqlx::Result<bool> {
    let held = sqlx::query_scalar!(
        "SELECT position FROM projections WHERE name = $1 AND position = $2 AND epoch = $3 FOR UPDATE",
        NAME,
        at.0,
        epoch
    );
    Ok(held.fetch_optional(conn).await?.is_some())
}

/// Moves the checkpoint on from `from`, as rows of this version, and with `tell` says so to other processes once it is committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advance {
    pub(crate) epoch: i64,
    pub(crate) from: Position,
    pub(crate) to: Position,
    pub(crate) incarnation: Incarnation,
    pub(crate) version: i32,
    pub(crate) tell: bool,
}

/// The live checkpoint as somebody sees it who doesn't drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glance {
    pub(crate) position: Position,
    pub(crate) epoch: i64,
    /// It was moved within the last second, by the database's clock.
    pub(crate) moved_just_now: bool,
}

pub(crate) async fn glance(conn: &mut PgConnection) -> sqlx::Result<Option<Glance>> {
    let row = sqlx::query!(
        r#"SELECT position, epoch, updated_at > now() - interval '1 s' AND position > 0 AS "moved_just_now!"
             FROM read.projections WHERE name = $1"#,
        NAME
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Glance { position: Position(row.position), epoch: row.epoch, moved_just_now: row.moved_just_now }))
}

/// Where the live rows are; 0 before the first.
pub(crate) async fn live_position(conn: &mut PgConnection) -> sqlx::Result<Position> {
    let position =
        sqlx::query_scalar!("SELECT position FROM read.projections WHERE name = $1", NAME).fetch_optional(conn).await?;
    Ok(Position(position.unwrap_or(0)))
}

/// By which version of the projections the live rows were made; `None`: there are none yet.
pub(crate) async fn live_version(conn: &mut PgConnection) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar!("SELECT version FROM read.projections WHERE name = $1", NAME).fetch_optional(conn).await
}
