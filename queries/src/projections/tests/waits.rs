//! Whom a saga waits for, since when, and until when that is as expected: true after every event.
use crate::{
    given::{Given, free_of_charge, placed},
    projections::{batch::Decoded, history::History, sagas::SagaRow},
};
use chrono::TimeDelta;
use domain::{
    OrderId,
    fulfillment::{RetryRequested, SagaStarted},
    location::LocationMode,
    returns,
    saga::{Reply, Which},
    shipment::Command,
};
use eventstore::{ActorKind, EventStore, Incarnation, Position};
use std::time::Duration;

/// The row of an order's fulfillment after each of its events, with the event's type.
async fn rows(given: &Given, order: OrderId) -> Vec<(String, SagaRow)> {
    rows_of(given, order, Which::Fulfillment).await
}

async fn rows_of(given: &Given, order: OrderId, which: Which) -> Vec<(String, SagaRow)> {
    let mut history = History::new(order.0);
    let mut rows = Vec::new();
    for recorded in given.store.read_streams(order.0).await.unwrap() {
        let Decoded { recorded, events } = Decoded::decode(recorded).unwrap();
        history.evolve(&recorded, &events);
        rows.extend(SagaRow::of(&history, which).map(|row| (recorded.event_type.to_string(), row)));
    }
    rows
}

/// The row after the last event of this type.
async fn after(given: &Given, order: OrderId, event_type: &str) -> SagaRow {
    let rows = rows(given, order).await;
    let types: Vec<_> = rows.iter().map(|(event_type, _)| event_type.clone()).collect();
    let found = rows.into_iter().rev().find(|(found, _)| found == event_type);
    found.unwrap_or_else(|| panic!("{event_type} is not among {types:?}")).1
}

fn seconds(row: &SagaRow) -> Option<i64> {
    Some((row.expected_by? - row.waiting_since?).num_seconds())
}

/// So that what is recorded next is later.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

#[tokio::test]
async fn a_wait_is_expected_to_end_as_its_step_says_and_retries_do_not_prolong_it() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.goes_well(order, 1).await;
    let before = after(&given, order, "StockReserved").await;
    assert_eq!((before.state, before.step, before.waiting_on), ("RUNNING", "authorize_payment", Some("payment")));
    assert_eq!((seconds(&before), before.direction), (Some(30), Some("forward")));
    a_moment().await;
    given.reply(order, Reply::Unanswered { cause: "unavailable".to_owned() }).await;
    let retrying = after(&given, order, "StepRetrying").await;
    assert_eq!((retrying.state, retrying.cause.as_deref()), ("WAITING", Some("unavailable")));
    assert_eq!((retrying.waiting_since, retrying.expected_by), (before.waiting_since, before.expected_by));
}

#[tokio::test]
async fn staff_have_a_day() {
    let mut given = Given::new().await;
    given.mode = LocationMode::Manual;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.goes_well(order, 10).await;
    let row = after(&given, order, "FulfillmentReleased").await;
    assert_eq!((row.state, row.step, row.waiting_on), ("WAITING", "ship", Some("warehouse")));
    assert_eq!(seconds(&row), Some(24 * 3600));
    assert_eq!(row.remaining_steps, "ship,capture_payment,complete");
}

#[tokio::test]
async fn an_incident_waits_for_an_operator_from_its_pause_on_and_nothing_is_expected_of_it() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.goes_well(order, 1).await;
    let tried = after(&given, order, "StockReserved").await;
    a_moment().await;
    given.reply(order, Reply::Exhausted).await;
    let paused = after(&given, order, "SagaPaused").await;
    assert_eq!((paused.state, paused.waiting_on, paused.expected_by), ("PAUSED", Some("operator"), None));
    assert!(paused.waiting_since > tried.waiting_since);
    a_moment().await;
    given.append("dev", order.0, ActorKind::Operator, vec![RetryRequested { note_id: None }.into()]).await;
    let again = after(&given, order, "RetryRequested").await;
    assert_eq!((again.state, again.waiting_on, again.cause.as_deref()), ("RUNNING", Some("payment"), None));
    assert!(again.waiting_since > paused.waiting_since, "a new wait, though it is for whom it was for before");
    assert_eq!(seconds(&again), Some(30));
}

#[tokio::test]
async fn an_undo_is_a_wait_of_its_own_though_for_the_same_one_at_the_same_step() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.goes_well(order, 2).await;
    let shipping = after(&given, order, "FulfillmentReleased").await;
    assert_eq!((shipping.step, shipping.waiting_on, shipping.direction), ("ship", Some("shipping"), Some("forward")));
    a_moment().await;
    given.reply(order, Reply::Refused { code: "no_such_address".to_owned() }).await;
    let undoing = after(&given, order, "CompensationStarted").await;
    assert_eq!((undoing.state, undoing.step, undoing.waiting_on), ("COMPENSATING", "ship", Some("shipping")));
    assert_eq!(undoing.direction, Some("compensate"));
    assert!(undoing.waiting_since > shipping.waiting_since);
    assert_eq!(undoing.remaining_steps, "ship,release_to_warehouse,authorize_payment,reserve_stock");
}

