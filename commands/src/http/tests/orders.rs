//! Orders placed, read, found and cancelled.
use super::{TestApp, order};
use crate::personal::{Note, PersonalData};
use axum::http::StatusCode;
use domain::{
    Event, FulfillmentId, LineId, LocationCode, OrderId,
    location::LocationMode,
    order::{CancelReason, OrderCancelled, OrderEvent},
    shipment::{FulfillmentLine, FulfillmentReleased, FulfillmentShipped, LineQuantity},
};
use eventstore::{ActorKind, EventStore, SLOTS, Slot, Source};
use serde_json::{Value, json};

pub(super) fn released(id: OrderId, mode: LocationMode) -> Event {
    let line =
        |line_id: &str, sku: &str, quantity| FulfillmentLine { line_id: line_id.into(), sku: sku.into(), quantity };
    FulfillmentReleased {
        fulfillment_id: FulfillmentId(id.0),
        location: LocationCode::from("main"),
        mode,
        lines: vec![line("1", "apple", 2), line("2", "pear", 1)],
        ship_by: None,
        priority: 0,
    }
    .into()
}

pub(super) fn id_of(body: &Value) -> OrderId {
    body["order_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_order_is_stored_before_it_is_answered() {
    let app = TestApp::new().await;
    let placed = app.place("r-1").await;
    let id = placed.body["order_id"].as_str().unwrap();
    assert_eq!(placed.header("location"), Some(format!("/v1/orders/{id}").as_str()));
    assert_eq!(
        placed.body,
        json!({ "order_id": id, "order_ref": "r-1", "status": "PLACED", "status_reason": null, "position": "1", "version": 1 })
    );
    let events = app.events().await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&*event.event_type, &*event.shop, event.metadata.source), ("OrderPlaced", "dev", Source::Api));
    assert_eq!((event.metadata.actor.kind, &*event.metadata.actor.id), (ActorKind::Shop, "dev"));
    assert_eq!(event.metadata.correlation_id, id_of(&placed.body).0);
    let slots: Vec<_> = (0..SLOTS).map(|n| Slot(u8::try_from(n).unwrap())).collect();
    let timers = app.store.timers(&slots, None, 10).await.unwrap();
    assert_eq!(timers.len(), 1, "the saga is under way");
}

