//! The tables of a replay, and their comparison with the live ones. Table names come from `TABLES` alone, so these few statements
//! are put together at run time.
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, Transaction, postgres::PgConnectOptions};

pub(crate) const SCHEMA: &str = "read_replay";

/// Any number that no one else locks.
const LOCK: i64 = 0x7761_7962_7265_706c;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    key: &'static str,
}

/// All that hold rows of a projection.
pub(crate) const TABLES: &[Table] = &[
    Table { name: "orders", key: "order_id" },
    Table { name: "order_skus", key: "sku, order_id" },
    Table { name: "fulfillments", key: "fulfillment_id" },
    Table { name: "sagas", key: "saga_id, return_number" },
    Table { name: "returns", key: "order_id, number" },
    Table { name: "stock", key: "shop, sku, location" },
];

/// A connection that holds the lock of the replay tables until it is closed.
pub(crate) async fn exclusive(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let mut conn = PgConnection::connect_with(options).await?;
    sqlx::query!("SELECT pg_advisory_lock($1)", LOCK).execute(&mut conn).await?;
    Ok(conn)
}

/// Makes them, empty, as the live ones are; what an earlier replay left behind when it was killed goes first.
pub(crate) async fn create(conn: &mut PgConnection) -> sqlx::Result<()> {
    let mut sql = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA};");
    let checkpoints = Table { name: "projections", key: "name" };
    for Table { name, key } in TABLES.iter().chain([&checkpoints]) {
        sql += &format!(
            "CREATE UNLOGGED TABLE {SCHEMA}.{name} (LIKE read.{name} INCLUDING DEFAULTS, PRIMARY KEY ({key}));"
        );
    }
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}

pub(crate) async fn remove(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(format!("DROP SCHEMA {SCHEMA} CASCADE"))).execute(conn).await?;
    Ok(())
}

/// Empties the live tables and takes the checkpoint away, in one transaction.
pub(crate) async fn clear(pool: &PgPool) -> sqlx::Result<()> {
    // `timeline`: filled by releases before this one, read by them alone.
    let names = TABLES.iter().map(|table| table.name).chain(["parked", "timeline"]);
    let tables: Vec<String> = names.map(|name| format!("read.{name}")).collect();
    let mut transaction = pool.begin().await?;
    // The checkpoint first, as a runner takes it: one of both waits, none for ever.
    sqlx::raw_sql(AssertSqlSafe(format!("DELETE FROM read.projections; TRUNCATE {}", tables.join(", "))))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// What is read in it stands still.
pub(crate) async fn snapshot(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await
}

pub(crate) async fn count(conn: &mut PgConnection, table: &Table) -> sqlx::Result<u64> {
    let sql = format!("SELECT count(*) FROM {SCHEMA}.{}", table.name);
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await?;
    Ok(count.unsigned_abs())
}

/// Rows that only the replay has (`true`) or only the live table, as text; at most `limit` of each.
pub(crate) async fn differences(
    conn: &mut PgConnection,
    table: &Table,
    limit: i64,
) -> sqlx::Result<Vec<(bool, String)>> {
    let Table { name, .. } = table;
    let sql = format!(
        "(SELECT true, r::text FROM {SCHEMA}.{name} AS r EXCEPT ALL SELECT true, l::text FROM read.{name} AS l LIMIT $1)
         UNION ALL
         (SELECT false, l::text FROM read.{name} AS l EXCEPT ALL SELECT false, r::text FROM {SCHEMA}.{name} AS r LIMIT $1)"
    );
    sqlx::query_as(AssertSqlSafe(sql)).bind(limit).fetch_all(conn).await
}
