//! For each route that takes a key: a command and the state it needs, another body, bodies that are refused, and what is to be seen of it.
use super::{Store, Two, is_replayed};
use crate::http::tests::{Answer, order, orders::released};
use axum::http::StatusCode;
use domain::{
    Event, OrderId,
    fulfillment::{CompensationStarted, PauseRequested, SagaPaused, Step},
    location::LocationMode,
    order::{CancelReason, Reservation, StockReserved},
    saga::Direction,
};
use eventstore::Role;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug)]
pub(super) enum Route {
    Order,
    Cancel,
    Receipt,
    Adjustment,
    Pick,
    Pack,
    Ship,
    Retry,
    Skip,
    MarkDone,
    Compensate,
    Pause,
    Resume,
    Erase,
}

pub(super) const ROUTES: [Route; 14] = [
    Route::Order,
    Route::Cancel,
    Route::Receipt,
    Route::Adjustment,
    Route::Pick,
    Route::Pack,
    Route::Ship,
    Route::Retry,
    Route::Skip,
    Route::MarkDone,
    Route::Compensate,
    Route::Pause,
    Route::Resume,
    Route::Erase,
];

pub(super) struct Case {
    pub(super) role: Role,
    pub(super) path: String,
    pub(super) body: Value,
    /// As good as the body, but another.
    pub(super) other: Value,
    /// Each is answered with a 4xx.
    pub(super) refused: Vec<Value>,
    /// How many events the command causes.
    pub(super) events: i64,
    order: Option<OrderId>,
    sku: String,
}

fn lines(quantity: i64) -> Value {
    json!({ "lines": [{ "line_id": "1", "quantity": quantity }] })
}

impl Route {
    /// `name` is this test's own.
    pub(super) async fn prepare<S: Store>(self, two: &Two<S>, name: &str) -> Case {
        let name = format!("{self:?}-{name}");
        let case = |role, path: String, body, other, refused| {
            let sku = format!("sku-{name}");
            Case { role, path, body, other, refused, events: 1, order: None, sku }
        };
        let receipt = |reference: &str, quantity: i64| json!({ "ref": reference, "location": "main", "lines": [{ "sku": format!("sku-{name}"), "quantity": quantity }] });
        match self {
            Route::Order => {
                let mut other = order(&format!("{name}-ref"));
                other["channel"] = json!("web");
                let mut faulty = order(&format!("{name}-ref"));
                faulty["lines"][0]["quantity"] = json!(0);
                two.place(&format!("{name}-taken")).await;
                let refused = vec![faulty, order(&format!("{name}-taken"))];
                case(Role::Shop, "/v1/orders".into(), order(&format!("{name}-ref")), other, refused)
            }
            Route::Cancel => {
                let order = two.place(&name).await;
                let reasons = ["all", "other"].map(|reason| json!({ "reason": reason }));
                let [body, other] = reasons;
                let path = format!("/v1/orders/{order}/cancel");
                let refused = vec![json!({ "reason": 1 }), json!({})];
                Case { order: Some(order), ..case(Role::Shop, path, body, other, refused) }
            }
            Route::Receipt => {
                let path = "/v1/stock/receipts".to_owned();
                let refused = vec![receipt(&name, 0), receipt(&name, -5)];
                case(Role::Warehouse, path, receipt(&name, 7), receipt(&name, 8), refused)
            }
            Route::Adjustment => {
                let before = receipt(&format!("{name}-before"), 10);
                let received =
                    two.post(0, &two.warehouse, &format!("{name}-before"), "/v1/stock/receipts", &before).await;
                assert_eq!(received.status, StatusCode::OK, "{received:?}");
                let adjust = |delta: i64| json!({ "ref": name, "location": "main", "sku": format!("sku-{name}"), "delta": delta, "reason": "counted" });
                // Taken a second time, the floor would stand in the way.
                case(
                    Role::Warehouse,
                    "/v1/stock/adjustments".into(),
                    adjust(-7),
                    adjust(-3),
                    vec![adjust(-11), adjust(0)],
                )
            }
            Route::Pick | Route::Pack | Route::Ship => {
                let order = two.place(&name).await;
                two.happened(order, &[released(order, LocationMode::Manual)]).await;
                let verb = format!("{self:?}").to_lowercase();
                let path = format!("/v1/fulfillments/{}/{verb}", order.fulfillment());
                // A part: said twice, it would count twice.
                let refused = vec![lines(3), json!({ "lines": [{ "line_id": "9", "quantity": 1 }] })];
                Case { order: Some(order), ..case(Role::Warehouse, path, lines(1), lines(2), refused) }
            }
            Route::Erase => {
                two.place_for(&format!("{name}-order"), &name).await;
                let path = format!("/v1/shops/dev/customers/{name}/erase");
                let [body, other] = ["asked by mail", "asked by phone"].map(|reason| json!({ "reason": reason }));
                case(Role::Operator, path, body, other, vec![json!({ "reason": "" }), json!({})])
            }
            Route::Retry | Route::Skip | Route::MarkDone | Route::Compensate | Route::Pause | Route::Resume => {
                let order = two.place(&name).await;
                let before: Vec<Event> = match self {
                    Route::Skip => stopped_undoing().into(),
                    Route::Resume => vec![PauseRequested { note_id: None }.into()],
                    Route::Compensate | Route::Pause => vec![],
                    _ => paused().into(),
                };
                if !before.is_empty() {
                    two.happened(order, &before).await;
                }
                let path = format!("/v1/sagas/{}/{}", order.saga(), self.verb());
                let [body, other] = ["it is back", "other"].map(|reason| match self {
                    Route::Skip => json!({ "reason": reason, "evidence": "seen" }),
                    Route::MarkDone => json!({ "reason": reason, "reference": "pay_9" }),
                    _ => json!({ "reason": reason }),
                });
                let refused = vec![json!({ "reason": 1 }), json!({})];
                let events = if matches!(self, Route::MarkDone) { 2 } else { 1 };
                Case { order: Some(order), events, ..case(Role::Operator, path, body, other, refused) }
            }
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Route::Skip => "skip",
            Route::MarkDone => "mark-done",
            Route::Compensate => "compensate",
            Route::Pause => "pause",
            Route::Resume => "resume",
            _ => "retry",
        }
    }

