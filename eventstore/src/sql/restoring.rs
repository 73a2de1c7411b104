//! A database on its way back from a backup: who may not use it yet, what must be out of the way, what is settled at the end.
//!
//! The mark is a schema of its own, so that it stands in a database that has nothing else yet. It is there from before the first object
//! is written until after the last is settled; `migrate` refuses a database that has it, and with `migrate` all that serves. No migration
//! knows it, so its statements can't be checked at compile time.
use super::migrate::{MigrateError, apply};
use crate::{Log, Position};
use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

/// How far a restore lifts the epochs of leases: past all that the lost life of the log can have given since the backup.
const EPOCHS: i64 = 1 << 32;

/// What stands in a database that is to take a backup.
#[derive(Clone, Debug)]
pub struct Occupied {
    pub server_major: u32,
    /// The backup of a restore that did not come to its end.
    pub mark: Option<String>,
    /// The last position of a log that is there.
    pub position: Option<Position>,
    /// Tables that are not Waybill's: there are tables, and no migration of ours made them.
    pub others: i64,
    /// Who else is connected.
    pub sessions: i64,
}

/// Looks whether a database is free to take a backup.
pub async fn occupied(url: &str) -> Result<Occupied, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let mark = mark(&mut connection).await?;
    let server = sqlx::query!(
        r#"SELECT current_setting('server_version_num')::integer AS "number!", count(*) AS "sessions!" FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"#
    )
    .fetch_one(&mut connection)
    .await?;
    let found = sqlx::query!(
        r#"SELECT to_regclass('public._sqlx_migrations') IS NOT NULL AS "ours!", to_regclass('public.events') IS NOT NULL AS "log!",
                  count(*) AS "tables!"
             FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"#
    )
    .fetch_one(&mut connection)
    .await?;
    let mut position = None;
    if mark.is_none() && found.log {
        position = sqlx::query_scalar!("SELECT max(position) FROM events").fetch_one(&mut connection).await?;
    }
    connection.close().await?;
    let others = if found.ours || mark.is_some() { 0 } else { found.tables };
    let server_major = u32::try_from(server.number / 10_000).unwrap_or_default();
    Ok(Occupied { server_major, mark, position: position.map(Position), others, sessions: server.sessions })
}

/// Marks the database, then takes away what an earlier try, or a start that came to no events, left there.
pub async fn begin(url: &str, backup: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS restoring;
         CREATE TABLE IF NOT EXISTS restoring.mark (backup text NOT NULL, began_at timestamptz NOT NULL DEFAULT now());
         DELETE FROM restoring.mark",
    )
    .execute(&mut connection)
    .await?;
    sqlx::query("INSERT INTO restoring.mark (backup) VALUES ($1)").bind(backup).execute(&mut connection).await?;
    sqlx::raw_sql(CLEAR).execute(&mut connection).await?;
    connection.close().await
}

/// Everything in our schemas but what an extension owns.
const CLEAR: &str = r"
DO $$
DECLARE
    v_drop text;
BEGIN
    DROP SCHEMA IF EXISTS read CASCADE;
    DROP SCHEMA IF EXISTS vault CASCADE;
    -- Gathered first: a name is to be read while it is there.
    FOREACH v_drop IN ARRAY ARRAY(
        SELECT format('DROP %s IF EXISTS %s CASCADE',
                      CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                      c.oid::regclass)
          FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT c.relispartition
           -- Not an extension's; and a column's own sequence goes with its table.
           AND NOT EXISTS (
                   SELECT FROM pg_depend d WHERE d.objid = c.oid AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i'))
               )
         UNION ALL
        SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)
          FROM pg_proc p
         WHERE p.pronamespace = 'public'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    ) LOOP
        EXECUTE v_drop;
    END LOOP;
END $$";

/// The backup of a restore that did not come to its end.
pub async fn mark(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let marked = sqlx::query_scalar!(r#"SELECT to_regclass('restoring.mark') IS NOT NULL AS "marked!""#)
        .fetch_one(&mut *connection)
        .await?;
    if !marked {
        return Ok(None);
    }
    let backup: Option<String> =
        sqlx::query_scalar("SELECT backup FROM restoring.mark").fetch_optional(connection).await?;
    Ok(Some(backup.unwrap_or_else(|| "an unknown one".to_owned())))
}

/// Brings what was restored up to this program's schema, although it is marked.
pub async fn migrate_restored(pool: &PgPool) -> Result<(), MigrateError> {
    apply(pool).await
}

/// What a restored database holds.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// How many events there are, and the last position: the same, unless some are missing.
    pub events: i64,
    pub position: Position,
}

/// Counts what came back.
pub async fn count(pool: &PgPool, log: Log) -> Result<Restored, sqlx::Error> {
    let events = sqlx::query!(
        r#"SELECT count(*) AS "events!", coalesce(max(position), 0) AS "position!" FROM events WHERE log = $1"#,
        log.0
    )
    .fetch_one(pool)
    .await?;
    Ok(Restored { events: events.events, position: Position(events.position) })
}

/// A person whose key the backup of the keys no longer holds.
#[derive(Clone, Debug)]
pub struct ErasedPerson {
    pub person: Uuid,
    pub shop: String,
    pub reference: String,
    pub erased_at: DateTime<Utc>,
}

/// Whom the keys' half knows as erased; the main half may be older than that.
pub async fn erased(pool: &PgPool) -> Result<Vec<ErasedPerson>, sqlx::Error> {
    sqlx::query_as!(
        ErasedPerson,
        r#"SELECT person, shop, coalesce(former_ref, ref) AS "reference!", erased_at AS "erased_at!"
             FROM vault.person_keys WHERE wrapped IS NULL ORDER BY erased_at, person"#
    )
    .fetch_all(pool)
    .await
}

/// Frees all leases: whoever held one is gone. An append under an epoch of the lost life stays refused.
pub async fn free_leases(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE leases SET owner = NULL, expires_at = to_timestamp(0), epoch = epoch + $1", EPOCHS)
        .execute(pool)
        .await?;
    Ok(())
}

/// Makes the statistics that no dump holds, then takes the mark away: from now on the database may be used.
pub async fn finish(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("ANALYZE").execute(pool).await?;
    sqlx::raw_sql("DROP SCHEMA restoring CASCADE").execute(pool).await?;
    Ok(())
}
