//! Goods in, adjustments, locations, what staff report, and an operator's retry.
use super::{
    Answer, TestApp,
    orders::{id_of, released},
};
use axum::http::StatusCode;
use domain::{
    Event,
    fulfillment::{SagaPaused, Step},
    location::LocationMode,
    order::{CancelRequested, Reservation, StockReserved},
    saga::Direction,
};
use eventstore::{EventStore, Role, Slot, StreamId, TimerMove};
use serde_json::{Value, json};

fn receipt(reference: &str) -> Value {
    json!({ "ref": reference, "location": "main", "lines": [{ "sku": "apple", "quantity": 5 }, { "sku": "pear", "quantity": 1 },
        { "sku": "apple", "quantity": 2 }] })
}

async fn free(app: &TestApp, sku: &str) -> i64 {
    let account = format!("stock:dev/main/{sku}");
    app.store.balances(&[account]).await.unwrap().first().map_or(0, |(_, balance)| *balance)
}

#[tokio::test]
async fn a_receipt_is_recorded_once_and_under_another_key_its_ref_is_taken() {
    let app = TestApp::new().await;
    let first = app.post_as(&app.warehouse, "k", "/v1/stock/receipts", &receipt("d-1"), &[]).await;
    assert_eq!((first.status, &first.body), (StatusCode::OK, &json!({ "ref": "d-1", "position": "3" })));
    let again = app.post_as(&app.warehouse, "k", "/v1/stock/receipts", &receipt("d-1"), &[]).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let taken = app.post_as(&app.warehouse, "another", "/v1/stock/receipts", &receipt("d-1"), &[]).await;
    assert_eq!((taken.status, taken.code()), (StatusCode::CONFLICT, "receipt_ref_taken"));
    assert_eq!(taken.body["same_body"], true);
    assert_eq!((free(&app, "apple").await, free(&app, "pear").await), (7, 1));
    let events = app.events().await;
    assert_eq!(events.len(), 3);
    assert_eq!(events[0].stream, events[2].stream, "one stream an SKU");
    assert_eq!(events[2].version.0, 2);
}

#[tokio::test]
async fn a_ref_used_for_something_else_is_taken_and_a_key_is_looked_at_first() {
    let app = TestApp::new().await;
    app.post_as(&app.warehouse, "k", "/v1/stock/receipts", &receipt("d-1"), &[]).await;
    let mut other = receipt("d-1");
    other["lines"][0]["quantity"] = json!(6);
    let taken = app.post(&app.warehouse, "/v1/stock/receipts", &other).await;
    assert_eq!((taken.code(), &taken.body["same_body"]), ("receipt_ref_taken", &json!(false)));
    let reused = app.post_as(&app.warehouse, "k", "/v1/stock/receipts", &other, &[]).await;
    assert_eq!(reused.code(), "idempotency_key_reused");
    assert_eq!(free(&app, "apple").await, 7);
}

#[tokio::test]
async fn which_shop_is_meant_must_be_said_when_there_are_several() {
    let app = TestApp::new().await;
    app.another_shop("east").await;
    let answer = app.post(&app.warehouse, "/v1/stock/receipts", &receipt("d-1")).await;
    assert_eq!(answer.faults(), ["/query/shop required"]);
    let answer = app.post(&app.warehouse, "/v1/stock/receipts?shop=west", &receipt("d-1")).await;
    assert_eq!(answer.faults(), ["/query/shop unknown_shop"]);
    assert_eq!(app.post(&app.warehouse, "/v1/stock/receipts?shop=dev", &receipt("d-1")).await.status, StatusCode::OK);
    assert_eq!(free(&app, "apple").await, 7);
    // A key of one shop's warehouse means that shop, and sees no other.
    let east = app.keys.create("east", Role::Warehouse, Some("east")).await.unwrap().1;
    assert_eq!(app.post(&east, "/v1/stock/receipts", &receipt("d-1")).await.status, StatusCode::OK);
    let answer = app.post(&east, "/v1/stock/receipts?shop=dev", &receipt("d-2")).await;
    assert_eq!(answer.faults(), ["/query/shop unknown_shop"]);
}

