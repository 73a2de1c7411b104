//! An order whose saga will be driven here begins with its placement.
use super::{TestApp, order};
use crate::http::{Follower, Placed};
use axum::http::StatusCode;
use domain::OrderId;
use eventstore::{EventStore, Fence, MemoryEventStore, Position, Slot, slot_of};
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use uuid::Uuid;

/// Holds leases, as it believes, and notes what it is told of.
#[derive(Debug)]
struct Driver {
    owner: Uuid,
    epochs: Vec<i64>,
    placed: Mutex<Vec<Placed>>,
}

impl Follower for Driver {
    fn fence(&self, order: OrderId) -> Option<Fence> {
        let slot = slot_of(order.0);
        self.epochs.get(usize::from(slot.0)).map(|epoch| Fence { slot, epoch: *epoch })
    }

    fn placed(&self, placed: Placed) {
        self.placed.lock().unwrap().push(placed);
    }

    fn changed(&self, _: OrderId, _: Position) {}
}

fn slots() -> Vec<Slot> {
    (0..=u8::MAX).map(Slot).collect()
}

/// A server beside a driver of all slots, with goods for two orders.
async fn driven() -> (TestApp, Arc<Driver>) {
    let (store, owner) = (Arc::new(MemoryEventStore::default()), Uuid::now_v7());
    let granted = store.take_leases(&slots(), owner, Duration::from_secs(60)).await.unwrap();
    let epochs = granted.iter().map(|lease| lease.epoch).collect();
    let driver = Arc::new(Driver { owner, epochs, placed: Mutex::default() });
    let app = TestApp::followed(store, None, Some(driver.clone())).await;
    for (sku, quantity) in [("apple", 4), ("pear", 3)] {
        let goods = json!({ "ref": sku, "location": "main", "lines": [{ "sku": sku, "quantity": quantity }] });
        let received = app.post(&app.warehouse, "/v1/stock/receipts", &goods).await;
        assert!(received.status.is_success(), "{received:?}");
    }
    (app, driver)
}

/// The types of an order's events, and how many appends they came in.
async fn written(app: &TestApp, id: &serde_json::Value) -> (Vec<String>, usize) {
    let order: OrderId = id.as_str().unwrap().parse().unwrap();
    let events = app.store.read_streams(order.0).await.unwrap();
    let mut commands: Vec<_> = events.iter().map(|event| event.metadata.command_id).collect();
    commands.dedup();
    (events.iter().map(|event| event.event_type.to_string()).collect(), commands.len())
}

#[tokio::test]
async fn its_goods_are_taken_by_the_append_that_places_it() {
    let (app, driver) = driven().await;
    let placed = app.place("1").await;
    let (events, appends) = written(&app, &placed.body["order_id"]).await;
    assert_eq!((&events[..], appends), (&["OrderPlaced", "SagaStarted", "StockReserved"].map(str::to_owned)[..], 1));
    assert_eq!((&placed.body["status"], &placed.body["version"]), (&json!("PLACED"), &json!(1)));
    let first = app.history(&placed.body["order_id"]).await.placed;
    assert_eq!(placed.body["position"], json!(first.to_string()), "of the placing, whatever came with it");
    let told = driver.placed.lock().unwrap().pop().unwrap().history;
    assert_eq!(told.fulfillment, app.history(&placed.body["order_id"]).await.fulfillment, "it is handed on as it is");

    let again = app.place("2").await;
    assert_eq!(written(&app, &again.body["order_id"]).await.1, 1);
    let none_left = app.place("3").await;
    let (events, _) = written(&app, &none_left.body["order_id"]).await;
    assert_eq!(events, ["OrderPlaced"], "what is short is for the saga to say");
    assert_eq!(driver.placed.lock().unwrap().len(), 2, "all are handed on");
}

#[tokio::test]
async fn asked_again_it_is_the_same_answer() {
    let (app, _driver) = driven().await;
    let first = app.post_as(&app.shop, "k", "/v1/orders", &order("1"), &[]).await;
    let again = app.post_as(&app.shop, "k", "/v1/orders", &order("1"), &[]).await;
    assert_eq!((first.status, again.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert_eq!(first.identity(), again.identity());
}

#[tokio::test]
async fn under_a_lease_that_is_lost_it_is_placed_alone() {
    let (app, driver) = driven().await;
    app.store.release_leases(&slots(), driver.owner).await.unwrap();
    let placed = app.place("1").await;
    assert_eq!(written(&app, &placed.body["order_id"]).await.0, ["OrderPlaced"]);
}
