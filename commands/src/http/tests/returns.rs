//! Returns over HTTP, on a completed order.
use super::{Answer, TestApp, orders::id_of, sagas::held};
use axum::http::StatusCode;
use domain::{
    Event, OrderId,
    fulfillment::SagaCompleted,
    location::LocationMode,
    order::OrderCompleted,
    payment::{CapturedCharge, CapturedLine, PaymentCaptured},
    shipment::{FulfillmentShipped, Label, LineQuantity},
};
use serde_json::{Value, json};

struct Work {
    app: TestApp,
    order: OrderId,
}

impl Work {
    async fn completed() -> Work {
        let app = TestApp::new().await;
        let order = id_of(&app.place("r-1").await.body);
        let id = json!(order.to_string());
        app.happened(&id, &held(order, LocationMode::Manual)).await;
        let history = crate::history::History::load(&*app.store, order).await.unwrap().unwrap();
        let placed = history.fulfillment.order.placed.clone().unwrap();
        let lines = [("1", 2), ("2", 1)].map(|(id, quantity)| LineQuantity { line_id: id.into(), quantity }).into();
        let captured = PaymentCaptured {
            key: "k".into(),
            capture_id: "cap_1".into(),
            authorization_id: "pay_1".into(),
            amount: placed.total,
            currency: placed.currency.clone(),
            lines: placed
                .lines
                .iter()
                .map(|line| CapturedLine { line_id: line.line_id.clone(), amount: line.line_total })
                .collect(),
            charges: placed
                .charges
                .iter()
                .map(|charge| CapturedCharge { charge_id: charge.charge_id, amount: charge.signed(false) })
                .collect(),
        };
        let events: [Event; 4] = [
            FulfillmentShipped { lines, parcels: vec![] }.into(),
            captured.into(),
            OrderCompleted {}.into(),
            SagaCompleted {}.into(),
        ];
        app.happened(&id, &events).await;
        Work { app, order }
    }

    async fn ask(&self, key: &str, body: &Value) -> Answer {
        self.app.post_as(&self.app.shop, key, &format!("/v1/orders/{}/returns", self.order), body, &[]).await
    }

    async fn report(&self, key: &str, verb: &str, body: &Value) -> Answer {
        self.app.post(key, &format!("/v1/returns/{}/{verb}", self.order.returned(1)), body).await
    }
}

#[tokio::test]
async fn a_return_is_asked_for_once_under_its_key_and_told_again_by_its_number() {
    let work = Work::completed().await;
    let body = json!({ "reason": "too small", "lines": [{ "line_id": "1", "quantity": 1 }] });
    let first = work.ask("k1", &body).await;
    assert_eq!((first.status, &first.body["stage"]), (StatusCode::OK, &json!("REQUESTED")), "{}", first.body);
    assert_eq!(first.body["return_id"], json!(work.order.returned(1).to_string()));
    let second = work.ask("k2", &body).await;
    assert_eq!(second.body["return_id"], json!(work.order.returned(2).to_string()));
    let again = work.ask("k1", &body).await;
    assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, Some("true")));
}

#[tokio::test]
async fn every_line_that_is_wrong_is_named_and_nothing_is_stored() {
    let work = Work::completed().await;
    let before = work.app.events().await.len();
    let line = |id: &str, quantity: i64| json!({ "line_id": id, "quantity": quantity });
    let body = json!({ "reason": "x", "lines": [line("1", 3), line("9", 1), line("2", 1), line("2", 1)] });
    let told = work.ask("k", &body).await;
    assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY);
    let expected =
        ["/lines/0/quantity out_of_range", "/lines/1/line_id unknown_line", "/lines/3/line_id duplicate_line_id"];
    assert_eq!(told.faults(), expected);
    let body = json!({ "lines": [{ "line_id": 1, "quantity": 0, "why": 1 }] });
    let expected = [
        "/lines/0/line_id wrong_type",
        "/lines/0/quantity out_of_range",
        "/lines/0/why unknown_field",
        "/reason required",
    ];
    assert_eq!(work.ask("k", &body).await.faults(), expected);
    assert_eq!(work.app.events().await.len(), before);
}

