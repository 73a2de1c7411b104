//! Tables of one connection's own, shaped as the live ones, and the comparison of some orders' rows with them. Table names come from
//! `TABLES` alone, so these few statements are put together at run time.
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};
use uuid::Uuid;

/// Where a connection's own tables lie.
pub(crate) const SCHEMA: &str = "pg_temp";

/// How a table's rows of some orders are found in the live one; `$1`: the orders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfOrders {
    pub(crate) name: &'static str,
    live: &'static str,
}

const BY_ORDER: &str = "l.order_id = ANY ($1)";

pub(crate) const TABLES: &[OfOrders] = &[
    OfOrders { name: "orders", live: BY_ORDER },
    // No index finds an order's SKUs by the order: those that ought to be there are looked for, by their key.
    OfOrders {
        name: "order_skus",
        live: "l.order_id = ANY ($1) AND EXISTS (SELECT FROM pg_temp.order_skus AS r WHERE (r.sku, r.order_id) = (l.sku, l.order_id))",
    },
    OfOrders { name: "fulfillments", live: BY_ORDER },
    OfOrders { name: "sagas", live: BY_ORDER },
    OfOrders { name: "returns", live: BY_ORDER },
];

/// Makes the tables, for as long as the connection lives; each transaction begins with empty ones.
pub(crate) async fn create(conn: &mut PgConnection) -> sqlx::Result<()> {
    let sql: String = TABLES
        .iter()
        .map(|OfOrders { name, .. }| {
            format!("CREATE TEMPORARY TABLE {name} (LIKE read.{name} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS;")
        })
        .collect();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}

pub(crate) async fn snapshot(conn: &mut PgConnection) -> sqlx::Result<Transaction<'_, Postgres>> {
    sqlx::Connection::begin_with(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ").await
}

pub(crate) async fn count(conn: &mut PgConnection, table: &OfOrders) -> sqlx::Result<u64> {
    let sql = format!("SELECT count(*) FROM {SCHEMA}.{}", table.name);
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await?;
    Ok(count.unsigned_abs())
}

/// As `replay::differences`, of these orders alone.
pub(crate) async fn differences(
    conn: &mut PgConnection,
    OfOrders { name, live }: &OfOrders,
    orders: &[Uuid],
    limit: i64,
) -> sqlx::Result<Vec<(bool, String)>> {
    let sql = format!(
        "WITH live AS MATERIALIZED (SELECT l::text AS row FROM read.{name} AS l WHERE {live}),
              made AS MATERIALIZED (SELECT r::text AS row FROM {SCHEMA}.{name} AS r)
         (SELECT true, row FROM made EXCEPT ALL SELECT true, row FROM live LIMIT $2)
         UNION ALL
         (SELECT false, row FROM live EXCEPT ALL SELECT false, row FROM made LIMIT $2)"
    );
    sqlx::query_as(AssertSqlSafe(sql)).bind(orders).bind(limit).fetch_all(conn).await
}
