//! The database as one moment sees it, for whoever copies it with PostgreSQL's own tools.
//!
//! It reads alone. Appends go on meanwhile: nothing here holds a lock that they want.
use crate::{Incarnation, Log, Position};
use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};

/// What stood in the database at the moment.
#[derive(Clone, Debug)]
pub struct Facts {
    pub taken_at: DateTime<Utc>,
    /// As people write it: `15.18`.
    pub server: String,
    pub server_major: u32,
    /// The migrations applied, in their order.
    pub migrations: Vec<i64>,
    pub log: Log,
    pub incarnation: Incarnation,
    /// The log's last position, and when it was recorded.
    pub position: Position,
    pub recorded_at: Option<DateTime<Utc>>,
    /// Persons with a key, and persons erased.
    pub people: i64,
    pub erased: i64,
    /// Persons of whom something is sealed and who have neither a key nor an erasure: a restore went without the keys, or one was lost.
    pub lost: i64,
    /// The ids of the master keys that wrap what the vault holds.
    pub master_keys: Vec<String>,
}

/// A moment that others may look at, too, for as long as this value lives.
#[derive(Debug)]
pub struct Moment {
    pub facts: Facts,
    /// What `pg_dump --snapshot` calls it.
    pub snapshot: String,
    /// Its transaction holds the moment.
    _connection: PgConnection,
}

impl Moment {
    /// Takes the moment in a transaction of its own; the schema may be an older release's.
    pub async fn take(url: &str, log: Log) -> Result<Moment, sqlx::Error> {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL idle_in_transaction_session_timeout = 0;
             SET LOCAL statement_timeout = 0",
        )
        .execute(&mut connection)
        .await?;
        let snapshot =
            sqlx::query_scalar!(r#"SELECT pg_export_snapshot() AS "snapshot!""#).fetch_one(&mut connection).await?;
        let facts = facts(&mut connection, log).await?;
        Ok(Moment { facts, snapshot, _connection: connection })
    }
}

/// Opens the database and says what stands in it now.
pub async fn facts_of(url: &str, log: Log) -> Result<Facts, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let facts = facts(&mut connection, log).await?;
    connection.close().await?;
    Ok(facts)
}

async fn facts(connection: &mut PgConnection, log: Log) -> Result<Facts, sqlx::Error> {
    let server = sqlx::query!(
        r#"SELECT now() AS "now!", current_setting('server_version') AS "version!",
                  current_setting('server_version_num')::integer AS "number!""#
    )
    .fetch_one(&mut *connection)
    .await?;
    // Made by the migrations' own library, so it is in no migration that the compiler could check against.
    let migrations = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
        .fetch_all(&mut *connection)
        .await?;
    let head = sqlx::query!(
        r#"SELECT l.incarnation AS "incarnation!", l.last_position AS "position!",
                  (SELECT e.recorded_at FROM events e WHERE e.log = l.log AND e.position = l.last_position) AS recorded_at
             FROM logs l WHERE l.log = $1"#,
        log.0
    )
    .fetch_optional(&mut *connection)
    .await?;
    let people = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE wrapped IS NOT NULL) AS "people!", count(*) FILTER (WHERE wrapped IS NULL) AS "erased!",
                  coalesce(array_agg(DISTINCT master_key ORDER BY master_key) FILTER (WHERE wrapped IS NOT NULL), '{}')
                      AS "master_keys!"
             FROM vault.person_keys"#
    )
    .fetch_one(&mut *connection)
    .await?;
    let lost = sqlx::query_scalar!(
        r#"SELECT count(DISTINCT v.person) AS "persons!" FROM vault_entries v
            WHERE NOT EXISTS (SELECT FROM vault.person_keys k WHERE k.person = v.person)"#
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut master_keys = people.master_keys;
    // Since migration 14; an older schema is backed up, too.
    let secrets = sqlx::query_scalar!(r#"SELECT to_regclass('vault.secrets') IS NOT NULL AS "there!""#);
    if secrets.fetch_one(&mut *connection).await? {
        let more =
            sqlx::query_scalar!("SELECT DISTINCT master_key FROM vault.secrets").fetch_all(&mut *connection).await?;
        master_keys.extend(more);
        master_keys.sort();
        master_keys.dedup();
    }
    Ok(Facts {
        taken_at: server.now,
        server: server.version,
        server_major: u32::try_from(server.number / 10_000).unwrap_or_default(),
        migrations,
        log,
        incarnation: Incarnation(head.as_ref().map_or(1, |head| head.incarnation)),
        position: Position(head.as_ref().map_or(0, |head| head.position)),
        recorded_at: head.and_then(|head| head.recorded_at),
        people: people.people,
        erased: people.erased,
        lost,
        master_keys,
    })
}
