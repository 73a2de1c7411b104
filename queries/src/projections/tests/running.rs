//! How the runner goes on, stops, starts again, and what a replay says of it.
use crate::{
    given::{Given, out_of_stock, placed},
    projections::{ProjectionError, RunnerState, read_model_ahead, reset_read_model, verify_projections},
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

/// An event of any type, in the stream of an order that has been placed.
async fn record(given: &Given, order: OrderId, event_type: &'static str, payload: &str) {
    let event = NewEvent {
        event_type: event_type.into(),
        schema_version: 1,
        payload: serde_json::value::RawValue::from_string(payload.to_owned()).unwrap(),
        rank: 0,
    };
    let mut append: Append = crate::given::empty_append("dev", ActorKind::System);
    let stream = StreamId::new(order.0, "order");
    append.streams.push(StreamAppend { stream, expected: Expected::Any, events: vec![event] });
    given.store.append(append).await.unwrap();
}

async fn stands_still(given: &Given) -> (String, Position) {
    let mut running = given.run();
    let failing = |state: &RunnerState| matches!(state, RunnerState::Failing { .. });
    let state = running.handle.state.wait_for(failing).await.unwrap().clone();
    let RunnerState::Failing { error, .. } = state else { unreachable!() };
    let applied = *running.handle.applied.borrow();
    running.stop().await;
    (error, applied)
}

#[tokio::test]
async fn an_event_that_only_a_newer_program_knows_stops_the_runner_until_that_one_goes_on() {
    let mut given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    let readable = given.project().await;
    let upto = given.store.read_log(Position::ZERO, 10).await.unwrap();
    record(&given, order, "OrderTeleported", "{}").await;
    given.place("dev", placed("r-2", &[("a", 1)])).await;
    let (error, applied) = stands_still(&given).await;
    assert_eq!(applied, readable);
    let expected = format!(
        "the event at position {}, version 2 of stream order-{}, can't be read: the event type OrderTeleported in version 1 is \
         not known here: a newer version of Waybill wrote it, and only that one can read on",
        readable.0 + 1,
        order.0.simple()
    );
    assert_eq!(error, expected);
    assert_eq!(stands_still(&given).await, (expected, readable), "trying again skips nothing");

    // The same log as a program sees it that knows the event: to it, it is a cancel.
    given.store = std::sync::Arc::default();
    for recorded in upto {
        record(&given, OrderId(recorded.stream.id), "OrderPlaced", recorded.payload.get()).await;
    }
    record(&given, order, "CancelRequested", r#"{"note_id":null}"#).await;
    given.place("dev", placed("r-2", &[("a", 1)])).await;
    assert_eq!(given.project().await, Position(readable.0 + 2));
    let told: Vec<(i64, String)> = sqlx::query_as("SELECT position, type FROM read.timeline ORDER BY position")
        .fetch_all(&given.pool)
        .await
        .unwrap();
    let told: Vec<_> = told.iter().map(|(position, of)| (*position, of.as_str())).collect();
    assert_eq!(
        told,
        [(1, "OrderPlaced"), (2, "CancelRequested"), (3, "OrderPlaced")],
        "nothing skipped, nothing twice"
    );
}

#[tokio::test]
async fn an_unknown_version_of_a_known_type_stops_the_runner_too() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    let readable = given.project().await;
    let mut append: Append = crate::given::empty_append("dev", ActorKind::System);
    let event = NewEvent {
        event_type: "CancelRequested".into(),
        schema_version: 99,
        payload: serde_json::value::to_raw_value(&()).unwrap(),
        rank: 0,
    };
    let stream = StreamId::new(order.0, "order");
    append.streams.push(StreamAppend { stream, expected: Expected::Any, events: vec![event] });
    given.store.append(append).await.unwrap();
    let (error, applied) = stands_still(&given).await;
    assert!(error.contains("CancelRequested in version 99"), "{error}");
    assert_eq!(applied, readable);
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