#[tokio::test]
async fn where_a_life_of_the_log_is_lost_it_waits_for_whoever_may_have_acted_there() {
    for (lives, step, on) in [(1, "authorize_payment", "payment"), (2, "ship", "shipping")] {
        let given = Given::new().await;
        let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
        given.goes_well(order, 1).await;
        if lives == 2 {
            given.store.begin_incarnation(Position(i64::MAX), Incarnation(1), "restored");
        }
        given.cancel(order).await;
        given.reply(order, Reply::Nothing).await;
        let row = after(&given, order, "CompensationStarted").await;
        assert_eq!((row.state, row.step, row.waiting_on), ("COMPENSATING", step, Some(on)), "{lives}");
    }
}

#[tokio::test]
async fn a_cancel_ends_every_wait_and_the_next_move_is_the_saga_s_own_within_seconds() {
    let mut given = Given::new().await;
    given.mode = LocationMode::Manual;
    let waits = given.place("dev", placed("waits", &[("a", 1)])).await;
    given.goes_well(waits, 10).await;
    let paused = given.place("dev", placed("paused", &[("a", 1)])).await;
    given.goes_well(paused, 1).await;
    given.reply(paused, Reply::Exhausted).await;
    a_moment().await;
    for order in [waits, paused] {
        given.cancel(order).await;
        let row = after(&given, order, "CancelRequested").await;
        assert_eq!((row.state, row.waiting_on), ("RUNNING", None), "nobody is waited for any more");
        assert_eq!(seconds(&row), Some(10), "a saga that nobody drives is overdue, not silent");
    }
}

#[tokio::test]
async fn a_free_order_that_staff_have_shipped_has_only_its_own_move_left() {
    let mut given = Given::new().await;
    given.mode = LocationMode::Manual;
    let order = given.place("dev", free_of_charge("gift")).await;
    given.goes_well(order, 10).await;
    let (shop, state) = given.state(order).await;
    let shipped = state.report(Command::Ship { lines: None, parcels: vec![] }).unwrap();
    given.append(&shop, order.0, ActorKind::Warehouse, shipped).await;
    let (_, row) = rows(&given, order).await.pop().unwrap();
    assert_eq!((row.state, row.step, row.waiting_on), ("RUNNING", "complete", None));
    assert_eq!((seconds(&row), row.remaining_steps.as_str()), (Some(10), "complete"));
}

#[tokio::test]
async fn a_saga_of_a_newer_definition_waits_for_a_build_that_knows_it() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    let started = SagaStarted { saga: "fulfillment".to_owned(), definition_version: 99 };
    given.append("dev", order.0, ActorKind::Saga, vec![started.into()]).await;
    let row = after(&given, order, "SagaStarted").await;
    assert_eq!((row.state, row.waiting_on), ("WAITING", Some("definition")));
    assert_eq!(seconds(&row), Some(TimeDelta::minutes(10).num_seconds()), "an upgrade takes some minutes");
}

#[tokio::test]
async fn what_has_ended_waits_for_nothing_and_goes_nowhere() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 1)])).await;
    let (_, row) = rows(&given, order).await.pop().unwrap();
    assert_eq!((row.state, row.waiting_on, row.waiting_since), ("COMPLETED", None, None));
    assert_eq!((row.expected_by, row.direction, row.remaining_steps.as_str()), (None, None, ""));
}

#[tokio::test]
async fn each_return_waits_by_itself_and_what_happens_to_another_changes_nothing() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 2)])).await;
    let one = || Some(vec![returns::ReturnLine { line_id: "1".into(), quantity: 1 }]);
    for _ in 0..2 {
        given.returning(order, returns::Command::Request { lines: one(), note_id: None }).await;
        a_moment().await;
    }
    given.returning(order, returns::Command::Approve { number: 2, note_id: None }).await;
    a_moment().await;
    assert!(given.return_goes_on(order, 2).await);

    let first = rows_of(&given, order, Which::Return(1)).await;
    let (_, asked) = &first[0];
    assert_eq!((asked.state, asked.step, asked.waiting_on), ("WAITING", "approve", Some("support")));
    assert_eq!((seconds(asked), asked.direction), (Some(2 * 24 * 3600), Some("forward")));
    assert_eq!(asked.remaining_steps, "approve,buy_label,receive,inspect,refund,put_away");
    assert_eq!(first.len(), 4, "told of after each of the four events");
    assert!(
        first.iter().all(|(_, row)| row.waiting_since == asked.waiting_since && row.expected_by == asked.expected_by)
    );

    let second = rows_of(&given, order, Which::Return(2)).await;
    let told: Vec<_> =
        second.iter().map(|(event, row)| (event.as_str(), row.step, row.waiting_on, seconds(row))).collect();
    assert_eq!(
        told,
        [
            ("ReturnRequested", "approve", Some("support"), Some(2 * 24 * 3600)),
            ("ReturnApproved", "buy_label", Some("shipping"), Some(30)),
            ("ReturnLabelPurchased", "receive", Some("warehouse"), Some(21 * 24 * 3600)),
        ]
    );
    let (_, fulfillment) = rows(&given, order).await.pop().unwrap();
    assert_eq!((fulfillment.state, fulfillment.waiting_since), ("COMPLETED", None), "it has ended all the same");
}
