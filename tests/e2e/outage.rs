//! The payment provider is down under load, over HTTP and on real servers: no order is lost, nobody is charged twice, and the provider is not
//! stormed, neither while it is down nor when it is back. Judged by its own count of requests and by its ledger.
use crate::support::{
    app::TestApp,
    client::{order, unique},
    trade::until_ended,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Until the breaker opens sixteen are turned away, and those under way beside them.
const UNTIL_OPEN: u64 = 40;

/// Orders are placed one after the other, `between` apart.
async fn payment_down_for(name: &str, down: Duration, between: Duration) {
    let mut app = TestApp::start(name).await;
    let sku = unique("sku");
    app.client.receive(&sku, 1_000_000).await;
    let before = app.client.order_to_its_end(&order(&sku, 1, "tok_ok")).await;
    assert_eq!(before.body["status"], "COMPLETED", "{}", before.body);
    let asked = async |app: &TestApp| app.client.requests("payment").await;
    assert_eq!(asked(&app).await.get("authorize"), Some(&1), "the provider counts");

    app.client.control("payment", json!({"mode": "down"})).await;
    let (since, mut placed) = (Instant::now(), BTreeMap::new());
    while since.elapsed() < down {
        let answer = app.client.post("shop", "/v1/orders", &order(&sku, 1, "tok_ok")).await;
        assert!(answer.status.is_success(), "orders are taken all the same: {}", answer.body);
        placed.insert(answer.body["order_id"].as_str().unwrap().to_owned(), "tok_ok".to_owned());
        tokio::time::sleep(between).await;
    }
    let requests = asked(&app).await;
    let during = requests.values().sum::<u64>() - 2;
    // Two probes each time the breaker half-opens, after 1, 2, 4, 8 and then each 10 s; each may ask and then call.
    let probes = 4 * (4 + down.as_secs() / 10 + 1);
    println!("{} orders and {during} requests in {down:?} of outage, at most {}", placed.len(), UNTIL_OPEN + probes);
    assert!(during <= UNTIL_OPEN + probes, "{requests:?}");
    assert!(placed.len() as u64 > UNTIL_OPEN + probes, "so few orders prove nothing: {}", placed.len());

    app.client.control("payment", json!({"mode": "ok"})).await;
    let back = Instant::now();
    until_ended(&placed, &app, &app).await;
    println!("drained within {:.1} s, the reading of each order included", back.elapsed().as_secs_f64());
    let after = asked(&app).await;
    let calls: u64 = after.values().sum::<u64>() - 2 - during;
    assert!(calls <= 2 * placed.len() as u64 + UNTIL_OPEN + probes, "two calls an order: {after:?}");
    app.assert_verified().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payment_provider_is_down_for_ten_seconds_under_load_and_every_order_completes() {
    payment_down_for("outage", Duration::from_secs(10), Duration::from_millis(20)).await;
}

#[ignore = "takes minutes: scripts/slow-tests"]
#[tokio::test(flavor = "multi_thread")]
async fn slow_the_payment_provider_is_down_for_ten_minutes_under_load() {
    payment_down_for("slow-outage", Duration::from_secs(600), Duration::from_millis(100)).await;
}
