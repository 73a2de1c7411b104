//! What the benchmarks set the store against: plain inserts of the same rows into the same table, and other codecs for a payload.
//!
//! All of it works in a [`Scratch`] database, made for a run and dropped after it, and can't be pointed at another: nothing here may ever
//! write beside `append_batch` where real events are.
use crate::checksum::Sent;
use crate::{Append, Log};
use chrono::Utc;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Error, Executor, PgConnection, PgPool, Row};
use std::time::Duration;
use uuid::Uuid;

const PREFIX: &str = "waybill_bench_";
/// More than the appenders' connection, the listener and a reader need.
const CONNECTIONS: u32 = 8;
const ACQUIRE: Duration = Duration::from_secs(10);

/// A database of its own on a server.
#[derive(Debug)]
pub struct Scratch {
    server: PgConnectOptions,
    name: String,
}

impl Scratch {
    /// Makes it, with today's schema. The role must be allowed to create databases.
    pub async fn create(server: &str) -> Result<Scratch, Error> {
        let server: PgConnectOptions = server.parse()?;
        let name = format!("{PREFIX}{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect_with(&server).await?;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        connection.close().await?;
        let scratch = Scratch { server, name };
        let pool = scratch.pool().await?;
        super::MIGRATOR.run(&pool).await.map_err(|error| Error::Configuration(error.into()))?;
        Ok(scratch)
    }

    /// One that another process has made, for a process beside it; whoever made it removes it.
    pub fn existing(server: &str, name: &str) -> Result<Scratch, Error> {
        if !name.starts_with(PREFIX) {
            return Err(Error::Configuration(format!("{name} is no benchmark's database").into()));
        }
        Ok(Scratch { server: server.parse()?, name: name.to_owned() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    pub async fn pool(&self) -> Result<PgPool, Error> {
        PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE).connect_with(self.options()).await
    }

    /// Fills the log with `events` events in streams of `length`, made by the server, and has it settle: statistics, a checkpoint.
    pub async fn grow(&self, events: i64, length: i64, payload: &str, metadata: &str) -> Result<(), Error> {
        const STEP: i64 = 200_000;
        let mut connection = PgConnection::connect_with(&self.options()).await?;
        for from in (0..events).step_by(STEP as usize) {
            sqlx::query(
                "INSERT INTO events (log, position, incarnation, stream_id, stream_kind, version, type, schema_version, shop,
                                     command_id, recorded_at, metadata, payload)
                 SELECT 0, n, 1, lpad(to_hex((n - 1) / $3), 32, '0')::uuid, 'grown', (n - 1) % $3 + 1, 'Grown', 1, 'bench',
                        lpad(to_hex((n - 1) / $3), 32, '0')::uuid, now(), $4::json, $5::json
                   FROM generate_series($1::bigint + 1, $2::bigint) AS n",
            )
            .bind(from)
            .bind((from + STEP).min(events))
            .bind(length)
            .bind(metadata)
            .bind(payload)
            .execute(&mut connection)
            .await?;
        }
        connection.execute("VACUUM (ANALYZE) events").await?;
        connection.execute("CHECKPOINT").await?;
        connection.close().await
    }

    /// The id of the n-th stream that `grow` made, from 0.
    pub fn grown_stream(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    /// Bytes of the events table, and of its indexes.
    pub async fn sizes(&self) -> Result<(i64, i64), Error> {
        let mut connection = PgConnection::connect_with(&self.options()).await?;
        let row =
            sqlx::query("SELECT pg_table_size('events'), pg_indexes_size('events')").fetch_one(&mut connection).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    /// A transaction that looks at the database and then stays open, until the connection is dropped.
    pub async fn old_snapshot(&self) -> Result<PgConnection, Error> {
        let mut connection = PgConnection::connect_with(&self.options()).await?;
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM shops").await?;
        Ok(connection)
    }

    pub async fn remove(self) -> Result<(), Error> {
        let mut connection = PgConnection::connect_with(&self.server).await?;
        connection.execute(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name))).await?;
        connection.close().await
    }
}

/// Has a database settle after much was written: statistics, a checkpoint.
pub async fn settle(database: &str) -> Result<(), Error> {
    let mut connection = PgConnection::connect(database).await?;
    connection.execute("VACUUM (ANALYZE)").await?;
    connection.execute("CHECKPOINT").await?;
    connection.close().await
}

/// What a server has done since it started, as its statistics tell.
#[derive(Debug)]
pub struct ServerCounts(Vec<(String, f64)>);

impl ServerCounts {
    /// An idle connection tells what it did within so long.
    const TOLD_WITHIN: Duration = Duration::from_secs(11);

    /// Waits until all is told.
    pub async fn take(server: &str) -> Result<ServerCounts, Error> {
        tokio::time::sleep(ServerCounts::TOLD_WITHIN).await;
        let mut connection = PgConnection::connect(server).await?;
        let counts = sqlx::query_as(
            "SELECT key, value::double precision
               FROM jsonb_each_text(
                    (SELECT jsonb_build_object('commits', sum(xact_commit), 'rollbacks', sum(xact_rollback),
                                               'rows_inserted', sum(tup_inserted), 'rows_updated', sum(tup_updated),
                                               'rows_deleted', sum(tup_deleted), 'rows_fetched', sum(tup_fetched))
                       FROM pg_stat_database)
                    || (SELECT to_jsonb(wal) - 'stats_reset' FROM pg_stat_wal AS wal))
              WHERE value IS NOT NULL
              ORDER BY key",
        );
        let counts = counts.fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok(ServerCounts(counts))
    }

    /// Each count's name, and how it is now and was then.
    pub fn beside<'a>(&'a self, then: &'a ServerCounts) -> impl Iterator<Item = (&'a str, f64, f64)> {
        self.0.iter().zip(&then.0).map(|((name, now), (_, then))| (name.as_str(), *now, *then))
    }
}

/// One connection that inserts events as they are given: no versions, no claims, no order but its own.
#[derive(Debug)]
pub struct PlainLane {
    connection: PgConnection,
    position: i64,
}

impl PlainLane {
    pub async fn connect(scratch: &Scratch) -> Result<PlainLane, Error> {
        let mut connection = PgConnection::connect_with(&scratch.options()).await?;
        let last = sqlx::query("SELECT coalesce(max(position), 0) FROM events").fetch_one(&mut connection).await?;
        Ok(PlainLane { connection, position: last.try_get(0)? })
    }

