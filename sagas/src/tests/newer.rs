//! Histories that only a newer version of Waybill can read.
use super::world::World;
use commands::History;
use domain::{OrderId, location::LocationMode};
use eventstore::{Actor, ActorKind, Append, Expected, Metadata, NewEvent, Source, StreamAppend, StreamId};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;
use uuid::Uuid;

async fn record(world: &World, order: OrderId, event_type: &'static str) {
    let payload = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap();
    let stream = StreamAppend {
        stream: StreamId::new(order.0, "order"),
        expected: Expected::Any,
        events: vec![NewEvent { event_type: event_type.into(), schema_version: 1, payload: payload.into(), rank: 0 }],
    };
    let metadata = Metadata {
        command_id: Uuid::now_v7(),
        causation_id: None,
        correlation_id: order.0,
        actor: Actor { kind: ActorKind::Support, id: "newer".into(), key: None, on_behalf_of: None },
        source: Source::Api,
        reason_code: None,
        occurred_at: chrono::Utc::now(),
        trace_id: None,
        app_version: "newer".into(),
    };
    world.inner().append(Append { streams: vec![stream], ..Append::new("dev", metadata) }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_history_is_not_understood_does_nothing_more_and_the_others_go_on() {
    let world = World::new(5);
    world.stock("a", 10).await;
    let stopped = world.place("tok_ok", &[("a", 1)]).await.order;
    record(&world, stopped, "OrderHeld").await;
    let runner = world.run();
    sleep(Duration::from_secs(200)).await;
    assert_eq!(
        world.types(stopped).await,
        ["OrderPlaced", "OrderHeld"],
        "looked at again and again, and never past it"
    );
    assert_eq!(world.faults.calls.load(Ordering::SeqCst), 0, "no participant is called");
    let error = History::load(world.inner(), stopped).await.unwrap_err().to_string();
    assert!(error.contains("OrderHeld in version 1 is not known here: a newer version of Waybill wrote it"), "{error}");

    let other = world.place("tok_ok", &[("a", 1)]).await.order;
    while world.types(other).await.last().map(String::as_str) != Some("SagaCompleted") {
        sleep(Duration::from_secs(1)).await;
    }
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_tail_stops_a_waiting_saga_at_an_event_that_is_not_understood() {
    let world = World::new(6);
    *world.mode.lock().unwrap() = LocationMode::Manual;
    world.stock("a", 10).await;
    let runner = world.run();
    let order = world.place("tok_ok", &[("a", 1)]).await.order;
    world.settle(Duration::from_secs(60)).await;
    let before = world.types(order).await;
    assert_eq!(before.last().map(String::as_str), Some("FulfillmentReleased"));
    record(&world, order, "OrderHeld").await;
    sleep(Duration::from_secs(200)).await;
    assert_eq!(world.types(order).await.len(), before.len() + 1, "nothing came after it");
    runner.stop().await;
}