#[tokio::test]
async fn an_adjustment_never_takes_what_is_reserved() {
    let app = TestApp::new().await;
    app.post(&app.warehouse, "/v1/stock/receipts", &receipt("d-1")).await;
    let adjust = |reference: &str, delta: i64| json!({ "ref": reference, "location": "main", "sku": "apple", "delta": delta, "reason": "counted" });
    let path = "/v1/stock/adjustments";
    let first = app.post_as(&app.warehouse, "k", path, &adjust("a-1", -7), &[]).await;
    assert_eq!((first.status, free(&app, "apple").await), (StatusCode::OK, 0));
    let again = app.post_as(&app.warehouse, "k", path, &adjust("a-1", -7), &[]).await;
    assert_eq!(
        (&again.body, again.header("idempotent-replayed")),
        (&first.body, Some("true")),
        "though nothing is free now"
    );
    let answer = app.post(&app.warehouse, path, &adjust("a-2", -1)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "not_allowed"));
    for (delta, same_body) in [(-7, true), (1, false)] {
        let taken = app.post(&app.warehouse, path, &adjust("a-1", delta)).await;
        assert_eq!((taken.code(), &taken.body["same_body"]), ("adjustment_ref_taken", &json!(same_body)));
    }
    assert_eq!(app.post(&app.warehouse, path, &adjust("a-3", 2)).await.status, StatusCode::OK);
    assert_eq!(free(&app, "apple").await, 2);
    let counted = json!({ "ref": "a-4", "location": "main", "sku": "apple", "counted": 3, "reason": "x" });
    let answer = app.post(&app.warehouse, path, &counted).await;
    assert_eq!(answer.faults(), ["/counted unknown_field", "/delta required"]);
}

#[tokio::test]
async fn a_location_s_mode_is_set_once_and_only_main_is_there() {
    let app = TestApp::new().await;
    let first = app.put(&app.warehouse, "/v1/locations/main", &json!({ "mode": "AUTO" })).await;
    assert_eq!(
        (first.status, &first.body),
        (StatusCode::OK, &json!({ "location": "main", "mode": "AUTO", "position": "1" }))
    );
    let again = app.put(&app.warehouse, "/v1/locations/main", &json!({ "mode": "AUTO" })).await;
    assert_eq!(again.body, first.body);
    let other = app.put(&app.warehouse, "/v1/locations/main", &json!({ "mode": "MANUAL" })).await;
    assert_eq!(other.body["position"], "2");
    assert_eq!(app.put(&app.warehouse, "/v1/locations/east", &json!({ "mode": 1 })).await.code(), "not_found");
    let answer = app.put(&app.warehouse, "/v1/locations/main?x=1", &json!({ "mode": 1 })).await;
    assert_eq!(answer.faults(), ["/mode wrong_type", "/query/x unknown_parameter"]);
}

struct Released {
    app: TestApp,
    path: String,
    order: Value,
}

impl Released {
    async fn new(mode: LocationMode) -> Released {
        let app = TestApp::new().await;
        let placed = app.place("r-1").await;
        app.happened(&placed.body["order_id"], &[released(id_of(&placed.body), mode)]).await;
        let path = format!("/v1/fulfillments/{}", id_of(&placed.body).fulfillment());
        Released { app, path, order: placed.body["order_id"].clone() }
    }

    async fn report(&self, verb: &str, body: &Value) -> Answer {
        self.app.post(&self.app.warehouse, &format!("{}/{verb}", self.path), body).await
    }
}

#[tokio::test]
async fn staff_report_what_they_did_in_parts_or_all_at_once() {
    let work = Released::new(LocationMode::Manual).await;
    let picked = work.report("pick", &json!({ "lines": [{ "line_id": "1", "quantity": 1 }] })).await;
    assert_eq!(
        (picked.status, &picked.body["stage"], &picked.body["position"]),
        (StatusCode::OK, &json!("PICKING"), &json!("3"))
    );
    assert_eq!(work.report("pick", &json!({})).await.body["stage"], "PICKED");
    assert_eq!(work.report("pack", &json!({ "parcels": [{ "weight_grams": 500 }] })).await.body["stage"], "PACKED");
    let body = json!({ "carrier": "UPS", "tracking_number": "1Z", "occurred_at": "2026-01-02T03:04:05+01:00" });
    let shipped = work.report("ship", &body).await;
    assert_eq!((&shipped.body["stage"], &shipped.body["order_id"]), (&json!("SHIPPED"), &work.order));
    let event = work.app.events().await.pop().unwrap();
    assert_eq!(event.metadata.occurred_at.to_rfc3339(), "2026-01-02T02:04:05+00:00");
    assert!(event.payload.get().contains("1Z"));
    let nothing = work.report("ship", &json!({})).await;
    assert_eq!(
        (nothing.status, &nothing.body["position"]),
        (StatusCode::OK, &shipped.body["position"]),
        "there is nothing left to do"
    );
}

#[tokio::test]
async fn a_report_may_be_empty_and_is_taken_once_under_its_key() {
    let work = Released::new(LocationMode::Manual).await;
    let send = async || {
        let request = super::request(axum::http::Method::POST, &work.app.warehouse, &format!("{}/pick", work.path));
        work.app.send(request.header("idempotency-key", "k").body(axum::body::Body::empty()).unwrap()).await
    };
    let first = send().await;
    work.report("pack", &json!({})).await;
    let again = send().await;
    assert_eq!((again.header("idempotent-replayed"), &again.body["position"]), (Some("true"), &first.body["position"]));
    assert_eq!(again.body["stage"], "PACKED");
}