#[tokio::test]
async fn a_return_goes_its_way_by_those_who_may() {
    let work = Work::completed().await;
    let (shop, warehouse) = (work.app.shop.clone(), work.app.warehouse.clone());
    work.ask("k", &json!({ "reason": "x", "lines": [{ "line_id": "1", "quantity": 2 }] })).await;
    assert_eq!(work.report(&warehouse, "approve", &json!({ "reason": "x" })).await.status, StatusCode::FORBIDDEN);
    assert_eq!(work.report(&shop, "receive", &json!({})).await.status, StatusCode::FORBIDDEN);
    let early = work.report(&warehouse, "receive", &json!({})).await;
    assert_eq!((early.status, early.code()), (StatusCode::CONFLICT, "not_allowed"));
    let told = work.report(&work.app.support, "approve?dry_run=true", &json!({ "reason": "x" })).await;
    assert_eq!(told.body["would"], "will buy a label to send it back with; then it waits for warehouse");
    assert_eq!(work.report(&work.app.support, "approve", &json!({ "reason": "ok" })).await.body["stage"], "APPROVED");

    let label =
        Label { key: "k".into(), label_id: "lbl_9".into(), carrier: "swift".into(), tracking_number: "SW9".into() };
    let bought = domain::returns::ReturnLabelPurchased { number: 1, label };
    work.app.happened(&json!(work.order.to_string()), &[bought.into()]).await;
    let some = json!({ "lines": [{ "line_id": "1", "quantity": 2 }] });
    assert_eq!(work.report(&warehouse, "receive", &some).await.body["stage"], "RECEIVED");
    let found = json!({ "lines": [{ "line_id": "1", "restock": 1 }] });
    assert_eq!(work.report(&warehouse, "inspect", &found).await.faults(), ["/lines/0 sum_mismatch"]);
    let found = json!({ "lines": [{ "line_id": "1", "restock": 1, "write_off": 1 }] });
    let told = work.report(&warehouse, "inspect?dry_run=true", &found).await;
    let would = told.body["would"].as_str().unwrap();
    assert!(would.starts_with("will refund ") && would.ends_with("write off 1 SKU and complete the return"), "{would}");
    let told = work.report(&warehouse, "inspect", &found).await;
    assert_eq!((&told.body["stage"], told.body["refund"].is_string()), (&json!("INSPECTED"), true), "{}", told.body);
    let late = work.report(&shop, "cancel", &json!({ "reason": "x" })).await;
    assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, "not_allowed"));
}

#[tokio::test]
async fn another_shop_s_return_and_one_that_is_not_there_are_not_found() {
    let work = Work::completed().await;
    assert_eq!(work.report(&work.app.shop, "cancel", &json!({ "reason": "x" })).await.status, StatusCode::NOT_FOUND);
    work.ask("k", &json!({ "reason": "x" })).await;
    let east = work.app.another_shop("east").await;
    assert_eq!(work.report(&east, "cancel", &json!({ "reason": "x" })).await.status, StatusCode::NOT_FOUND);
    let path = format!("/v1/sagas/{}/pause", work.order.returned(1));
    let told = work.app.post(&work.app.operator, &path, &json!({ "reason": "x" })).await;
    assert_eq!(
        (&told.body["saga_id"], &told.body["state"]),
        (&json!(work.order.returned(1).to_string()), &json!("PAUSED"))
    );
    let path = format!("/v1/sagas/{}/pause", work.order.returned(2));
    assert_eq!(work.app.post(&work.app.operator, &path, &json!({ "reason": "x" })).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn nothing_comes_back_of_an_order_that_is_under_way() {
    let app = TestApp::new().await;
    let order = id_of(&app.place("r-1").await.body);
    let told = app.post(&app.shop, &format!("/v1/orders/{order}/returns"), &json!({ "reason": "x" })).await;
    assert_eq!((told.status, told.code()), (StatusCode::CONFLICT, "not_allowed"));
}
