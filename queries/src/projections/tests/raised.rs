//! Rows of another version of the projections.
use super::{assert_equal_to_a_replay, busy};
use crate::{
    given::{Given, placed},
    projections::{ProjectionError, RunnerState, VERSION, verify_projections},
};
use domain::{OrderId, returns, saga::Reply};
use eventstore::StreamId;
use sqlx::{AssertSqlSafe, Executor};
use std::time::Duration;

/// As the release before leaves them: it knows nothing of the new columns, and has written an end over one of ours.
async fn age(given: &Given, ended: OrderId) {
    let sql = format!(
        "UPDATE read.projections SET version = 1;
         UPDATE read.sagas SET expected_by = NULL, direction = NULL, waiting_since = '2001-01-01Z'
          WHERE state NOT IN ('COMPLETED', 'COMPENSATED');
         UPDATE read.sagas SET expected_by = now(), direction = 'forward' WHERE order_id = '{}'",
        ended.0
    );
    given.pool.execute(AssertSqlSafe(sql)).await.unwrap();
}

async fn version(given: &Given) -> i32 {
    sqlx::query_scalar("SELECT version FROM read.projections").fetch_one(&given.pool).await.unwrap()
}

#[tokio::test]
async fn rows_of_an_earlier_version_are_made_anew_by_whoever_takes_over() {
    let given = Given::new().await;
    busy(&given, 12).await;
    let paused = given.place("dev", placed("paused", &[("a", 1)])).await;
    given.goes_well(paused, 1).await;
    given.reply(paused, Reply::Exhausted).await;
    let ended = given.completed("dev", placed("ended", &[("a", 1)])).await;
    given.project().await;
    age(&given, ended).await;
    let verified = verify_projections(given.store.clone(), &given.pool.connect_options()).await;
    assert!(matches!(verified, Err(ProjectionError::OtherVersion { .. })), "they are not ours yet: {verified:?}");

    // Made anew at once; theirs until something happened that we took in, since until then the other may go on as well.
    let mut running = given.run();
    running.reaches(given.head().await).await;
    let unlike = "SELECT count(*) FROM read.sagas WHERE waiting_since = '2001-01-01Z'";
    while sqlx::query_scalar::<_, i64>(unlike).fetch_one(&given.pool).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(version(&given).await, 1);
    given.place("dev", placed("next", &[("a", 1)])).await;
    running.reaches(given.head().await).await;
    running.stop().await;
    assert_eq!(version(&given).await, VERSION);
    assert_equal_to_a_replay(&given).await;
}

/// As a build of the second version leaves them, which told returns in a timeline and made no rows of them.
const WITHOUT_RETURNS: &str = "UPDATE read.projections SET version = 2;
    INSERT INTO read.timeline SELECT order_id, number, now(), 'ReturnRequested', '', '', '' FROM read.returns;
    DELETE FROM read.sagas WHERE return_number > 0; TRUNCATE read.returns";

#[tokio::test]
async fn returns_without_rows_get_theirs_from_whoever_takes_over_and_again_after_the_next_takeover() {
    let given = Given::new().await;
    busy(&given, 4).await;
    let order = given.completed("dev", placed("r-1", &[("a", 2)])).await;
    let one = || Some(vec![returns::ReturnLine { line_id: "1".into(), quantity: 1 }]);
    for _ in 0..2 {
        given.returning(order, returns::Command::Request { lines: one(), note_id: None }).await;
    }
    given.returning(order, returns::Command::Approve { number: 2, note_id: None }).await;
    given.project().await;
    given.pool.execute(WITHOUT_RETURNS).await.unwrap();
    for _ in 0..2 {
        // Nothing happens meanwhile, so the next one finds the same version and looks again.
        let mut running = given.run();
        running.reaches(given.head().await).await;
        let rows = "SELECT count(*) FROM read.returns AS r JOIN read.sagas AS s ON s.saga_id = r.order_id AND s.return_number = r.number";
        while sqlx::query_scalar::<_, i64>(rows).fetch_one(&given.pool).await.unwrap() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running.stop().await;
        assert_eq!(version(&given).await, 2);
    }
    // They go on from there.
    assert!(given.return_goes_on(order, 2).await);
    given.project().await;
    assert_eq!(version(&given).await, VERSION);
    assert_equal_to_a_replay(&given).await;
}

/// What the last release sends to write a saga's row, as `scripts/cut-release` has recorded it.
fn released(begins: &str) -> String {
    let all: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../../migrations/released/queries.json")).unwrap();
    let mut queries = all.iter().map(|query| query["query"].as_str().unwrap());
    queries.find(|query| query.trim_start().starts_with(begins)).unwrap_or_else(|| panic!("{begins}")).to_owned()
}