#[tokio::test]
async fn every_wrong_line_of_a_report_is_named() {
    let work = Released::new(LocationMode::Manual).await;
    let body = json!({ "lines": [{ "line_id": "1", "quantity": 3 }, { "line_id": "9", "quantity": 1 }] });
    assert_eq!(
        work.report("ship", &body).await.faults(),
        ["/lines/0/quantity out_of_range", "/lines/1/line_id unknown_line"]
    );
}

#[tokio::test]
async fn an_auto_location_takes_no_reports_and_an_unreleased_fulfillment_is_not_there() {
    let work = Released::new(LocationMode::Auto).await;
    let answer = work.report("ship", &json!({})).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "not_allowed"));
    assert_eq!(answer.body["supported_actions"], json!([]));
    let placed = work.app.place("r-2").await;
    let path = format!("/v1/fulfillments/{}/pick", id_of(&placed.body).fulfillment());
    assert_eq!(work.app.post(&work.app.warehouse, &path, &json!({})).await.code(), "not_found");
    let path = format!("{}/pick?shop=other", work.path);
    assert_eq!(work.app.post(&work.app.warehouse, &path, &json!({})).await.code(), "not_found");
}

/// Should nobody own its slot just then, whoever comes next must not wait for the timer that was.
#[tokio::test]
async fn whatever_is_reported_or_asked_for_makes_the_saga_due() {
    let due = async |work: &Released| {
        let slots: Vec<_> = (0..=u8::MAX).map(Slot).collect();
        work.app.store.timers(&slots, None, 10).await.unwrap()[0].due_at
    };
    for verb in ["pick", "pack", "ship", "cancel"] {
        let work = Released::new(LocationMode::Manual).await;
        let stream = StreamId::new(id_of(&json!({ "order_id": work.order })).0, "order");
        let later = chrono::Utc::now() + chrono::TimeDelta::days(1);
        let (name, set_at, upto) = ("saga".into(), chrono::Utc::now(), eventstore::Position(i64::MAX));
        let moved = TimerMove { stream, name, due_at: later, set_at, upto };
        work.app.store.move_timers(&[moved]).await.unwrap();
        assert!(due(&work).await > chrono::Utc::now());
        let answer = match verb {
            "cancel" => {
                let path = format!("/v1/orders/{}/cancel", work.order.as_str().unwrap());
                work.app.post(&work.app.shop, &path, &json!({ "reason": "x" })).await
            }
            report => work.report(report, &json!({})).await,
        };
        assert!(answer.status.is_success(), "{verb}: {}", answer.body);
        assert!(due(&work).await <= chrono::Utc::now(), "{verb}");
    }
}

#[tokio::test]
async fn of_cancel_and_ship_one_wins() {
    let work = Released::new(LocationMode::Manual).await;
    work.app.happened(&work.order, &[CancelRequested { note_id: None }.into()]).await;
    let answer = work.report("ship", &json!({})).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "not_allowed"));
    let work = Released::new(LocationMode::Manual).await;
    work.report("ship", &json!({})).await;
    let path = format!("/v1/orders/{}/cancel", work.order.as_str().unwrap());
    assert_eq!(work.app.post(&work.app.shop, &path, &json!({ "reason": "x" })).await.code(), "already_shipped");
}

#[tokio::test]
async fn a_paused_saga_is_tried_again_once() {
    let app = TestApp::new().await;
    let placed = app.place("r-1").await;
    let path = format!("/v1/sagas/{}/retry", id_of(&placed.body).saga());
    let answer = app.post(&app.operator, &path, &json!({ "reason": "x" })).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "not_allowed"));
    let lines =
        vec![Reservation { line_id: "1".into(), sku: "apple".into(), location: "main".into(), lot: None, quantity: 0 }];
    let events: [Event; 2] = [
        StockReserved { lines }.into(),
        SagaPaused {
            step: Step::AuthorizePayment,
            direction: Direction::Forward,
            attempt: 1,
            cause: "retries_exhausted".into(),
            definite: false,
        }
        .into(),
    ];
    app.happened(&placed.body["order_id"], &events).await;
    let first = app.post_as(&app.operator, "k", &path, &json!({ "reason": "it is back" }), &[]).await;
    assert_eq!(
        (first.status, &first.body["state"], &first.body["step"]),
        (StatusCode::OK, &json!("RUNNING"), &json!("authorize_payment"))
    );
    let again = app.post_as(&app.operator, "k", &path, &json!({ "reason": "it is back" }), &[]).await;
    assert_eq!((again.status, &again.body["position"]), (StatusCode::OK, &first.body["position"]));
    assert_eq!(app.post(&app.operator, &path, &json!({ "reason": "x" })).await.code(), "not_allowed");
    let missing = app.post(&app.operator, "/v1/sagas/sag_00000000000000000000000000000000/retry", &json!({})).await;
    assert_eq!(missing.code(), "not_found");
}
