//! A MANUAL location: staff report what really happened, and a cancel and a shipment exclude each other.
use crate::support::{
    app::TestApp,
    client::{Answer, Client, order, unique},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(25);

async fn set_mode(client: &Client, mode: &str) -> Answer {
    client.send(client.request("warehouse", Method::PUT, "/v1/locations/main").json(&json!({"mode": mode}))).await
}

/// Places an order and waits until the warehouse may begin.
async fn released(client: &Client, body: &Value) -> (String, String) {
    let placed = client.post("shop", "/v1/orders", body).await;
    assert_eq!(placed.status, StatusCode::ACCEPTED, "{}", placed.body);
    let id = placed.body["order_id"].as_str().unwrap().to_owned();
    let since = Instant::now();
    loop {
        let read = client.get("shop", &format!("/v1/orders/{id}")).await;
        if read.body["status"] == "RELEASED" {
            let fulfillment = format!("ful_{}", &id[4..]);
            return (id, fulfillment);
        }
        assert!(since.elapsed() < SOON, "{id} is not released: {}", read.body);
        tokio::time::sleep(PAUSE).await;
    }
}

/// The order once its fulfillment is at this stage.
async fn at_stage(client: &Client, id: &str, stage: &str) -> Value {
    let query =
        "query($id: ID!) { order(id: $id) { status fulfillments { stage } saga { waitingOn remainingSteps } } }";
    let since = Instant::now();
    loop {
        let found = client.graphql("warehouse", query, json!({"id": id})).await["order"].clone();
        if found["fulfillments"][0]["stage"] == stage {
            return found;
        }
        assert!(since.elapsed() < SOON, "it does not come to {stage}: {found}");
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_pick_pack_and_ship_and_the_order_completes() {
    let app = TestApp::start("warehouse").await;
    let client = &app.client;
    let sku = unique("sku");
    client.receive(&sku, 20).await;
    assert_eq!(set_mode(client, "MANUAL").await.status, StatusCode::OK);

    let (id, fulfillment) = released(client, &order(&sku, 3, "tok_ok")).await;
    let waiting = at_stage(client, &id, "TO_PICK").await;
    assert_eq!(
        waiting["saga"],
        json!({"waitingOn": "warehouse", "remainingSteps": ["ship", "capture_payment", "complete"]})
    );
    let report = async |what: &str, body: Value| {
        client.post("warehouse", &format!("/v1/fulfillments/{fulfillment}/{what}"), &body).await
    };
    let picked = report("pick", json!({"lines": [{"line_id": "1", "quantity": 2}]})).await;
    assert_eq!(picked.status, StatusCode::OK, "{}", picked.body);
    assert!(picked.body["position"].is_string(), "{}", picked.body);
    at_stage(client, &id, "PICKING").await;
    let too_many =
        report("pick", json!({"lines": [{"line_id": "1", "quantity": 2}, {"line_id": "9", "quantity": 1}]})).await;
    assert_eq!(too_many.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", too_many.body);
    assert_eq!(report("pick", json!({})).await.status, StatusCode::OK);
    at_stage(client, &id, "PICKED").await;
    assert_eq!(report("pack", json!({"parcels": [{"weight_grams": 900}]})).await.status, StatusCode::OK);
    at_stage(client, &id, "PACKED").await;
    let shipped = report("ship", json!({"carrier": "Pigeon", "tracking_number": "P-1"})).await;
    assert_eq!(shipped.status, StatusCode::OK, "{}", shipped.body);
    let ended = client.get("shop", &format!("/v1/orders/{id}?wait=30")).await;
    assert_eq!(ended.body["status"], "COMPLETED", "{}", ended.body);
    let late = client.post("shop", &format!("/v1/orders/{id}/cancel"), &json!({"reason": "changed my mind"})).await;
    assert_eq!((late.status, &late.body["code"]), (StatusCode::CONFLICT, &json!("already_shipped")));

    // A cancel before anything left: everything is undone, and a late report is refused.
    let (id, fulfillment) = released(client, &order(&sku, 3, "tok_ok")).await;
    let cancel = client.post("shop", &format!("/v1/orders/{id}/cancel"), &json!({"reason": "changed my mind"})).await;
    assert_eq!(
        (cancel.status, &cancel.body["status"]),
        (StatusCode::ACCEPTED, &json!("CANCELLING")),
        "{}",
        cancel.body
    );
    let ended = client.get("shop", &format!("/v1/orders/{id}?wait=30")).await;
    assert_eq!((&ended.body["status"], &ended.body["status_reason"]), (&json!("CANCELLED"), &json!("requested")));
    let again = client.post("shop", &format!("/v1/orders/{id}/cancel"), &json!({"reason": "changed my mind"})).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
    assert_eq!(client.ledger("payment", &id).await, ["authorize", "void"]);
    let ship = client.post("warehouse", &format!("/v1/fulfillments/{fulfillment}/ship"), &json!({})).await;
    assert_eq!((ship.status, &ship.body["code"]), (StatusCode::CONFLICT, &json!("not_allowed")), "{}", ship.body);

    // Cancel and ship at once: one wins, and the books say which.
    for _ in 0..5 {
        let (id, fulfillment) = released(client, &order(&sku, 1, "tok_ok")).await;
        let (path, nothing) = (format!("/v1/fulfillments/{fulfillment}/ship"), json!({}));
        let (cancel_path, reason) = (format!("/v1/orders/{id}/cancel"), json!({"reason": "race"}));
        let (ship, cancel) =
            tokio::join!(client.post("warehouse", &path, &nothing), client.post("shop", &cancel_path, &reason));
        assert_ne!(ship.status.is_success(), cancel.status.is_success(), "{} {}", ship.body, cancel.body);
        let ended = client.get("shop", &format!("/v1/orders/{id}?wait=30")).await;
        assert_eq!(ended.body["status"], if ship.status.is_success() { "COMPLETED" } else { "CANCELLED" });
    }

    // Goods that broke are no longer there to sell; more than are free can't break unnoticed.
    let adjust = async |delta: i64| {
        let body =
            json!({"ref": unique("adjustment"), "location": "main", "sku": sku, "delta": delta, "reason": "dropped"});
        client.post("warehouse", "/v1/stock/adjustments", &body).await
    };
    assert_eq!(adjust(-2).await.status, StatusCode::OK);
    assert_eq!(adjust(-1000).await.status, StatusCode::CONFLICT);
    assert_eq!(set_mode(client, "AUTO").await.status, StatusCode::OK);
    assert_eq!(client.order_to_its_end(&order(&sku, 1, "tok_ok")).await.body["status"], "COMPLETED");
    app.assert_verified().await;
}