    /// One statement and one commit for all these appends; every stream is taken for new.
    pub async fn insert(&mut self, appends: &[Append]) -> Result<(), Error> {
        let mut rows = Rows::default();
        let metadata: Vec<String> =
            appends.iter().map(|append| serde_json::to_string(&append.metadata).unwrap_or_default()).collect();
        for (append, metadata) in appends.iter().zip(&metadata) {
            for part in &append.streams {
                for (event, version) in part.events.iter().zip(1..) {
                    self.position += 1;
                    rows.position.push(self.position);
                    rows.stream.push(part.stream.id);
                    rows.kind.push(&part.stream.kind);
                    rows.version.push(version);
                    rows.event_type.push(&event.event_type);
                    rows.schema_version.push(event.schema_version);
                    rows.shop.push(&append.shop);
                    rows.command.push(append.metadata.command_id);
                    rows.metadata.push(metadata);
                    rows.payload.push(event.payload.get());
                    rows.checksum.push(Sent::of(append, &part.stream, event, metadata).checksum());
                }
            }
        }
        sqlx::query(
            "INSERT INTO events (log, position, incarnation, stream_id, stream_kind, version, type, schema_version, shop,
                                 command_id, recorded_at, metadata, payload, checksum)
             SELECT $1, position, 1, stream_id, stream_kind, version, type, schema_version, shop, command_id, $2, metadata::json,
                    payload::json, checksum
               FROM UNNEST($3::bigint[], $4::uuid[], $5::text[], $6::integer[], $7::text[], $8::smallint[], $9::text[],
                           $10::uuid[], $11::text[], $12::text[], $13::integer[])
                    AS e (position, stream_id, stream_kind, version, type, schema_version, shop, command_id, metadata, payload,
                          checksum)",
        )
        .bind(Log::MAIN.0)
        .bind(Utc::now())
        .bind(&rows.position)
        .bind(&rows.stream)
        .bind(&rows.kind)
        .bind(&rows.version)
        .bind(&rows.event_type)
        .bind(&rows.schema_version)
        .bind(&rows.shop)
        .bind(&rows.command)
        .bind(&rows.metadata)
        .bind(&rows.payload)
        .bind(&rows.checksum)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }
}

