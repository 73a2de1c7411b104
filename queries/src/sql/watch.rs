//! For processes that don't run the projections: how far the rows have come, and how some orders stand.
use super::checkpoint::{CHANNEL, NAME};
use eventstore::Position;
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use uuid::Uuid;

/// The live rows at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) position: Position,
    pub(crate) epoch: i64,
    pub(crate) orders: Vec<ShownOrder>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownOrder {
    pub(crate) order_id: Uuid,
    pub(crate) status: String,
    pub(crate) status_reason: Option<String>,
    pub(crate) position: Position,
    pub(crate) version: i32,
}

/// One statement, so one moment. `None`: there is no read model yet, or it is about to be made again.
pub(crate) async fn shown(conn: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Option<Shown>> {
    let rows = sqlx::query!(
        r#"
        SELECT p.position AS applied, p.epoch, o.order_id AS "order_id?", o.status AS "status?", o.status_reason AS "status_reason?",
            o.position AS "position?", o.version AS "version?"
        FROM read.projections AS p LEFT JOIN LATERAL (
            SELECT r.order_id, r.status, r.status_reason, r.position, r.version
            FROM UNNEST($2::uuid[]) AS a (order_id) JOIN read.orders AS r ON r.order_id = a.order_id
        ) AS o ON true
        WHERE p.name = $1
        "#,
        NAME,
        orders
    )
    .fetch_all(conn)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (position, epoch) = (Position(first.applied), first.epoch);
    let orders = rows
        .into_iter()
        .filter_map(|row| {
            Some(ShownOrder {
                order_id: row.order_id?,
                status: row.status?,
                status_reason: row.status_reason,
                position: Position(row.position?),
                version: row.version?,
            })
        })
        .collect();
    Ok(Some(Shown { position, epoch, orders }))
}

/// What is said instead of a position by one that drove and stops.
pub(crate) const STOPPED: &str = "stopped";

pub(crate) async fn say_stopped(options: &PgConnectOptions) -> sqlx::Result<()> {
    let mut conn = PgConnection::connect_with(options).await?;
    sqlx::query!("SELECT pg_notify($1, $2)::text", CHANNEL, STOPPED).fetch_one(&mut conn).await?;
    conn.close().await
}

/// Calls `heard` with what each notification says, and once with nothing when it has begun to listen, since what was said before is lost.
/// Ends with the connection.
pub(crate) async fn listen(options: &PgConnectOptions, heard: impl Fn(&str)) -> sqlx::Result<()> {
    let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&own).await?;
    listener.listen(CHANNEL).await?;
    heard("");
    while let Some(notification) = listener.try_recv().await? {
        heard(notification.payload());
    }
    Ok(())
}
