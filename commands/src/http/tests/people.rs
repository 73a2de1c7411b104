//! A customer erased, as an operator sees it; and whoever comes back under the same ref.
use super::{Answer, TestApp, order};
use crate::people::{ERASURE_TIMER, PersonHistory};
use axum::http::StatusCode;
use domain::order::{CancelReason, OrderCancelled};
use eventstore::{EventStore, Slot};
use serde_json::{Value, json};
use uuid::Uuid;

const ERASE: &str = "/v1/shops/dev/customers/c-1/erase";
const ERASURE: &str = "/v1/shops/dev/customers/c-1/erasure";

fn because() -> Value {
    json!({ "reason": "Ada asked by mail" })
}

async fn place(app: &TestApp, order_ref: &str) -> (Value, Uuid) {
    let mut body = order(order_ref);
    body.as_object_mut().unwrap().remove("customer_ref");
    body["customer"] = json!({ "ref": "c-1", "name": "Ada" });
    let placed = app.post(&app.shop, "/v1/orders", &body).await;
    assert_eq!(placed.status, StatusCode::ACCEPTED, "{placed:?}");
    let id = placed.body["order_id"].clone();
    let person = app.history(&id).await.fulfillment.order.placed.unwrap().person_id.unwrap();
    (id, person)
}

fn told(answer: &Answer) -> (u16, &str, u64) {
    let body = &answer.body;
    (answer.status.as_u16(), body["status"].as_str().unwrap_or(""), body["open_order_count"].as_u64().unwrap_or(99))
}

#[tokio::test]
async fn an_erasure_waits_visibly_for_open_orders_and_is_asked_for_once() {
    let app = TestApp::new().await;
    let (open, person) = place(&app, "r-1").await;
    assert_eq!(app.get(&app.operator, ERASURE).await.code(), "not_found", "nobody asked");
    let first = app.post_as(&app.operator, "k-1", ERASE, &because(), &[]).await;
    assert_eq!(told(&first), (202, "WAITING", 1));
    assert_eq!(first.body["open_orders"], json!([open]));
    assert_eq!(first.body["customer_ref"], "c-1");
    let events = app.events().await;
    assert_eq!(first.body["position"], events.last().unwrap().position.to_string());
    assert!(!events.last().unwrap().payload.get().contains("Ada"), "the reason is sealed");

    let again = app.post_as(&app.operator, "k-1", ERASE, &because(), &[]).await;
    assert_eq!((told(&again), again.header("idempotent-replayed")), ((200, "WAITING", 1), Some("true")));
    let other = app.post(&app.operator, ERASE, &json!({ "reason": "again" })).await;
    assert_eq!((told(&other), other.header("idempotent-replayed")), ((200, "WAITING", 1), None));
    let reused = app.post_as(&app.operator, "k-1", ERASE, &json!({ "reason": "another" }), &[]).await;
    assert_eq!(reused.code(), "idempotency_key_reused");
    assert_eq!(app.events().await.len(), events.len());

    app.happened(&open, &[OrderCancelled { reason: CancelReason::Requested }.into()]).await;
    for key in [&app.operator, &app.support] {
        assert_eq!(told(&app.get(key, ERASURE).await), (200, "ERASING", 0));
    }
    let slots: Vec<Slot> = (0..=255).map(Slot).collect();
    let timers = app.store.timers(&slots, None, 10).await.unwrap();
    let names: Vec<_> = timers.iter().map(|timer| (timer.stream.id, timer.name.as_str())).collect();
    assert_eq!(names, [(person, ERASURE_TIMER)], "whoever owns the slot finds it");
}

#[tokio::test]
async fn from_the_request_on_the_same_ref_is_someone_new() {
    let app = TestApp::new().await;
    let (first, person) = place(&app, "r-1").await;
    app.post(&app.operator, ERASE, &because()).await;
    let (second, new) = place(&app, "r-2").await;
    assert_ne!(new, person);
    let waits = app.get(&app.operator, ERASURE).await;
    assert_eq!(waits.body["open_orders"], json!([first]), "the new one's orders are no business of it");

    // Whoever still holds the one who has gone is told so by the log, and takes the new one.
    let history = PersonHistory::load(&*app.store, person).await.unwrap();
    assert!(history.state.requested.is_some());
    let opened = app.vault.open(first.as_str().unwrap()[4..].parse::<Uuid>().unwrap()).await.unwrap();
    assert!(opened.is_some(), "while the order is under way its data is read as before");

    let then = app.post(&app.operator, ERASE, &because()).await;
    assert_eq!(told(&then), (202, "WAITING", 1), "the new one may be erased as well");
    assert_eq!(then.body["open_orders"], json!([second]));
}

#[tokio::test]
async fn an_order_that_raced_with_the_request_is_placed_for_someone_new() {
    let app = TestApp::new().await;
    let (_, person) = place(&app, "r-1").await;
    // As another process would ask: this one still believes that the ref stands for the person.
    let history = PersonHistory::load(&*app.store, person).await.unwrap();
    let command = domain::person::Command::RequestErasure { customer_ref: "c-1".into(), note_id: None };
    app.store.append(history.decide("dev", super::metadata(person), command).unwrap().unwrap()).await.unwrap();
    let (_, new) = place(&app, "r-2").await;
    assert_ne!(new, person);
    assert_eq!(place(&app, "r-3").await.1, new);
}

#[tokio::test]
async fn only_an_operator_erases_and_only_whom_there_is() {
    let app = TestApp::new().await;
    place(&app, "r-1").await;
    for key in [&app.shop, &app.warehouse, &app.support] {
        assert_eq!(app.post(key, ERASE, &because()).await.code(), "forbidden");
    }
    for key in [&app.shop, &app.warehouse] {
        assert_eq!(app.get(key, ERASURE).await.code(), "forbidden");
    }
    for path in
        ["/v1/shops/dev/customers/c-2/erase", "/v1/shops/west/customers/c-1/erase", "/v1/shops/dev/customers/%ff/erase"]
    {
        assert_eq!(app.post(&app.operator, path, &because()).await.code(), "not_found", "{path}");
    }
    for body in [json!({}), json!({ "reason": "" }), json!({ "reason": "x", "more": 1 })] {
        assert_eq!(app.post(&app.operator, ERASE, &body).await.code(), "invalid", "{body}");
    }
    let slash = app.post(&app.operator, "/v1/shops/dev/customers/a%2Fb/erase", &because()).await;
    assert_eq!(slash.code(), "not_found");
    assert_eq!(app.get(&app.operator, ERASURE).await.code(), "not_found", "nothing was stored of all this");
}