/// The columns of what the plain lane sends.
#[derive(Default)]
struct Rows<'a> {
    position: Vec<i64>,
    stream: Vec<Uuid>,
    kind: Vec<&'a str>,
    version: Vec<i32>,
    event_type: Vec<&'a str>,
    schema_version: Vec<i16>,
    shop: Vec<&'a str>,
    command: Vec<Uuid>,
    metadata: Vec<&'a str>,
    payload: Vec<&'a str>,
    checksum: Vec<i32>,
}

/// How a payload might be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Json,
    Jsonb,
    Text,
    Bytes,
}

impl Codec {
    pub const ALL: [Codec; 4] = [Codec::Json, Codec::Jsonb, Codec::Text, Codec::Bytes];

    pub fn name(self) -> &'static str {
        match self {
            Codec::Json => "json",
            Codec::Jsonb => "jsonb",
            Codec::Text => "text",
            Codec::Bytes => "bytea",
        }
    }
}

/// A table of payloads in one codec, beside a key as the log has it.
#[derive(Debug)]
pub struct CodecLane {
    connection: PgConnection,
    codec: Codec,
    position: i64,
}

impl CodecLane {
    pub async fn create(scratch: &Scratch, codec: Codec) -> Result<CodecLane, Error> {
        let mut connection = PgConnection::connect_with(&scratch.options()).await?;
        let name = codec.name();
        let table = format!(
            "DROP TABLE IF EXISTS codec_{name};
             CREATE TABLE codec_{name} (position bigint PRIMARY KEY, payload {name} NOT NULL)"
        );
        connection.execute(AssertSqlSafe(table)).await?;
        Ok(CodecLane { connection, codec, position: 0 })
    }

    /// Inserts so many rows of this payload in one statement.
    pub async fn insert(&mut self, payload: &str, rows: usize) -> Result<(), Error> {
        let name = self.codec.name();
        let positions: Vec<i64> = (self.position + 1..).take(rows).collect();
        self.position += rows as i64;
        let (sent, cast) = match self.codec {
            Codec::Bytes => ("bytea", ""),
            Codec::Text => ("text", ""),
            Codec::Json => ("text", "::json"),
            Codec::Jsonb => ("text", "::jsonb"),
        };
        let statement = format!(
            "INSERT INTO codec_{name} SELECT position, payload{cast} FROM UNNEST($1::bigint[], $2::{sent}[]) AS e (position, payload)"
        );
        let query = sqlx::query(AssertSqlSafe(statement)).bind(positions);
        let query = match self.codec {
            Codec::Bytes => query.bind(vec![payload.as_bytes(); rows]),
            _ => query.bind(vec![payload; rows]),
        };
        query.execute(&mut self.connection).await?;
        Ok(())
    }

    /// Reads a page of so many payloads after a position; answers their bytes as the client gets them.
    pub async fn read(&mut self, after: i64, rows: i64) -> Result<usize, Error> {
        let name = self.codec.name();
        let statement = format!("SELECT payload FROM codec_{name} WHERE position > $1 ORDER BY position LIMIT $2");
        let page = sqlx::query(AssertSqlSafe(statement)).bind(after).bind(rows).fetch_all(&mut self.connection).await?;
        let bytes = page
            .iter()
            .map(|row| row.try_get_raw(0).and_then(|raw| raw.as_bytes().map(<[u8]>::len).map_err(Error::Decode)));
        bytes.sum()
    }

    pub fn rows(&self) -> i64 {
        self.position
    }

    /// Bytes on disk.
    pub async fn size(&mut self) -> Result<i64, Error> {
        let name = self.codec.name();
        let row = sqlx::query(AssertSqlSafe(format!("SELECT pg_table_size('codec_{name}')")))
            .fetch_one(&mut self.connection)
            .await?;
        row.try_get(0)
    }
}
