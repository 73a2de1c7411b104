//! How the runner goes on, stops, starts again, and what a replay says of it.
use crate::{
    given::{Given, placed},
    projections::{
        ProjectionError, RunnerState, read_model_ahead, reset_read_model,
        tests::{assert_equal_to_a_replay, busy},
        verify_projections,
    },
};
use domain::fulfillment::OrderStatus;
use eventstore::Position;
use std::time::Duration;

#[tokio::test]
async fn rows_equal_a_replay_however_the_log_was_cut_into_batches() {
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    let mut running = given.run();
    for _ in 0..5 {
        let orders = busy(&given, 8).await;
        running.reaches(given.head().await).await;
        // Orders go on that the runner has seen before, in batches of their own.
        for order in orders {
            given.goes_well(order, 1).await;
        }
    }
    running.reaches(given.head().await).await;
    assert_equal_to_a_replay(&given).await;
    running.stop().await;
}

#[tokio::test]
async fn a_runner_that_starts_again_reads_orders_under_way_from_the_store() {
    let given = Given::new().await;
    let orders = busy(&given, 12).await;
    given.project().await;
    for order in &orders {
        given.goes_well(*order, 1).await;
    }
    given.project().await;
    for order in orders {
        given.goes_well(order, 10).await;
    }
    given.project().await;
    assert_equal_to_a_replay(&given).await;
}

#[tokio::test]
async fn a_runner_killed_at_any_moment_loses_and_doubles_nothing() {
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    for round in 0..6 {
        let running = given.run();
        let orders = busy(&given, 6).await;
        tokio::time::sleep(Duration::from_millis(3 * round)).await;
        running.kill().await;
        for order in orders {
            given.goes_well(order, 1).await;
        }
    }
    given.project().await;
    assert_equal_to_a_replay(&given).await;
}

#[tokio::test]
async fn two_runners_at_once_apply_nothing_twice() {
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    let (mut one, mut other) = (given.run(), given.run());
    for _ in 0..4 {
        busy(&given, 6).await;
    }
    let head = given.head().await;
    one.reaches(head).await;
    other.reaches(head).await;
    one.stop().await;
    other.stop().await;
    assert_equal_to_a_replay(&given).await;
}

#[tokio::test]
async fn the_observer_hears_how_far_the_rows_are_before_anything_happens() {
    let given = Given::new().await;
    given.completed("dev", placed("r-1", &[("a", 1)])).await;
    let head = given.project().await;
    let mut running = given.run();
    running.reaches(head).await;
    let told = running.told.clone();
    running.stop().await;
    assert_eq!(told.0.lock().unwrap()[..], [(head, vec![])]);
}

#[tokio::test]
async fn the_observer_hears_of_each_order_that_ended_once_its_row_says_so() {
    let given = Given::new().await;
    let mut running = given.run();
    let order = given.completed("dev", placed("r-1", &[("a", 1)])).await;
    running.reaches(given.head().await).await;
    let told = running.told.0.lock().unwrap().clone();
    let ended: Vec<_> = told.iter().flat_map(|(_, orders)| orders).filter(|changed| changed.ended).collect();
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].order_id, ended[0].status), (order, OrderStatus::Completed));
    assert!(told.is_sorted_by_key(|(position, _)| *position));
    running.stop().await;
}

#[tokio::test]
async fn a_row_that_was_tampered_with_is_found_by_a_replay() {
    let given = Given::new().await;
    given.receive("dev", "a", 10).await;
    given.completed("dev", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    sqlx::query("UPDATE read.stock SET on_hand = on_hand + 1").execute(&given.pool).await.unwrap();
    let compared = verify_projections(given.store.clone(), &given.pool.connect_options()).await.unwrap();
    let found: Vec<_> = compared.differences.iter().map(|d| (d.table, d.missing)).collect();
    assert_eq!(found, [("stock", true), ("stock", false)]);
}

#[tokio::test]
async fn a_read_model_ahead_of_its_log_stands_still() {
    let mut given = Given::new().await;
    given.completed("dev", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    // The log is restored to an older state.
    given.store = std::sync::Arc::default();
    let mut running = given.run();
    let failing = |state: &RunnerState| matches!(state, RunnerState::Failing { .. });
    running.handle.state.wait_for(failing).await.unwrap();
    assert_eq!(*running.handle.applied.borrow(), Position::ZERO);
    running.stop().await;
}

#[tokio::test]
async fn a_read_model_of_lost_events_stands_still_until_it_is_made_again() {
    let mut given = Given::new().await;
    given.receive("dev", "a", 100).await;
    given.completed("dev", placed("r-1", &[("a", 1)])).await;
    let backup = given.store.backup();
    given.completed("dev", placed("lost", &[("a", 1)])).await;
    given.project().await;
    // Restored, and gone further than the read model: by positions alone it would not be noticed.
    let life = backup.begin_incarnation(Position(i64::MAX), eventstore::Incarnation(1), "restored");
    given.store = std::sync::Arc::new(backup);
    for n in 0..4 {
        given.completed("dev", placed(&format!("other-{n}"), &[("a", 1)])).await;
    }
    let mut running = given.run();
    let failing = |state: &RunnerState| matches!(state, RunnerState::Failing { .. });
    let state = running.handle.state.wait_for(failing).await.unwrap().clone();
    let RunnerState::Failing { error, .. } = state else { unreachable!() };
    assert!(error.contains("incarnation 1") && error.contains("waybill recover"), "{error}");
    let database = given.pool.connect_options();
    let ahead = read_model_ahead(&*given.store, &database).await.unwrap();
    assert!(
        matches!(ahead, Some(ProjectionError::Abandoned { checkpoint, .. }) if checkpoint > life.after),
        "{ahead:?}"
    );

    reset_read_model(&database).await.unwrap();
    running.reaches(given.head().await).await;
    assert!(read_model_ahead(&*given.store, &database).await.unwrap().is_none());
    assert_equal_to_a_replay(&given).await;
    // Also under a runner at work.
    reset_read_model(&database).await.unwrap();
    given.completed("dev", placed("last", &[("a", 1)])).await;
    running.reaches(given.head().await).await;
    let head = given.head().await;
    for _ in 0..500 {
        if verify_projections(given.store.clone(), &database).await.unwrap().position == head {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_equal_to_a_replay(&given).await;
    running.stop().await;
}
