//! One order at a time, as the contract tells it.
use super::world::World;
use domain::fulfillment::OrderStatus;
use domain::location::LocationMode;
use domain::saga::{Next, Retry, SagaState, WaitingOn};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn an_order_completes_in_five_appends_nine_events_and_three_calls() {
    let world = World::new(1);
    world.stock("a", 10).await;
    world.stock("b", 10).await;
    let runner = world.run();
    let order = world.place("tok_ok", &[("a", 1), ("b", 2), ("a", 3)]).await.order;
    world.settle(MINUTE).await;

    let expected = [
        "OrderPlaced",
        "SagaStarted",
        "StockReserved",
        "PaymentAuthorized",
        "FulfillmentReleased",
        "FulfillmentShipped",
        "PaymentCaptured",
        "OrderCompleted",
        "SagaCompleted",
    ];
    assert_eq!(world.types(order).await, expected);
    assert_eq!(world.appends(order).await, 5);
    assert_eq!(world.faults.calls.load(Ordering::SeqCst), 3);
    assert_eq!(world.faults.appends.load(Ordering::SeqCst), 4);
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn placed_where_it_is_driven_it_takes_an_append_less_and_the_same_events() {
    let world = World::new(1);
    world.stock("a", 3).await;
    let runner = world.run();
    sleep(MINUTE).await;
    let order = world.place("tok_ok", &[("a", 1)]).await.order;
    world.settle(MINUTE).await;
    let beside = world.place_beside(&runner, "tok_ok", &[("a", 1)], 1000).await.order;
    let free = world.place_beside(&runner, "tok_ok", &[("a", 1)], 0).await.order;
    let short = world.place_beside(&runner, "tok_ok", &[("a", 1)], 1000).await.order;
    world.settle(MINUTE).await;
    assert_eq!(world.types(beside).await, world.types(order).await);
    let appends = (world.appends(order).await, world.appends(beside).await, world.appends(free).await);
    assert_eq!(appends, (5, 4, 3), "the free one is released, shipped and complete");
    assert_eq!(world.history(short).await.fulfillment.status_reason(), Some("out_of_stock"));
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_append_says_what_it_answers() {
    let world = World::new(2);
    world.stock("a", 1).await;
    let runner = world.run();
    let order = world.place("tok_ok", &[("a", 1)]).await.order;
    world.settle(MINUTE).await;
    let events = eventstore::EventStore::read_streams(world.inner(), order.0).await.unwrap();
    let mut before = events[0].metadata.command_id;
    for event in &events[1..] {
        assert_eq!(event.metadata.correlation_id, order.0);
        if event.metadata.command_id != before {
            assert_eq!(event.metadata.causation_id, Some(before));
            before = event.metadata.command_id;
        }
    }
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_nudge_needs_no_feed_and_both_together_begin_one_saga() {
    let world = World::new(3);
    world.stock("a", 50).await;
    let runner = world.run();
    sleep(Duration::from_millis(10)).await;
    for _ in 0..50 {
        let history = world.place("tok_ok", &[("a", 1)]).await;
        runner.placed(&history);
        tokio::task::yield_now().await;
        runner.placed(&history);
    }
    world.settle(MINUTE).await;
    assert_eq!(world.faults.calls.load(Ordering::SeqCst), 150);
    assert_eq!(world.faults.appends.load(Ordering::SeqCst), 200, "no append is made in vain");
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_to_pay_needs_no_payment() {
    let world = World::new(4);
    world.stock("a", 1).await;
    let runner = world.run();
    let order = world.place_at("tok_ok", &[("a", 1)], 0).await.order;
    world.settle(MINUTE).await;
    assert!(world.history(order).await.fulfillment.is_completed());
    assert_eq!(world.faults.calls.load(Ordering::SeqCst), 1);
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_cancels_the_order_and_says_what_was_missing() {
    let world = World::new(5);
    world.stock("a", 2).await;
    let runner = world.run();
    let order = world.place("tok_ok", &[("a", 2), ("a", 1), ("never seen", 4)]).await.order;
    world.settle(MINUTE).await;
    let history = world.history(order).await;
    assert_eq!(
        (history.fulfillment.status(), history.fulfillment.status_reason()),
        (OrderStatus::Cancelled, Some("out_of_stock"))
    );
    let events = eventstore::EventStore::read_streams(world.inner(), order.0).await.unwrap();
    let refused = events.iter().find(|event| event.event_type == "ReservationRefused").unwrap();
    let refused: serde_json::Value = serde_json::from_str(refused.payload.get()).unwrap();
    assert_eq!(
        refused["shortages"],
        serde_json::json!([
            {"sku": "a", "location": "main", "wanted": 3, "available": 2},
            {"sku": "never seen", "location": "main", "wanted": 4, "available": 0}
        ])
    );
    assert_eq!(world.faults.calls.load(Ordering::SeqCst), 0);
    assert_eq!(world.appends(order).await, 2);
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_declined_payment_gives_the_stock_back_once() {
    let world = World::new(6);
    world.stock("a", 2).await;
    let runner = world.run();
    let order = world.place("tok_decline", &[("a", 2)]).await.order;
    world.settle(MINUTE).await;
    let history = world.history(order).await;
    assert_eq!(
        (history.fulfillment.status(), history.fulfillment.status_reason()),
        (OrderStatus::Cancelled, Some("payment_declined"))
    );
    assert_eq!(world.appends(order).await, 3);
    world.check().await;
    assert_eq!(world.ledger().await, []);
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_acts_and_never_answers_authorizes_once() {
    let world = World::new(7);
    world.stock("a", 2).await;
    let runner = world.run();
    let order = world.place("tok_hang_after_acting", &[("a", 1)]).await.order;
    world.settle(MINUTE).await;
    assert!(world.history(order).await.fulfillment.is_completed());
    let types = world.types(order).await;
    assert_eq!(types.iter().filter(|name| *name == "StepRetrying").count(), 1, "seen while it waits: {types:?}");
    // It was asked, not told again.
    assert_eq!(world.faults.calls.load(Ordering::SeqCst), 4);
    assert_eq!(world.faults.queries.load(Ordering::SeqCst), 1);
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_flaky_provider_is_tried_until_it_works() {
    let world = World::new(8);
    world.stock("a", 2).await;
    let runner = world.run();
    let order = world.place("tok_flaky_25", &[("a", 1)]).await.order;
    let took = world.settle(60 * MINUTE).await;
    assert!(world.history(order).await.fulfillment.is_completed());
    assert_eq!(world.types(order).await.iter().filter(|name| *name == "StepRetrying").count(), 1);
    assert!(took < 15 * MINUTE, "{took:?}");
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_capture_that_is_declined_pauses_the_saga_until_a_person_lets_it_try_again_under_a_new_key() {
    let world = World::new(9);
    world.stock("a", 2).await;
    let runner = world.run();
    let order = world.place("tok_decline_on_capture", &[("a", 1)]).await.order;
    world.settle(MINUTE).await;
    let state = world.history(order).await.fulfillment;
    assert_eq!((state.status(), state.status_reason()), (OrderStatus::Shipped, Some("capture_declined")));
    assert_eq!(state.saga_state(), SagaState::Paused);
    assert!(!world.cancel(order).await, "the goods have left");

    let calls = world.faults.calls.load(Ordering::SeqCst);
    assert!(world.retry(order).await);
    sleep(MINUTE).await;
    assert_eq!(world.faults.calls.load(Ordering::SeqCst), calls + 1, "one more try, under a new key");
    assert_eq!(world.history(order).await.fulfillment.saga_state(), SagaState::Paused);
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_saga_pauses_and_a_cancel_leaves_it_clean() {
    let world = World::new(10);
    world.stock("a", 2).await;
    let order = world.place("tok_ok", &[("a", 1)]).await.order;
    world.forget_token(order);
    let runner = world.run();
    world.settle(MINUTE).await;
    assert_eq!(world.history(order).await.fulfillment.status_reason(), Some("no_payment_token"));
    assert!(world.cancel(order).await);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.history(order).await.fulfillment.status(), OrderStatus::Cancelled);
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn at_a_manual_location_it_waits_for_the_staff_and_goes_on_when_they_ship() {
    let world = World::new(11);
    world.stock("a", 20).await;
    *world.mode.lock().unwrap() = LocationMode::Manual;
    let runner = world.run();
    let (shipped, cancelled) =
        (world.place("tok_ok", &[("a", 1)]).await.order, world.place("tok_ok", &[("a", 1)]).await.order);
    world.settle(MINUTE).await;
    for order in [shipped, cancelled] {
        assert_eq!(world.history(order).await.fulfillment.next(order), Next::Wait(WaitingOn::Warehouse));
    }
    assert_eq!(runner.handle.status().active, 0, "nobody stands and waits");
    world.check().await;
    assert!(world.ship(shipped).await);
    assert!(world.cancel(cancelled).await);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.history(shipped).await.fulfillment.status(), OrderStatus::Completed);
    assert_eq!(world.history(cancelled).await.fulfillment.status(), OrderStatus::Cancelled);
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_interrupts_a_wait_and_blocks_the_forward_call() {
    let world = World::new(12);
    world.stock("a", 1).await;
    let runner = world.run();
    let order = world.place("tok_flaky_1000", &[("a", 1)]).await.order;
    sleep(5 * MINUTE).await;
    assert_eq!(world.history(order).await.fulfillment.saga_state(), SagaState::Waiting);
    let start = Instant::now();
    assert!(world.cancel(order).await);
    world.settle(MINUTE).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(world.history(order).await.fulfillment.status(), OrderStatus::Cancelled);
    world.check().await;
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_used_up_pauses_the_saga_and_a_retry_goes_on_under_the_same_key() {
    let world = World::new(13);
    world.stock("a", 1).await;
    let mut config = world.config();
    config.retry.instead = Some(Retry { budget: Duration::from_secs(600), ..Retry::CALL });
    let runner = world.run_with(config);
    let order = world.place("tok_flaky_60", &[("a", 1)]).await.order;
    let took = world.settle(60 * MINUTE).await;
    assert!((9..13).contains(&(took.as_secs() / 60)), "{took:?}");
    let state = world.history(order).await.fulfillment;
    assert_eq!((state.saga_state(), state.status_reason()), (SagaState::Paused, Some("retries_exhausted")));
    while !world.history(order).await.fulfillment.is_completed() {
        world.retry(order).await;
        world.settle(60 * MINUTE).await;
    }
    world.check().await;
    runner.stop().await;
}
