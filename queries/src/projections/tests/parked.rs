//! An event that can't be taken in parks its key; all others go on.
use crate::{
    given::{Given, Running, placed},
    projections::{
        MAX_PARKED, Outcome, ParkedKeys, RunnerState, Verb, reset_read_model,
        tests::{busy, taught::Taught},
        verify_projections,
    },
};
use domain::{OrderId, order::CancelRequested, stock::StockReceived};
use eventstore::{ActorKind, EventStore, Position, StreamId};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn stream(order: OrderId) -> StreamId {
    StreamId::new(order.0, "order")
}

/// Something that only a newer program knows happens to the order.
pub(super) async fn teleport(given: &Given, order: OrderId) -> Position {
    given.record(stream(order), "OrderTeleported", 1, "{}").await
}

pub(super) async fn status(given: &Given, order: OrderId) -> Option<String> {
    let found = sqlx::query_scalar("SELECT status FROM read.orders WHERE order_id = $1").bind(order.0);
    found.fetch_optional(&given.pool).await.unwrap()
}

/// Where the keys are parked, and why.
pub(super) async fn parked(given: &Given) -> Vec<(Uuid, i64, String)> {
    let found = sqlx::query_as("SELECT key, position, cause FROM read.parked ORDER BY position");
    found.fetch_all(&given.pool).await.unwrap()
}

pub(super) async fn shelf(given: &Given, sku: &str) -> Option<(i64, i64)> {
    let found = sqlx::query_as("SELECT on_hand, reserved FROM read.stock WHERE sku = $1").bind(sku);
    found.fetch_optional(&given.pool).await.unwrap()
}

/// Of a store as a program sees it.
pub(super) async fn assert_equal(given: &Given, store: Arc<dyn EventStore>, parked: usize) {
    let compared = verify_projections(store, &given.pool.connect_options()).await.unwrap();
    assert_eq!(compared.differences, vec![]);
    assert_eq!((compared.position, compared.parked), (given.head().await, parked));
    assert!(compared.rows > 0);
}

