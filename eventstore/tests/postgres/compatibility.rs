//! The last release beside this one on one database: its statements, its appends, and which programs a database lets in.
use crate::support::{count_events, store};
use eventstore::contract::given::{append, assert_whole, everything, stream};
use eventstore::sql::{self, MigrateError};
use eventstore::{AppendError, EventStore, Refusal, StreamId};
use serde::Deserialize;
use serde_json::Value;
use sqlx::postgres::PgColumn;
use sqlx::{
    AssertSqlSafe, Column, Connection, Either, Executor, PgConnection, PgPool, SqlSafeStr, Statement as _, TypeInfo,
};

/// Written by `scripts/cut-release`.
const RELEASED: &str = include_str!("../../../migrations/released/queries.json");
/// Sent at a start alone: a process of 0.1.0 that runs has done so, and 0.1.0 does not start on a newer database.
const AT_START: &str = "INSERT INTO logs (log) VALUES ($1) ON CONFLICT DO NOTHING";

#[derive(Debug, Deserialize)]
struct Statement {
    query: String,
    takes: Vec<Value>,
    answers: Vec<(String, Value)>,
}

/// `Int8Array` as sqlx tells it of a prepared statement: `INT8[]`.
fn type_name(recorded: &Value) -> String {
    let name = recorded.as_str().unwrap();
    let (name, array) = name.strip_suffix("Array").map_or((name, ""), |item| (item, "[]"));
    format!("{}{array}", name.to_uppercase())
}

async fn prepared(connection: &mut PgConnection, path: &str, statement: &Statement) -> Result<(), String> {
    connection.execute(AssertSqlSafe(format!("SET search_path = {path}"))).await.unwrap();
    let query = AssertSqlSafe(statement.query.clone()).into_sql_str();
    let now = connection.prepare(query).await.map_err(|error| error.to_string())?;
    let takes: Vec<_> = match now.parameters() {
        Some(Either::Left(types)) => types.iter().map(|of| of.name().to_owned()).collect(),
        _ => vec![],
    };
    let answer = |column: &PgColumn| (column.name().to_owned(), column.type_info().name().to_owned());
    let answers: Vec<_> = now.columns().iter().map(answer).collect();
    let took: Vec<_> = statement.takes.iter().map(type_name).collect();
    let answered: Vec<_> = statement.answers.iter().map(|(name, of)| (name.clone(), type_name(of))).collect();
    match (&takes, &answers) == (&took, &answered) {
        true => Ok(()),
        false => Err(format!("it takes {takes:?} and answers {answers:?}, not {took:?} and {answered:?}")),
    }
}

#[tokio::test]
async fn every_statement_of_the_last_release_works_on_this_schema() {
    let (_store, database) = store().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let statements: Vec<Statement> = serde_json::from_str(RELEASED).unwrap();
    assert!(statements.len() >= 50);
    let mut faults = vec![];
    for statement in statements.iter().filter(|statement| statement.query != AT_START) {
        // The store's and the API's connections see `public`, the projections' see `read`.
        let Err(as_store) = prepared(&mut connection, "public", statement).await else { continue };
        if let Err(as_projection) = prepared(&mut connection, "read", statement).await {
            faults.push(format!("{}\n  {as_store}\n  {as_projection}", statement.query));
        }
    }
    assert!(faults.is_empty(), "the last release, running beside this one, would fail:\n{}", faults.join("\n"));
}