#[tokio::test]
async fn an_import_and_a_trace_are_kept_with_the_event() {
    let app = TestApp::new().await;
    let headers =
        [("waybill-source", "import"), ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    app.post_as(&app.shop, "k", "/v1/orders", &order("r-1"), &headers).await;
    let metadata = &app.events().await[0].metadata;
    assert_eq!(metadata.source, Source::Import);
    assert_eq!(metadata.trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
}

#[tokio::test]
async fn personal_data_lies_in_the_vault_and_in_no_event() {
    let app = TestApp::new().await;
    let mut body = order("r-1");
    body["customer"] = json!({ "ref": "c-1", "name": "Ada", "email": "ada@example.com" });
    body["ship_to"] = json!({ "name": "Ada", "line1": "1 Lane", "postal_code": "45202", "country": "US" });
    body["payment"] = json!({ "method": "card", "token": "tok_slow_5" });
    body["metadata"] = json!({ "gift": { "to": "Bo" } });
    let placed = app.post(&app.shop, "/v1/orders", &body).await;
    let event = app.events().await[0].payload.get().to_owned();
    for personal in ["Ada", "ada@", "1 Lane", "45202", "tok_slow_5", "Bo"] {
        assert!(!event.contains(personal), "{personal} stands in {event}");
    }
    let data = PersonalData::of_order(&app.vault, id_of(&placed.body)).await.unwrap().unwrap();
    assert_eq!(data.payment.unwrap().token, "tok_slow_5");
    assert_eq!(data.metadata.unwrap().get(), r#"{"gift":{"to":"Bo"}}"#);
    let history = app.history(&placed.body["order_id"]).await;
    assert!(history.fulfillment.order.placed.unwrap().person_id.is_some());
}

#[tokio::test]
async fn an_order_is_read_by_its_shop_and_by_support_and_by_no_other_shop() {
    let app = TestApp::new().await;
    let other = app.another_shop("east").await;
    let placed = app.place("r-1").await;
    let path = format!("/v1/orders/{}", placed.body["order_id"].as_str().unwrap());
    for key in [&app.shop, &app.support, &app.operator] {
        let read = app.get(key, &path).await;
        assert_eq!((read.status, &read.body), (StatusCode::OK, &placed.body));
    }
    assert_eq!(app.get(&other, &path).await.code(), "not_found");
    let answer = app.post(&other, &format!("{path}/cancel"), &json!({ "reason": "x" })).await;
    assert_eq!(answer.code(), "not_found");
    for id in
        ["x", "ord_", "ord_00000000000000000000000000000000", "sag_00000000000000000000000000000000", "%ff", "%00"]
    {
        assert_eq!(app.get(&app.shop, &format!("/v1/orders/{id}")).await.code(), "not_found", "{id}");
    }
    let answer = app.get(&app.shop, &format!("{path}?wait=61&x=1&x=2")).await;
    assert_eq!(
        answer.faults(),
        ["/query/wait out_of_range", "/query/x unknown_parameter", "/query/x unknown_parameter"]
    );
}

#[tokio::test]
async fn an_order_is_found_by_ref_and_an_ambiguous_one_says_where() {
    let app = TestApp::new().await;
    let other = app.another_shop("east").await;
    let mut body = order("r 1&ü");
    body["ship_to"] = json!({ "country": "DE" });
    body["payment"] = json!({ "token": "tok_ok" });
    let mine = app.post(&app.shop, "/v1/orders", &body).await;
    let path = "/v1/orders?ref=r%201%26%C3%BC";
    assert_eq!(app.get(&app.shop, path).await.body, mine.body);
    assert_eq!(app.get(&app.support, path).await.body, mine.body);
    assert_eq!(app.get(&other, path).await.code(), "not_found");

    let theirs = app.post(&other, "/v1/orders", &body).await;
    assert_eq!(app.get(&app.shop, path).await.body, mine.body);
    let ambiguous = app.get(&app.support, path).await;
    assert_eq!(ambiguous.faults(), ["/query/shop ambiguous_ref"]);
    assert_eq!(ambiguous.body["candidates"].as_array().unwrap().len(), 2);
    assert_eq!(app.get(&app.support, &format!("{path}&shop=east")).await.body, theirs.body);
    assert_eq!(app.get(&app.support, &format!("{path}&shop=west")).await.code(), "not_found");
    assert_eq!(app.get(&app.shop, "/v1/orders").await.faults(), ["/query/ref required"]);
}

#[tokio::test]
async fn a_shop_without_defaults_must_say_where_to_and_how_it_is_paid() {
    let app = TestApp::new().await;
    let other = app.another_shop("east").await;
    let answer = app.post(&other, "/v1/orders", &order("r-1")).await;
    assert_eq!(answer.faults(), ["/payment required", "/ship_to required"]);
}

#[tokio::test]
async fn an_order_whose_event_would_be_too_large_is_a_fault_of_the_order() {
    let app = TestApp::new().await;
    let line = |n: usize| json!({ "line_id": format!("{n:03}{}", "x".repeat(252)), "sku": "é".repeat(255), "quantity": 1, "line_total": "1" });
    let mut body = order("r-1");
    body["lines"] = (0..500).map(line).collect();
    let answer = app.post(&app.shop, "/v1/orders", &body).await;
    assert_eq!(answer.faults(), ["/lines too_long"]);
}

#[tokio::test]
async fn a_cancel_is_accepted_once_and_confirmed_ever_after() {
    let app = TestApp::new().await;
    let placed = app.place("r-1").await;
    let path = format!("/v1/orders/{}/cancel", placed.body["order_id"].as_str().unwrap());
    let first = app.post_as(&app.support, "k", &path, &json!({ "reason": "changed her mind" }), &[]).await;
    assert_eq!((first.status, first.body["status"].as_str()), (StatusCode::ACCEPTED, Some("CANCELLING")));
    assert_eq!((first.body["position"].as_str(), first.body["version"].as_i64()), (Some("2"), Some(2)));
    let again = app.post(&app.shop, &path, &json!({ "reason": "really" })).await;
    assert_eq!((again.status, &again.body["status"]), (StatusCode::OK, &json!("CANCELLING")));

    let event = app.events().await[1].clone();
    assert!(!event.payload.get().contains("mind"));
    let note =
        serde_json::from_str::<Value>(event.payload.get()).unwrap()["note_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(Note::read(&app.vault, note).await.unwrap().unwrap().note, "changed her mind");

    app.happened(
        &placed.body["order_id"],
        &[OrderEvent::from(OrderCancelled { reason: CancelReason::Requested }).into()],
    )
    .await;
    let replay = app.post_as(&app.support, "k", &path, &json!({ "reason": "changed her mind" }), &[]).await;
    assert_eq!(replay.identity(), first.identity());
    assert_eq!((replay.status, replay.header("idempotent-replayed")), (StatusCode::OK, Some("true")));
    assert_eq!((&replay.body["status"], &replay.body["status_reason"]), (&json!("CANCELLED"), &json!("requested")));
    let other = app.post_as(&app.support, "k", &path, &json!({ "reason": "another" }), &[]).await;
    assert_eq!(other.code(), "idempotency_key_reused");
}

#[tokio::test]
async fn one_key_cancels_one_order_not_every_order() {
    let app = TestApp::new().await;
    let (one, two) = (app.place("r-1").await, app.place("r-2").await);
    let path = |placed: &super::Answer| format!("/v1/orders/{}/cancel", placed.body["order_id"].as_str().unwrap());
    let reason = json!({ "reason": "x" });
    assert_eq!(app.post_as(&app.shop, "k", &path(&one), &reason, &[]).await.status, StatusCode::ACCEPTED);
    assert_eq!(app.post_as(&app.shop, "k", &path(&two), &reason, &[]).await.code(), "idempotency_key_reused");
}

#[tokio::test]
async fn after_the_pivot_a_cancel_is_refused() {
    let app = TestApp::new().await;
    let placed = app.place("r-1").await;
    let shipped =
        FulfillmentShipped { lines: vec![LineQuantity { line_id: LineId::from("1"), quantity: 1 }], parcels: vec![] };
    let events = [released(id_of(&placed.body), LocationMode::Manual), shipped.into()];
    app.happened(&placed.body["order_id"], &events).await;
    let path = format!("/v1/orders/{}/cancel", placed.body["order_id"].as_str().unwrap());
    let answer = app.post(&app.shop, &path, &json!({ "reason": "late" })).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "already_shipped"));
}
