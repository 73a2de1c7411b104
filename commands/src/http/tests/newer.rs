//! Histories that only a newer version of Waybill can read.
use super::{TestApp, metadata};
use crate::history::{History, HistoryError};
use crate::{ids::location_stream_id, locations::LocationModes};
use axum::http::StatusCode;
use domain::{LocationCode, OrderId, location::LocationMode};
use eventstore::{Append, EventStore, Expected, NewEvent, StreamAppend, StreamId};
use serde_json::json;
use uuid::Uuid;

async fn record(app: &TestApp, stream: StreamId, event_type: &'static str, schema_version: i16) {
    let payload = serde_json::value::to_raw_value(&json!({})).unwrap();
    let events = vec![NewEvent { event_type: event_type.into(), schema_version, payload: payload.into(), rank: 0 }];
    let streams = vec![StreamAppend { expected: Expected::Any, events, stream: stream.clone() }];
    app.store.append(Append { streams, ..Append::new("dev", metadata(stream.id)) }).await.unwrap();
}

#[tokio::test]
async fn an_order_that_a_newer_version_wrote_on_is_neither_told_nor_changed_and_the_answer_says_why() {
    let app = TestApp::new().await;
    let id = app.place("r-1").await.body["order_id"].as_str().unwrap().to_owned();
    let order: OrderId = id.parse().unwrap();
    record(&app, StreamId::new(order.0, "order"), "OrderTeleported", 1).await;
    let path = format!("/v1/orders/{id}");
    let cancel = app.post(&app.shop, &format!("{path}/cancel"), &json!({ "reason": "too late" })).await;
    for answer in [cancel, app.get(&app.shop, &path).await] {
        assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"), "{answer:?}");
        assert_eq!(answer.body["detail"], "only a newer version of Waybill can read this; start that one, or ask it");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(app.events().await.len(), 2, "nothing was appended");
    let error = History::load(&*app.store, order).await.unwrap_err();
    assert!(matches!(error, HistoryError::Undecodable { newer: true, .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "the event at position 2, version 2 of stream order-{}, can't be read: the event type OrderTeleported in version 1 is \
             not known here: a newer version of Waybill wrote it, and only that one can read on",
            order.0.simple()
        )
    );
}

#[tokio::test]
async fn an_order_with_a_stream_of_a_kind_unknown_here_is_not_read_past_it() {
    let app = TestApp::new().await;
    let id = app.place("r-1").await.body["order_id"].as_str().unwrap().to_owned();
    let order: OrderId = id.parse().unwrap();
    record(&app, StreamId::new(order.0, "dispute"), "DisputeOpened", 1).await;
    let error = History::load(&*app.store, order).await.unwrap_err().to_string();
    assert!(error.contains("stream dispute-") && error.contains("dispute/DisputeOpened in version 1"), "{error}");
}

#[tokio::test]
async fn a_location_whose_last_word_is_not_understood_has_no_mode() {
    let app = TestApp::new().await;
    let modes = LocationModes::new(app.store.clone());
    let location = LocationCode::from("main");
    modes.set_mode("dev", &location, LocationMode::Auto, metadata(Uuid::now_v7())).await.unwrap();
    record(&app, location_stream_id("dev", &location), "LocationClosed", 1).await;
    let last = app.events().await.pop().unwrap();
    assert!(modes.observe(&last).is_err());
    assert!(modes.mode("dev", &location).await.is_err(), "what was remembered is no longer believed");
}
