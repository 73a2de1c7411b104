//! What operators ask of a saga, over HTTP.
use super::{
    TestApp,
    orders::{id_of, released},
};
use crate::personal::Note;
use axum::http::StatusCode;
use domain::{
    Amount, Currency, Event, OrderId,
    fulfillment::{SagaEvent, SagaPaused, Step},
    location::LocationMode,
    order::{Reservation, StockReserved},
    payment::PaymentAuthorized,
    saga::Direction,
    shipment::{FulfillmentShipped, LineQuantity},
};
use serde_json::{Value, json};

/// Goods set aside, money held, and all released.
pub(super) fn held(order: OrderId, mode: LocationMode) -> [Event; 3] {
    let line = |line_id: &str, sku: &str| Reservation {
        line_id: line_id.into(),
        sku: sku.into(),
        location: "main".into(),
        lot: None,
        quantity: 0,
    };
    let authorized = PaymentAuthorized {
        key: "k".into(),
        authorization_id: "pay_1".into(),
        amount: Amount(1_000_000),
        currency: Currency { code: "USD".into(), digits: 2 },
        expires_at: chrono::Utc::now(),
    };
    [
        StockReserved { lines: vec![line("1", "apple"), line("2", "pear")] }.into(),
        authorized.into(),
        released(order, mode),
    ]
}

struct Work {
    app: TestApp,
    order: OrderId,
}

impl Work {
    /// An order whose goods are set aside, whose money is held, and which is released to a MANUAL location.
    async fn released() -> Work {
        let app = TestApp::new().await;
        let placed = app.place("r-1").await;
        let order = id_of(&placed.body);
        app.happened(&placed.body["order_id"], &held(order, LocationMode::Manual)).await;
        Work { app, order }
    }

    /// Everything has left, and the money is not to be had.
    async fn declined() -> Work {
        let work = Work::released().await;
        let all =
            [("1", 2), ("2", 1)].map(|(line_id, quantity)| LineQuantity { line_id: line_id.into(), quantity }).into();
        let paused = SagaPaused {
            step: Step::CapturePayment,
            direction: Direction::Forward,
            attempt: 1,
            cause: "capture_declined".into(),
            definite: true,
        };
        let events: [Event; 2] = [FulfillmentShipped { lines: all, parcels: vec![] }.into(), paused.into()];
        work.app.happened(&json!(work.order.to_string()), &events).await;
        work
    }

    async fn ask(&self, verb: &str, body: &Value) -> super::Answer {
        let path = format!("/v1/sagas/{}/{verb}", self.order.saga());
        self.app.post(&self.app.operator, &path, body).await
    }

    async fn types(&self) -> Vec<String> {
        self.app.events().await.into_iter().map(|event| event.event_type.into()).collect()
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let work = Work::released().await;
    let before = work.types().await;
    let told = work.ask("compensate?dry_run=true", &json!({ "reason": "x" })).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.body);
    let total = "void the authorization of";
    let would = told.body["would"].as_str().unwrap();
    assert!(would.contains(total) && would.ends_with("release 2 SKUs and cancel the order"), "{would}");
    assert_eq!(told.body["effects"], json!(["recall", "void_authorization", "release_stock", "cancel"]));
    assert_eq!((&told.body["dry_run"], &told.body["state"]), (&json!(true), &json!("WAITING")));
    assert_eq!(work.types().await, before);
    let refused = work.ask("retry?dry_run=true", &json!({ "reason": "x" })).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "not_allowed"));
    assert_eq!(
        work.ask("retry?dry_run=perhaps", &json!({ "reason": "x" })).await.faults(),
        ["/query/dry_run unknown_value"]
    );
}

#[tokio::test]
async fn a_step_is_passed_over_only_with_a_reason_and_with_evidence_and_both_are_kept() {
    let work = Work::declined().await;
    assert_eq!(work.ask("skip", &json!({ "reason": "x" })).await.faults(), ["/evidence required"]);
    assert_eq!(work.ask("skip", &json!({})).await.faults(), ["/evidence required", "/reason required"]);
    let body = json!({ "reason": "paid by transfer", "evidence": "booked 2026-11-24" });
    let told = work.ask("skip", &body).await;
    assert_eq!((told.status, &told.body["step"]), (StatusCode::OK, &json!("complete")), "{}", told.body);
    let events = work.app.events().await;
    let last = events.last().unwrap();
    let decoded = crate::history::decode(last).unwrap();
    let [Event::Saga(SagaEvent::StepSkipped(skipped))] = &decoded[..] else { panic!("{decoded:?}") };
    let read = async |id: Option<uuid::Uuid>| Note::read(&work.app.vault, id.unwrap()).await.unwrap().unwrap().note;
    assert_eq!(read(skipped.note_id).await, "paid by transfer");
    assert_eq!(read(skipped.evidence_id).await, "booked 2026-11-24");
    assert!(!last.payload.get().contains("transfer"), "the history holds no free text");
}

#[tokio::test]
async fn a_step_done_elsewhere_needs_the_participant_s_reference() {
    let work = Work::declined().await;
    assert_eq!(work.ask("mark-done", &json!({ "reason": "x" })).await.faults(), ["/reference required"]);
    let body = json!({ "reason": "in the console", "reference": "cap_9" });
    let told = work.ask("mark-done", &body).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.body);
    let types = work.types().await;
    assert_eq!(types[types.len() - 2..], ["StepMarkedDone", "PaymentCaptured"]);
}

#[tokio::test]
async fn what_has_left_is_not_undone_and_the_answer_says_what_can_be_asked_for() {
    let work = Work::declined().await;
    let refused = work.ask("compensate", &json!({ "reason": "x" })).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "already_shipped"));
    let refused = work.ask("resume", &json!({ "reason": "x" })).await;
    assert_eq!(refused.body["supported_actions"], json!(["retry", "skip", "mark-done", "pause"]));
}

#[tokio::test]
async fn goods_of_a_paused_order_stay_until_it_is_resumed() {
    let work = Work::released().await;
    let paused = work.ask("pause", &json!({ "reason": "fraud?" })).await.body;
    assert_eq!((&paused["state"], &paused["changed"]), (&json!("PAUSED"), &json!(true)));
    assert_eq!(work.ask("pause", &json!({ "reason": "again" })).await.body["changed"], false, "it was so already");
    let path = format!("/v1/fulfillments/{}/ship", work.order.fulfillment());
    let refused = work.app.post(&work.app.warehouse, &path, &json!({})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "not_allowed"));
    let order = work.app.get(&work.app.shop, &format!("/v1/orders/{}", work.order)).await;
    assert_eq!(
        (&order.body["status"], &order.body["status_reason"]),
        (&json!("ON_HOLD"), &json!("paused_by_operator"))
    );
    assert_eq!(work.ask("resume", &json!({ "reason": "no" })).await.body["state"], "WAITING");
    assert_eq!(work.app.post(&work.app.warehouse, &path, &json!({})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_operators_ask_for_any_of_it() {
    let work = Work::declined().await;
    for verb in ["retry", "skip", "mark-done", "compensate", "pause", "resume"] {
        let path = format!("/v1/sagas/{}/{verb}", work.order.saga());
        for key in [&work.app.shop, &work.app.warehouse, &work.app.support] {
            assert_eq!(
                work.app.post(key, &path, &json!({ "reason": "x" })).await.status,
                StatusCode::FORBIDDEN,
                "{verb}"
            );
        }
    }
}