/// Asks as an operator does, and waits for what comes of it.
pub(super) async fn ask(given: &Given, key: Uuid, verb: Verb) -> Outcome {
    let keys = ParkedKeys::new(&given.pool.connect_options());
    // A runner that has just started may have released it by itself.
    let Some(found) = keys.get(key).await.unwrap() else { return Outcome::Gone };
    let request =
        keys.ask(&found.event, verb, "as agreed with the shop", "ada").await.unwrap().expect("nothing else is asked");
    let outcome = async {
        loop {
            if let Some(outcome) = keys.outcome(request).await.unwrap() {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, outcome).await.expect("the runner does it")
}

pub(super) async fn has_parked(running: &mut Running, count: usize) {
    let parked = running.handle.parked.wait_for(|parked| *parked == count);
    tokio::time::timeout(PATIENCE, parked).await.expect("in time").expect("it runs");
}

#[tokio::test]
async fn an_event_that_can_t_be_read_parks_its_order_and_all_others_go_on() {
    let given = Given::new().await;
    given.receive("dev", "a", 100).await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    let mut running = given.run();
    running.reaches(given.head().await).await;
    let at = teleport(&given, order).await;
    given.goes_well(order_beside(&given, "r-2").await, 10).await;
    given.cancel(order).await;
    let others = busy(&given, 6).await;
    running.reaches(given.head().await).await;

    let [(key, position, cause)] = parked(&given).await.try_into().unwrap();
    assert_eq!((key, position), (order.0, at.0));
    assert!(cause.starts_with("the event type OrderTeleported in version 1 is not known here"), "{cause}");
    assert_eq!(*running.handle.parked.borrow(), 1);
    assert_eq!(*running.handle.state.borrow(), RunnerState::Running);
    assert_eq!(status(&given, order).await.as_deref(), Some("PLACED"), "as it was before");
    for other in others {
        assert!(status(&given, other).await.is_some());
    }
    assert_equal(&given, given.store.clone(), 1).await;
    running.stop().await;
}

async fn order_beside(given: &Given, order_ref: &str) -> OrderId {
    given.place("dev", placed(order_ref, &[("a", 1)])).await
}

#[tokio::test]
async fn a_version_that_is_not_known_and_an_order_that_was_never_placed_park_too() {
    let given = Given::new().await;
    let order = order_beside(&given, "r-1").await;
    let unplaced = OrderId(Uuid::now_v7());
    given.record(stream(order), "CancelRequested", 99, "null").await;
    given.append("dev", unplaced.0, ActorKind::System, vec![CancelRequested { note_id: None }.into()]).await;
    let other = order_beside(&given, "r-2").await;
    given.project().await;
    let found: Vec<_> = parked(&given).await.into_iter().map(|(key, position, _)| (key, position)).collect();
    assert_eq!(found, [(order.0, 2), (unplaced.0, 3)]);
    assert_eq!(status(&given, other).await.as_deref(), Some("PLACED"));
    assert_equal(&given, given.store.clone(), 2).await;
}

#[tokio::test]
async fn a_row_that_the_database_refuses_parks_its_order_alone() {
    let given = Given::new().await;
    let first = order_beside(&given, "r-1").await;
    // No shop has two orders of one reference; this log has.
    let twin = order_beside(&given, "r-1").await;
    let other = order_beside(&given, "r-2").await;
    given.goes_well(twin, 2).await;
    given.project().await;
    given.goes_well(first, 10).await;
    given.project().await;
    let [(key, position, cause)] = parked(&given).await.try_into().unwrap();
    assert_eq!((key, position), (twin.0, 2));
    assert!(cause.contains("orders_in_motion_ref"), "{cause}");
    assert_eq!(status(&given, first).await.as_deref(), Some("COMPLETED"));
    assert_eq!(status(&given, other).await.as_deref(), Some("PLACED"));
    assert_equal(&given, given.store.clone(), 1).await;
}

#[tokio::test]
async fn a_row_that_the_database_refuses_where_it_comes_to_rest_parks_its_order_at_that_event() {
    let given = Given::new().await;
    let first = order_beside(&given, "r-1").await;
    given.goes_well(first, 10).await;
    given.project().await;
    // As above, but the other has come to rest before: they don't meet until this one does.
    let twin = order_beside(&given, "r-1").await;
    given.goes_well(twin, 1).await;
    let shown = given.project().await;
    assert_eq!((parked(&given).await, status(&given, twin).await.as_deref()), (vec![], Some("ALLOCATED")));
    given.goes_well(twin, 10).await;
    given.project().await;
    let [(key, position, cause)] = parked(&given).await.try_into().unwrap();
    assert!(key == twin.0 && position > shown.0, "its rows before that are as they were: {position}");
    assert_eq!(status(&given, twin).await.as_deref(), Some("SHIPPED"));
    assert!(cause.contains("orders_ref"), "{cause}");
    assert_eq!(status(&given, first).await.as_deref(), Some("COMPLETED"));
    assert_equal(&given, given.store.clone(), 1).await;
}

#[tokio::test]
async fn a_shelf_that_can_t_be_counted_on_is_parked_and_orders_for_it_go_on() {
    let given = Given::new().await;
    let shelf_id = Uuid::now_v7();
    let receive = async |quantity| {
        let received = StockReceived {
            location: "main".into(),
            sku: "a".into(),
            lot: None,
            quantity,
            receipt_ref: format!("r-{quantity}"),
        };
        given.append("dev", shelf_id, ActorKind::Warehouse, vec![received.into()]).await;
    };
    receive(10).await;
    given.record(StreamId::new(shelf_id, "stock"), "StockBlessed", 1, "{}").await;
    receive(5).await;
    given.goes_well(order_beside(&given, "r-1").await, 10).await;
    let mut running = given.run();
    running.reaches(given.head().await).await;
    assert_eq!(shelf(&given, "a").await, Some((9, 0)), "less what left, and without what came after");
    assert_equal(&given, given.store.clone(), 1).await;
    let listed = ParkedKeys::new(&given.pool.connect_options()).list().await.unwrap();
    assert_eq!((listed.len(), listed[0].event.stream.kind.as_ref()), (1, "stock"));

    assert_eq!(ask(&given, shelf_id, Verb::Skip).await, Outcome::Released);
    assert_eq!(shelf(&given, "a").await, Some((14, 0)));
    assert_equal(&given, given.store.clone(), 0).await;
    running.stop().await;
}

#[tokio::test]
async fn so_many_parked_keys_are_the_program_s_fault_and_stop_it() {
    let given = Given::new().await;
    for _ in 0..=MAX_PARKED {
        given.record(StreamId::new(Uuid::now_v7(), "stock"), "StockBlessed", 1, "{}").await;
    }
    let mut running = given.run();
    let failing = running.handle.state.wait_for(|state| matches!(state, RunnerState::Failing { .. }));
    let state = tokio::time::timeout(PATIENCE, failing).await.expect("in time").unwrap().clone();
    let RunnerState::Failing { error, .. } = state else { unreachable!() };
    assert!(error.contains("keys are parked") && error.contains("StockBlessed"), "{error}");
    let applied = running.handle.applied.borrow().0;
    assert_eq!(parked(&given).await.len() as i64, applied, "no more than what is committed");
    assert!(applied as usize <= MAX_PARKED && applied > 0);
    running.stop().await;
}

#[tokio::test]
async fn what_is_parked_and_skipped_outlasts_a_kill_and_what_was_skipped_a_rebuild() {
    let given = Given::new().await;
    given.receive("dev", "a", 100).await;
    let (kept, left_out) = (order_beside(&given, "r-1").await, order_beside(&given, "r-2").await);
    teleport(&given, kept).await;
    let skipped_at = teleport(&given, left_out).await;
    given.goes_well(left_out, 10).await;
    for round in 0..4 {
        let running = given.run();
        busy(&given, 4).await;
        tokio::time::sleep(Duration::from_millis(10 * round)).await;
        running.kill().await;
    }
    let mut running = given.run();
    running.reaches(given.head().await).await;
    assert_eq!(ask(&given, left_out.0, Verb::Skip).await, Outcome::Released);
    running.kill().await;
    let rows = status(&given, left_out).await;
    assert_eq!(rows.as_deref(), Some("COMPLETED"));

    reset_read_model(&given.pool.connect_options()).await.unwrap();
    given.project().await;
    assert_eq!(status(&given, left_out).await, rows, "it is left out again");
    assert_eq!(parked(&given).await.iter().map(|(key, ..)| *key).collect::<Vec<_>>(), [kept.0]);
    assert_equal(&given, given.store.clone(), 1).await;
    let record: (i64, String, String, String) =
        sqlx::query_as("SELECT position, event_type, reason, skipped_by FROM skipped_events")
            .fetch_one(&given.pool)
            .await
            .unwrap();
    let expected = (skipped_at.0, "OrderTeleported".to_owned(), "as agreed with the shop".to_owned(), "ada".to_owned());
    assert_eq!(record, expected);
}

#[tokio::test]
async fn an_event_that_was_skipped_in_what_is_lost_skips_no_event_of_the_life_after() {
    let mut given = Given::new().await;
    let backup = given.store.backup();
    let lost = order_beside(&given, "lost").await;
    teleport(&given, lost).await;
    let mut running = given.run();
    running.reaches(given.head().await).await;
    assert_eq!(ask(&given, lost.0, Verb::Skip).await, Outcome::Released);
    running.stop().await;
    // Restored: other events take the same positions.
    backup.begin_incarnation(Position(i64::MAX), eventstore::Incarnation(1), "restored");
    given.store = Arc::new(backup);
    let order = order_beside(&given, "r-1").await;
    given.cancel(order).await;
    reset_read_model(&given.pool.connect_options()).await.unwrap();
    given.project().await;
    assert_eq!(status(&given, order).await.as_deref(), Some("CANCELLING"));
    assert_eq!(status(&given, lost).await, None);
    assert_equal(&given, given.store.clone(), 0).await;
}

#[tokio::test]
async fn a_newer_program_s_replay_honours_what_is_parked_and_an_older_one_says_what_it_can_t_read() {
    let given = Given::new().await;
    let order = order_beside(&given, "r-1").await;
    let at = teleport(&given, order).await;
    given.project().await;
    assert_equal(&given, Taught::new(&given.store, true), 1).await;

    // And the other way round: the rows were written by a program that knows the event.
    let mut running = given.run_on(Taught::new(&given.store, true), &given.pool.connect_options());
    running.reaches(given.head().await).await;
    while !parked(&given).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.stop().await;
    assert_eq!(status(&given, order).await.as_deref(), Some("CANCELLING"));
    let compared = verify_projections(given.store.clone(), &given.pool.connect_options()).await.unwrap();
    let told: Vec<_> = compared.differences.iter().filter(|difference| difference.table == "parked").collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].row.starts_with(&format!("(order-{},{at},", order.0.simple())), "{told:?}");
}