    /// What the command does is to be seen, once.
    pub(super) async fn acted_once<S: Store>(self, two: &Two<S>, case: &Case) -> bool {
        let history = match case.order {
            Some(order) => Some(two.history(order).await),
            None => None,
        };
        let line = |history: &crate::history::History| {
            history.fulfillment.shipment.released.as_ref().map(|released| released.lines[0].clone()).unwrap()
        };
        match (self, history) {
            (Route::Cancel, Some(history)) => history.fulfillment.order.cancel_requested,
            (Route::Receipt, _) => two.free(&case.sku).await == 7,
            (Route::Adjustment, _) => two.free(&case.sku).await == 3,
            (Route::Pick, Some(history)) => line(&history).picked == 1,
            (Route::Pack, Some(history)) => line(&history).packed == 1,
            (Route::Ship, Some(history)) => line(&history).shipped == 1,
            (Route::Retry | Route::Resume, Some(history)) => history.fulfillment.saga_state().name() == "RUNNING",
            (Route::Skip, Some(history)) => history.fulfillment.saga.paused.is_none(),
            (Route::MarkDone, Some(history)) => history.fulfillment.payment.authorization().is_some(),
            (Route::Compensate, Some(history)) => history.fulfillment.saga.compensation_forced,
            (Route::Pause, Some(history)) => history.fulfillment.saga.held,
            _ => true,
        }
    }

    /// What a repeat is told once its key would be forgotten after a day.
    pub(super) fn assert_late(self, first: &Answer, late: &Answer) {
        let told = (late.status, late.code(), is_replayed(late));
        match self {
            // Remembered as long as the order, or for ever.
            Route::Order
            | Route::Pick
            | Route::Pack
            | Route::Ship
            | Route::Skip
            | Route::MarkDone
            | Route::Compensate
            | Route::Erase => {
                assert_eq!((is_replayed(late), &late.body["position"]), (true, &first.body["position"]), "{self:?}");
            }
            Route::Cancel | Route::Pause => assert_eq!(told, (StatusCode::OK, "", false), "it is so already"),
            Route::Receipt => {
                assert_eq!(told, (StatusCode::CONFLICT, "receipt_ref_taken", false));
                assert_eq!(late.body["same_body"], true);
            }
            Route::Adjustment => {
                assert_eq!(told, (StatusCode::CONFLICT, "adjustment_ref_taken", false));
                assert_eq!(late.body["same_body"], true);
            }
            Route::Retry | Route::Resume => assert_eq!(told, (StatusCode::CONFLICT, "not_allowed", false), "it runs"),
        }
    }
}

fn paused() -> [Event; 2] {
    let reserved =
        Reservation { line_id: "1".into(), sku: "apple".into(), location: "main".into(), lot: None, quantity: 0 };
    [
        StockReserved { lines: vec![reserved] }.into(),
        SagaPaused {
            step: Step::AuthorizePayment,
            direction: Direction::Forward,
            attempt: 1,
            cause: "retries_exhausted".into(),
            definite: false,
        }
        .into(),
    ]
}

/// Being undone, and the authorization can't be given back.
fn stopped_undoing() -> [Event; 3] {
    let [reserved, _] = paused();
    [
        reserved,
        CompensationStarted { reason: CancelReason::Requested }.into(),
        SagaPaused {
            step: Step::AuthorizePayment,
            direction: Direction::Compensate,
            attempt: 1,
            cause: "not_now".into(),
            definite: true,
        }
        .into(),
    ]
}