/// What the last release sends for an append of some events to one stream, holding a key for ever.
async fn append_as_before(
    pool: &PgPool,
    stream: &StreamId,
    expected: Option<i32>,
    events: i32,
    key: &str,
) -> Option<Value> {
    let metadata: String =
        sqlx::query_scalar("SELECT metadata::text FROM events LIMIT 1").fetch_one(pool).await.unwrap();
    let call = "SELECT refusals FROM append_batch(0::smallint,
        ARRAY[gen_random_uuid()], ARRAY['dev'], ARRAY[$4], ARRAY[$3], ARRAY[0],
        ARRAY[1], ARRAY[$1], ARRAY[$5], ARRAY[$2],
        array_fill(1, ARRAY[$3]), array_fill(1, ARRAY[$3]), (SELECT array_agg(n) FROM generate_series(1, $3) AS n),
        array_fill('OrderPlaced'::text, ARRAY[$3]), array_fill(1::smallint, ARRAY[$3]), array_fill('{\"n\": 1}'::text, ARRAY[$3]),
        ARRAY['idem:dev:cancel'], ARRAY[$6],
        ARRAY[1], ARRAY[1], ARRAY['before'], ARRAY[NULL]::bytea[],
        '{}'::text[], '{}'::bigint[], '{}'::bigint[], '{}'::bigint[],
        '{}'::int[], '{}'::int[], '{}'::bigint[], '{}'::bigint[],
        '{}'::int[], '{}'::smallint[], '{}'::bigint[],
        '{}'::int[], '{}'::text[], '{}'::int[], '{}'::bigint[], '{}'::int[], '{}'::bigint[],
        '{}'::int[], '{}'::uuid[], '{}'::smallint[], '{}'::text[], '{}'::text[], '{}'::timestamptz[],
        '{}'::int[], '{}'::uuid[], '{}'::uuid[], '{}'::bytea[])";
    let sent = sqlx::query_scalar(call).bind(stream.id).bind(expected).bind(events);
    sent.bind(metadata).bind(stream.kind.as_ref()).bind(key).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn appends_of_the_last_release_and_of_this_one_are_one_log() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    let shared = stream();
    store.append(append().with(&shared, 0, &["OrderPlaced"])).await.unwrap();
    assert_eq!(append_as_before(&pool, &shared, Some(1), 2, "first").await, None);
    store.append(append().with(&shared, 3, &["OrderPlaced", "OrderPlaced"])).await.unwrap();
    let conflict = append_as_before(&pool, &shared, Some(3), 1, "second").await.unwrap();
    assert_eq!(conflict[0]["actual"], 5, "{conflict}");
    assert!(matches!(
        store.append(append().with(&shared, 4, &["OrderPlaced"])).await,
        Err(AppendError::Conflict { .. })
    ));
    let events = everything(store.as_ref()).await;
    assert_whole(&events);
    assert_eq!(events.iter().map(|event| event.version.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(store.head().await.unwrap().position.0, 5);
}

#[tokio::test]
async fn a_key_that_one_release_holds_the_other_does_not_get() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    // Ours for a day, theirs for ever.
    store.append(append().with(&stream(), 0, &["OrderPlaced"]).claiming_for_a_day("ours", "ours")).await.unwrap();
    let refused = append_as_before(&pool, &stream(), Some(0), 1, "ours").await.unwrap();
    assert_eq!(refused[0]["claim"]["holder"], "ours", "{refused}");

    assert_eq!(append_as_before(&pool, &stream(), Some(0), 1, "theirs").await, None);
    let refused =
        store.append(append().with(&stream(), 0, &["OrderPlaced"]).claiming_for_a_day("theirs", "ours")).await;
    let Err(AppendError::Refused(Refusal::ClaimTaken(taken))) = refused else { panic!("{refused:?}") };
    assert_eq!(taken.holder, "before");
    assert_eq!(count_events(&pool).await, 2);
}

#[tokio::test]
async fn both_releases_append_at_once_and_positions_stay_dense() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    store.append(append().with(&stream(), 0, &["OrderPlaced"])).await.unwrap();
    let before = tokio::spawn({
        let pool = pool.clone();
        async move {
            for n in 0..50 {
                assert_eq!(append_as_before(&pool, &stream(), Some(0), 3, &format!("k{n}")).await, None);
            }
        }
    });
    for _ in 0..50 {
        store.append(append().with(&stream(), 0, &["OrderPlaced", "OrderPlaced"])).await.unwrap();
    }
    before.await.unwrap();
    let events = everything(store.as_ref()).await;
    assert_whole(&events);
    assert_eq!(events.len(), 1 + 50 * 3 + 50 * 2);
}

/// As a program of years to come leaves a database: a migration more, of which nothing is known here.
async fn migrated_by_a_newer_one(pool: &PgPool) {
    let added = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9001, 'of years to come', true, '\\x00', 0)";
    pool.execute(added).await.unwrap();
}

#[tokio::test]
async fn a_program_starts_on_a_database_that_a_newer_one_has_expanded() {
    let (_store, database) = store().await;
    let pool = database.pool().await;
    migrated_by_a_newer_one(&pool).await;
    sql::migrate(&pool).await.unwrap();
}

#[tokio::test]
async fn a_program_is_refused_by_a_database_that_was_contracted_past_it() {
    let (_store, database) = store().await;
    let pool = database.pool().await;
    migrated_by_a_newer_one(&pool).await;
    pool.execute("UPDATE compatibility SET needs = 9001").await.unwrap();
    let refused = sql::migrate(&pool).await.unwrap_err();
    assert!(matches!(refused, MigrateError::DatabaseIsNewer { needs: 9001, .. }), "{refused:?}");
    assert!(refused.to_string().ends_with("start a newer version"), "{refused}");
}

#[tokio::test]
async fn a_database_from_before_the_mark_is_brought_up_to_date() {
    let (_store, database) = store().await;
    let pool = database.pool().await;
    pool.execute("DROP TABLE compatibility").await.unwrap();
    pool.execute("DELETE FROM _sqlx_migrations WHERE version = 13").await.unwrap();
    sql::migrate(&pool).await.unwrap();
    let needs: i64 = sqlx::query_scalar("SELECT needs FROM compatibility").fetch_one(&pool).await.unwrap();
    assert_eq!(needs, 13);
}

/// Two rows would contradict each other.
#[tokio::test]
async fn there_is_one_mark() {
    let (_store, database) = store().await;
    let pool = database.pool().await;
    assert!(pool.execute("INSERT INTO compatibility (needs) VALUES (1)").await.is_err());
}
