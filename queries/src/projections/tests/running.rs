//! How the runner goes on, stops, starts again, and what a replay says of it.
use crate::{
    given::{Given, out_of_stock, placed},
    projections::{RunnerState, verify_projections},
};
use domain::{OrderId, fulfillment::OrderStatus};
use eventstore::{ActorKind, Append, EventStore, Expected, NewEvent, Position, StreamAppend, StreamId};
use std::time::Duration;

/// Orders of all fates, some still under way.
async fn busy(given: &Given, orders: usize) -> Vec<OrderId> {
    let mut ids = vec![];
    for n in 0..orders {
        let order_ref = format!("r-{n}-{}", given.head().await);
        let order = given.place("dev", placed(&order_ref, &[("a", 1 + n as i64 % 3), ("b", 1)])).await;
        match n % 4 {
            0 => given.reply(order, out_of_stock("a")).await,
            n => given.goes_well(order, 2 * n).await,
        }
        ids.push(order);
    }
    ids
}

async fn assert_equal_to_a_replay(given: &Given) {
    let compared = verify_projections(given.store.clone(), &given.pool.connect_options()).await.unwrap();
    assert_eq!(compared.differences, vec![]);
    assert_eq!(compared.position, given.head().await);
    assert!(compared.rows > 0);
}

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
async fn an_event_that_can_t_be_read_stops_the_runner_where_it_is_and_says_so() {
    let given = Given::new().await;
    given.completed("dev", placed("r-1", &[("a", 1)])).await;
    let readable = given.project().await;
    let unknown = NewEvent {
        event_type: "OrderTeleported".into(),
        schema_version: 1,
        payload: serde_json::value::to_raw_value(&()).unwrap(),
        rank: 0,
    };
    let mut append: Append = crate::given::empty_append("dev", ActorKind::System);
    append.streams.push(StreamAppend {
        stream: StreamId::new(crate::given::order_id().0, "order"),
        expected: Expected::Any,
        events: vec![unknown],
    });
    given.store.append(append).await.unwrap();
    given.completed("dev", placed("r-2", &[("a", 1)])).await;

    let mut running = given.run();
    let failing = |state: &RunnerState| matches!(state, RunnerState::Failing { .. });
    let state = running.handle.state.wait_for(failing).await.unwrap().clone();
    let RunnerState::Failing { error, .. } = state else { unreachable!() };
    assert!(error.contains("OrderTeleported") && error.contains(&format!("position {}", readable.0 + 1)), "{error}");
    assert_eq!(*running.handle.applied.borrow(), readable);
    running.stop().await;
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