#[tokio::test]
async fn rows_that_the_last_release_writes_are_those_of_fulfillments_and_are_carried_on() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    let other = given.completed("dev", placed("r-2", &[("a", 1)])).await;
    given.returning(other, returns::Command::Request { lines: None, note_id: None }).await;
    given.project().await;
    sqlx::query("DELETE FROM read.sagas WHERE order_id = $1").bind(order.0).execute(&given.pool).await.unwrap();

    let mut conn = given.pool.acquire().await.unwrap();
    conn.execute("SET search_path = read").await.unwrap();
    let none: Vec<Option<String>> = vec![None];
    let since = vec![Some(chrono::Utc::now())];
    sqlx::query(AssertSqlSafe(released("INSERT INTO sagas")))
        .bind(vec![order.saga().0])
        .bind(vec![order.0])
        .bind(vec!["dev"])
        .bind(vec!["RUNNING"])
        .bind(vec!["reserve_stock"])
        .bind(vec![1])
        .bind(&none)
        .bind(vec![Some("inventory")])
        .bind(&since)
        .bind(vec!["reserve_stock"])
        .execute(&mut *conn)
        .await
        .unwrap();
    let updated = sqlx::query(AssertSqlSafe(released("UPDATE sagas")))
        .bind(vec![order.saga().0])
        .bind(vec!["WAITING"])
        .bind(vec!["authorize_payment"])
        .bind(vec![1])
        .bind(&none)
        .bind(vec![Some("payment")])
        .bind(&since)
        .bind(vec!["authorize_payment"])
        .execute(&mut *conn)
        .await
        .unwrap();
    conn.execute("RESET search_path").await.unwrap();
    drop(conn);
    let number: i16 = sqlx::query_scalar("SELECT return_number FROM read.sagas WHERE order_id = $1")
        .bind(order.0)
        .fetch_one(&given.pool)
        .await
        .unwrap();
    assert_eq!((updated.rows_affected(), number), (1, 0));
    given.pool.execute("UPDATE read.projections SET version = 1").await.unwrap();
    given.goes_well(order, 1).await;
    assert!(!given.return_goes_on(other, 1).await, "it waits for support");
    given.project().await;
    assert_equal_to_a_replay(&given).await;
}

#[tokio::test]
async fn returns_that_a_release_without_them_left_behind_are_in_nobody_s_way() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 1)])).await;
    given.returning(order, returns::Command::Request { lines: None, note_id: None }).await;
    given.project().await;
    // It knows no more tables than these to empty.
    let emptied = "DELETE FROM read.projections;
        TRUNCATE read.orders, read.order_skus, read.timeline, read.fulfillments, read.sagas, read.stock, read.parked";
    given.pool.execute(emptied).await.unwrap();
    given.project().await;
    assert_equal_to_a_replay(&given).await;
    let (rows, parked): (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM read.returns), (SELECT count(*) FROM read.parked)")
            .fetch_one(&given.pool)
            .await
            .unwrap();
    assert_eq!((rows, parked), (1, 0));
}

#[tokio::test]
async fn what_is_parked_stays_as_before_the_event_that_parked_it_when_rows_are_made_anew() {
    let given = Given::new().await;
    given.receive("dev", "a", 10).await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.goes_well(order, 1).await;
    given.record(StreamId::new(order.0, "order"), "OrderTeleported", 1, "{}").await;
    given.goes_well(order, 10).await;
    let ended = given.completed("dev", placed("r-2", &[("a", 1)])).await;
    given.project().await;
    age(&given, ended).await;
    given.place("dev", placed("next", &[("a", 1)])).await;
    given.project().await;
    let compared = verify_projections(given.store.clone(), &given.pool.connect_options()).await.unwrap();
    assert_eq!((compared.differences, compared.parked), (vec![], 1));
}

#[tokio::test]
async fn rows_of_a_later_version_are_left_alone_and_followed() {
    let given = Given::new().await;
    given.place("dev", placed("r-1", &[("a", 1)])).await;
    let before = given.project().await;
    given.pool.execute(AssertSqlSafe(format!("UPDATE read.projections SET version = {}", VERSION + 1))).await.unwrap();
    given.place("dev", placed("r-2", &[("a", 1)])).await;
    let mut running = given.run();
    let failing = running.handle.state.wait_for(|state| matches!(state, RunnerState::Failing { .. }));
    tokio::time::timeout(Duration::from_secs(20), failing).await.expect("in time").expect("it runs");
    let position: i64 =
        sqlx::query_scalar("SELECT position FROM read.projections").fetch_one(&given.pool).await.unwrap();
    assert_eq!((version(&given).await, position), (VERSION + 1, before.0));
    // The newer one goes on.
    let head = given.head().await;
    sqlx::query("UPDATE read.projections SET position = $1").bind(head.0).execute(&given.pool).await.unwrap();
    running.reaches(head).await;
    assert!(matches!(*running.handle.state.borrow(), RunnerState::Failing { .. }), "it says that it is the older one");
    running.stop().await;
}
