//! Rows in motion lie apart from those at rest.
use super::{assert_equal_to_a_replay, busy};
use crate::given::{Given, placed};
use domain::{OrderId, location::LocationMode, returns, saga::Reply};
use sqlx::Executor;

/// In which tables an order's rows lie, its own and that of its fulfillment's saga.
async fn lie(given: &Given, order: OrderId) -> [String; 2] {
    let of = |table| format!("SELECT tableoid::regclass::text FROM read.{table} WHERE order_id = $1");
    let mut found = [String::new(), String::new()];
    for (found, sql) in found.iter_mut().zip([of("orders"), of("sagas") + " AND return_number = 0"]) {
        let asked = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(order.0);
        *found = asked.fetch_one(&given.pool).await.unwrap();
    }
    found
}

const MOVING: [&str; 2] = ["read.orders_in_motion", "read.sagas_in_motion"];
const AT_REST: [&str; 2] = ["read.orders_at_rest", "read.sagas_at_rest"];

#[tokio::test]
async fn an_order_s_rows_are_in_motion_while_it_goes_on_by_itself_and_at_rest_otherwise() {
    let mut given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    for steps in [0, 1, 1] {
        given.goes_well(order, steps).await;
        given.project().await;
        assert_eq!(lie(&given, order).await, MOVING, "{steps}");
    }
    given.goes_well(order, 10).await;
    given.project().await;
    assert_eq!(lie(&given, order).await, AT_REST, "it has ended");
    given.returning(order, returns::Command::Request { lines: None, note_id: None }).await;
    given.project().await;
    assert_eq!(lie(&given, order).await, AT_REST, "a return moves neither");

    let paused = given.place("dev", placed("r-2", &[("a", 1)])).await;
    given.goes_well(paused, 1).await;
    given.reply(paused, Reply::Exhausted).await;
    given.project().await;
    assert_eq!(lie(&given, paused).await, AT_REST, "it waits for a person");

    given.mode = LocationMode::Manual;
    let released = given.place("dev", placed("r-3", &[("a", 1)])).await;
    given.project().await;
    assert_eq!(lie(&given, released).await, MOVING);
    given.goes_well(released, 2).await;
    given.project().await;
    assert_eq!(lie(&given, released).await, AT_REST, "it waits for the warehouse");
    assert_equal_to_a_replay(&given).await;
}

/// An update of a row in motion writes no index, as long as none of them holds what changes.
#[tokio::test]
async fn no_index_of_what_is_in_motion_holds_a_column_that_changes() {
    let given = Given::new().await;
    let indexed = "SELECT DISTINCT a.attname::text FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indexrelid
                    WHERE i.indrelid IN ('read.orders_in_motion'::regclass, 'read.sagas_in_motion'::regclass) ORDER BY 1";
    let columns: Vec<String> = sqlx::query_scalar(indexed).fetch_all(&given.pool).await.unwrap();
    assert_eq!(columns, ["order_id", "placed_at", "ref", "return_number", "saga_id", "shop"]);
    let conditions: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_index WHERE indrelid IN ('read.orders_in_motion'::regclass, 'read.sagas_in_motion'::regclass)
            AND (indpred IS NOT NULL OR indexprs IS NOT NULL)",
    )
    .fetch_one(&given.pool)
    .await
    .unwrap();
    assert_eq!(conditions, 0);
}

/// As a moment after a vacuum, under load: statistics say that there is one row, and there are thousands.
async fn as_under_load(given: &Given) {
    let many = [
        "INSERT INTO read.orders SELECT (o.new).* FROM (
            SELECT jsonb_populate_record(o, jsonb_build_object('order_id', lpad(to_hex(n), 32, '0'), 'ref', 'many-' || n)) AS new
              FROM read.orders AS o, generate_series(1, 10000) AS n) AS o",
        "INSERT INTO read.sagas SELECT (s.new).* FROM (
            SELECT jsonb_populate_record(s, jsonb_build_object('saga_id', lpad(to_hex(n), 32, '0'), 'order_id', lpad(to_hex(n), 32, '0'))) AS new
              FROM read.sagas AS s, generate_series(1, 10000) AS n) AS s",
    ];
    let none = [
        "DELETE FROM read.orders WHERE ref LIKE 'many-%'",
        "DELETE FROM read.sagas WHERE saga_id < '00000001-0000-0000-0000-000000000000'",
        "VACUUM ANALYZE read.orders_in_motion, read.sagas_in_motion",
    ];
    // What a session has counted and not told would be told after the reset.
    let counted_anew = ["SELECT pg_stat_force_next_flush()", "SELECT pg_stat_reset()"];
    let mut session = given.pool.acquire().await.unwrap();
    for statement in many.into_iter().chain(none).chain(many).chain(counted_anew) {
        session.execute(statement).await.unwrap();
    }
}

#[tokio::test]
async fn a_row_in_motion_is_found_by_its_key_though_statistics_say_that_there_is_one() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    as_under_load(&given).await;
    given.goes_well(order, 1).await;
    given.project().await;
    // What a session has counted is told at its end.
    let counted = "SELECT coalesce(sum(idx_scan), 0)::bigint,
                          (SELECT sum(idx_blks_hit + idx_blks_read)::bigint FROM pg_statio_user_tables WHERE relname LIKE '%_in_motion'),
                          (SELECT sum(heap_blks_hit + heap_blks_read)::bigint FROM pg_statio_user_tables WHERE relname LIKE '%_in_motion')
                     FROM pg_stat_user_indexes WHERE relname LIKE '%_in_motion'";
    let mut found = (0, 0, 0);
    for _ in 0..100 {
        found = sqlx::query_as::<_, (i64, i64, i64)>(counted).fetch_one(&given.pool).await.unwrap();
        if found.0 >= 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let (look_ups, of_indexes, of_tables) = found;
    let told = format!("{look_ups} look-ups, {of_indexes} blocks of indexes, {of_tables} of tables");
    assert!(look_ups >= 2 && of_indexes + of_tables < 40, "{told}");
}

#[tokio::test]
async fn rows_that_an_earlier_version_left_elsewhere_are_moved_by_whoever_takes_over() {
    let given = Given::new().await;
    busy(&given, 8).await;
    let (moving, ended) = (
        given.place("dev", placed("moving", &[("a", 1)])).await,
        given.completed("dev", placed("ended", &[("a", 1)])).await,
    );
    given.project().await;
    given.pool.execute("UPDATE read.orders SET in_motion = NOT in_motion").await.unwrap();
    given.pool.execute("UPDATE read.projections SET version = 3").await.unwrap();
    assert_eq!(lie(&given, moving).await[0], AT_REST[0]);
    given.place("dev", placed("next", &[("a", 1)])).await;
    given.project().await;
    assert_eq!(
        (lie(&given, moving).await, lie(&given, ended).await),
        (MOVING.map(Into::into), AT_REST.map(Into::into))
    );
    assert_equal_to_a_replay(&given).await;
}
