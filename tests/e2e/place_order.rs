//! One order, end to end: every way it may end, as its shop and the staff see it.
use crate::support::{
    app::{shared, text},
    client::{order, unique},
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_completed_and_everyone_sees_it() {
    let app = shared().await;
    let sku = unique("sku");
    app.client.receive(&sku, 10).await;
    let mut body = order(&sku, 2, "tok_ok");
    body["charges"] = json!([{"kind": "shipping", "amount": "4.90"}]);
    body["total"] = json!("14.70");
    let answer = app.client.order_to_its_end(&body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["status"], "COMPLETED");
    let id = answer.body["order_id"].as_str().unwrap();

    // The read model shows it at once.
    let query = "query($id: ID!) { order(id: $id) { status ref total payment { authorized captured authorizeStatus chargeStatus }
        lines { shipped reserved } saga { state remainingSteps } fulfillments { stage carrier trackingNumber }
        timeline { totalCount nodes { type summary } } } }";
    let data = app.client.graphql("support", query, json!({"id": id})).await;
    let read = &data["order"];
    assert_eq!(read["status"], "COMPLETED");
    assert_eq!((&read["total"], &read["payment"]["captured"]), (&json!("14.70"), &json!("14.70")));
    assert_eq!(read["payment"]["chargeStatus"], "FULL");
    assert_eq!(read["lines"], json!([{"shipped": 2, "reserved": 0}]));
    assert_eq!(read["saga"], json!({"state": "COMPLETED", "remainingSteps": []}));
    assert_eq!(read["fulfillments"][0]["stage"], "SHIPPED");
    assert!(read["fulfillments"][0]["trackingNumber"].is_string(), "{read}");
    let types: Vec<_> =
        read["timeline"]["nodes"].as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    let story = [
        "OrderPlaced",
        "SagaStarted",
        "StockReserved",
        "PaymentAuthorized",
        "FulfillmentReleased",
        "FulfillmentShipped",
        "PaymentCaptured",
        "OrderCompleted",
        "SagaCompleted",
    ];
    assert_eq!(types, story);

    // The goods have left the shelf, the money was taken once.
    let stock = app
        .client
        .graphql(
            "warehouse",
            "query($sku: String) { stock(sku: $sku) { nodes { onHand reserved available } } }",
            json!({"sku": sku}),
        )
        .await;
    assert_eq!(stock["stock"]["nodes"], json!([{"onHand": 8, "reserved": 0, "available": 8}]));
    assert_eq!(app.client.ledger("payment", id).await, ["authorize", "capture"]);
    assert_eq!(app.client.ledger("shipping", id).await, ["label"]);

    // And support reads it in plain words, by the shop's own reference.
    let told = app.waybill(&["trace", body["order_ref"].as_str().unwrap()]).await;
    assert!(told.status.success(), "{}", text(&told.stderr));
    let told = text(&told.stdout);
    assert!(told.contains("COMPLETED") && told.contains("14.70") && told.contains("What happened"), "{told}");
    assert!(!told.contains("Long Lane") && !told.contains("Ada"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_goods_never_seen_is_cancelled() {
    let app = shared().await;
    let answer = app.client.order_to_its_end(&order(&unique("unseen"), 1, "tok_ok")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!((&answer.body["status"], &answer.body["status_reason"]), (&json!("CANCELLED"), &json!("out_of_stock")));
    assert!(app.client.ledger("payment", answer.body["order_id"].as_str().unwrap()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_ends_as_it_must() {
    let app = shared().await;
    let sku = unique("sku");
    app.client.receive(&sku, 100).await;
    let cases: [(&str, &str, serde_json::Value, &[&str]); 6] = [
        ("tok_ok", "COMPLETED", json!(null), &["authorize", "capture"]),
        ("tok_decline", "CANCELLED", json!("payment_declined"), &[]),
        ("tok_slow_300", "COMPLETED", json!(null), &["authorize", "capture"]),
        ("tok_hang_after_acting", "COMPLETED", json!(null), &["authorize", "capture"]),
        ("tok_flaky_2", "COMPLETED", json!(null), &["authorize", "capture"]),
        ("tok_nonsense", "CANCELLED", json!("payment_declined"), &[]),
    ];
    let ended = cases.iter().map(|(token, ..)| async { app.client.order_to_its_end(&order(&sku, 1, token)).await });
    for (answer, (token, status, reason, ledger)) in futures_util::future::join_all(ended).await.iter().zip(&cases) {
        assert_eq!(answer.status, StatusCode::OK, "{token}: {}", answer.body);
        assert_eq!((&answer.body["status"], &answer.body["status_reason"]), (&json!(status), reason), "{token}");
        assert_eq!(app.client.ledger("payment", answer.body["order_id"].as_str().unwrap()).await, **ledger, "{token}");
    }
    // What was declined holds nothing back.
    let stock = app
        .client
        .graphql(
            "warehouse",
            "query($sku: String) { stock(sku: $sku) { nodes { onHand reserved } } }",
            json!({"sku": sku}),
        )
        .await;
    assert_eq!(stock["stock"]["nodes"], json!([{"onHand": 96, "reserved": 0}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_declined_pauses_the_saga_until_an_operator_retries() {
    let app = shared().await;
    let sku = unique("sku");
    app.client.receive(&sku, 1).await;
    let placed = app.client.post("shop", "/v1/orders", &order(&sku, 1, "tok_decline_on_capture")).await;
    let id = placed.body["order_id"].as_str().unwrap().to_owned();
    let saga = format!("sag_{}", &id[4..]);
    let incidents = "query { sagas(where: {state: PAUSED}) { nodes { id step } } }";
    let since = Instant::now();
    loop {
        let paused = app.client.graphql("operator", incidents, json!({})).await;
        if paused["sagas"]["nodes"].as_array().unwrap().iter().any(|node| node["id"] == saga.as_str()) {
            break;
        }
        assert!(since.elapsed() < SOON, "{saga} does not pause: {paused}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let read = app.client.get("shop", &format!("/v1/orders/{id}")).await;
    assert_eq!((&read.body["status"], &read.body["status_reason"]), (&json!("SHIPPED"), &json!("capture_declined")));
    let cancel = app.client.post("shop", &format!("/v1/orders/{id}/cancel"), &json!({"reason": "too late"})).await;
    assert_eq!((cancel.status, &cancel.body["code"]), (StatusCode::CONFLICT, &json!("already_shipped")));
    let retried = app
        .client
        .post("operator", &format!("/v1/sagas/{saga}/retry"), &json!({"reason": "the bank was called"}))
        .await;
    assert_eq!(retried.status, StatusCode::OK, "{}", retried.body);
    let shop = app.client.post("shop", &format!("/v1/sagas/{saga}/retry"), &json!({"reason": "please"})).await;
    assert_eq!(shop.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_an_order_is_named_at_once_and_nothing_is_kept() {
    let app = shared().await;
    let mut body = order("tea", 0, "tok_ok");
    body["currency"] = json!("XXQ");
    body["surprise"] = json!(1);
    body["lines"][0]["line_total"] = json!(9.8);
    let answer = app.client.post("shop", "/v1/orders", &body).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let mut paths: Vec<_> =
        answer.body["errors"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/currency", "/lines/0/line_total", "/lines/0/quantity", "/surprise"], "{}", answer.body);
    let found = app.client.get("shop", &format!("/v1/orders?ref={}", body["order_ref"].as_str().unwrap())).await;
    assert_eq!(found.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_repeats_of_a_request_place_one_order() {
    let app = shared().await;
    let sku = unique("sku");
    app.client.receive(&sku, 100).await;
    let (body, key) = (order(&sku, 1, "tok_ok"), unique("key"));
    let sent = (0..100).map(|_| async {
        let request = app.client.request("shop", Method::POST, "/v1/orders").header("idempotency-key", &key);
        app.client.send(request.json(&body)).await
    });
    let answers = futures_util::future::join_all(sent).await;
    let first = &answers[0].body;
    for answer in &answers {
        assert!(answer.status.is_success(), "{}", answer.body);
        for field in ["order_id", "position", "version"] {
            assert_eq!(answer.body[field], first[field], "{}", answer.body);
        }
    }
    let fresh = answers.iter().filter(|answer| !answer.headers.contains_key("idempotent-replayed")).count();
    assert_eq!(fresh, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_nothing_to_pay_completes_without_a_payment() {
    let app = shared().await;
    let sku = unique("sku");
    app.client.receive(&sku, 1).await;
    let body = json!({"order_ref": unique("free"), "customer_ref": "c-1", "currency": "USD",
        "lines": [{"sku": sku, "quantity": 1, "line_total": "0.00"}]});
    let answer = app.client.order_to_its_end(&body).await;
    assert_eq!(answer.body["status"], "COMPLETED", "{}", answer.body);
    let id = answer.body["order_id"].as_str().unwrap();
    let data = app
        .client
        .graphql("shop", "query($id: ID!) { order(id: $id) { payment { captured } } }", json!({"id": id}))
        .await;
    assert!(data["order"]["payment"].is_null());
    assert!(app.client.ledger("payment", id).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_holds_what_happened_for_whoever_wants_to_know() {
    let app = shared().await;
    if std::env::var_os("CI").is_some() {
        assert!(app.client.run["kafka_in_process"].is_null(), "the checks want a real Kafka");
    }
    let sku = unique("sku");
    app.client.receive(&sku, 1).await;
    let answer = app.client.order_to_its_end(&order(&sku, 1, "tok_ok")).await;
    assert_eq!(answer.body["status"], "COMPLETED", "{}", answer.body);
    app.assert_verified().await;
}
