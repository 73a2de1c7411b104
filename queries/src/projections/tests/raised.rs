//! Rows of another version of the projections.
use super::{assert_equal_to_a_replay, busy};
use crate::{
    given::{Given, placed},
    projections::{ProjectionError, RunnerState, VERSION, verify_projections},
};
use domain::{OrderId, saga::Reply};
use eventstore::StreamId;
use sqlx::{AssertSqlSafe, Executor};
use std::time::Duration;

/// As the release before leaves them: it knows nothing of the new columns, and has written an end over one of ours.
async fn age(given: &Given, ended: OrderId) {
    let sql = format!(
        "UPDATE read.projections SET version = {};
         UPDATE read.sagas SET expected_by = NULL, direction = NULL, waiting_since = '2001-01-01Z'
          WHERE state NOT IN ('COMPLETED', 'COMPENSATED');
         UPDATE read.sagas SET expected_by = now(), direction = 'forward' WHERE order_id = '{}'",
        VERSION - 1,
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
    assert_eq!(version(&given).await, VERSION - 1);
    given.place("dev", placed("next", &[("a", 1)])).await;
    running.reaches(given.head().await).await;
    running.stop().await;
    assert_eq!(version(&given).await, VERSION);
    assert_equal_to_a_replay(&given).await;
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
