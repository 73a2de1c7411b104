//! Answers that wait for the order's end, as the read model shows it.
use super::{Answer, TestApp, order, orders::id_of};
use crate::outcomes::OutcomeView;
use axum::http::StatusCode;
use domain::{
    OrderId,
    fulfillment::OrderStatus,
    order::{CancelReason, OrderCancelled},
};
use eventstore::{EventStore, Position};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

fn waiting(app: &Arc<TestApp>, key: &'static str, prefer: &'static str) -> JoinHandle<Answer> {
    let app = app.clone();
    tokio::spawn(async move { app.post_as(&app.shop, key, "/v1/orders", &order("r-1"), &[("prefer", prefer)]).await })
}

/// The order that was placed, once it is.
async fn placed(app: &TestApp) -> OrderId {
    let mut head = app.store.watch_head();
    head.wait_for(|head| *head > Position::ZERO).await.unwrap();
    OrderId(app.events().await[0].stream.id)
}

fn completed() -> OutcomeView {
    OutcomeView { status: OrderStatus::Completed, status_reason: None, position: Position(9), version: 3, ended: true }
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_answered_as_soon_as_the_read_model_shows_the_end() {
    let app = Arc::new(TestApp::new().await);
    let answer = waiting(&app, "k", "wait=10");
    let order = placed(&app).await;
    app.outcomes.committed(order, OutcomeView { status: OrderStatus::Allocated, ended: false, ..completed() });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!answer.is_finished());
    app.outcomes.committed(order, completed());
    let answer = answer.await.unwrap();
    assert_eq!((answer.status, answer.header("preference-applied")), (StatusCode::OK, Some("wait=10")));
    assert_eq!(
        answer.body,
        json!({ "order_id": order.to_string(), "order_ref": "r-1", "status": "COMPLETED", "status_reason": null, "position": "1", "version": 1 })
    );
    assert!(!app.outcomes.is_awaited(order), "nothing is left behind");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_over_answers_202_with_the_status_of_then() {
    let app = Arc::new(TestApp::new().await);
    let answer = waiting(&app, "k", "respond-async, wait=3");
    let order = placed(&app).await;
    app.happened(&json!(order.to_string()), &[OrderCancelled { reason: CancelReason::OutOfStock }.into()]).await;
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED, "the read model has not shown it");
    assert_eq!((&answer.body["status"], &answer.body["status_reason"]), (&json!("CANCELLED"), &json!("out_of_stock")));
    assert_eq!(answer.body["position"], "1");
}

#[tokio::test(start_paused = true)]
async fn a_replay_has_a_wait_of_its_own() {
    let app = Arc::new(TestApp::new().await);
    let first = app.post_as(&app.shop, "k", "/v1/orders", &order("r-1"), &[]).await;
    let history =
        app.happened(&first.body["order_id"], &[OrderCancelled { reason: CancelReason::OutOfStock }.into()]).await;
    let without = app.post_as(&app.shop, "k", "/v1/orders", &order("r-1"), &[]).await;
    assert_eq!((without.status, &without.body["status"]), (StatusCode::ACCEPTED, &json!("CANCELLED")));
    let replay = waiting(&app, "k", "wait=10");
    tokio::time::sleep(Duration::from_secs(2)).await;
    app.outcomes.applied(history.position);
    let replay = replay.await.unwrap();
    assert_eq!((replay.status, replay.identity()), (StatusCode::OK, first.identity()));
    assert_eq!((replay.header("idempotent-replayed"), &replay.body["status"]), (Some("true"), &json!("CANCELLED")));
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_likewise_and_answers_200_when_it_is_over() {
    let app = Arc::new(TestApp::new().await);
    let placed = app.place("r-1").await;
    let (id, path) = (id_of(&placed.body), format!("/v1/orders/{}?wait=10", placed.body["order_id"].as_str().unwrap()));
    let read = |path: String| {
        let app = app.clone();
        tokio::spawn(async move { app.get(&app.support, &path).await })
    };
    let over = read(path.clone()).await.unwrap();
    assert_eq!((over.status, &over.body["status"]), (StatusCode::OK, &json!("PLACED")));

    let ended = read(path.clone());
    tokio::time::sleep(Duration::from_secs(1)).await;
    app.outcomes.committed(id, completed());
    let ended = ended.await.unwrap();
    assert_eq!(
        (&ended.body["status"], &ended.body["position"], &ended.body["version"]),
        (&json!("COMPLETED"), &json!("9"), &json!(3))
    );
    let by_ref = read("/v1/orders?ref=r-1&wait=1".to_owned()).await.unwrap();
    assert_eq!(by_ref.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_answers_open_waits_202() {
    let app = Arc::new(TestApp::new().await);
    let placing = waiting(&app, "k", "wait=60");
    let order = placed(&app).await;
    let reading = {
        let (app, path) = (app.clone(), format!("/v1/orders/{order}?wait=60"));
        tokio::spawn(async move { app.get(&app.shop, &path).await })
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    app.outcomes.shutdown();
    for answer in [placing.await.unwrap(), reading.await.unwrap()] {
        assert_eq!((answer.status, &answer.body["status"]), (StatusCode::ACCEPTED, &json!("PLACED")));
    }
}
