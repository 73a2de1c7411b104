//! Killed without goodbye, and a provider that is away: nothing is lost, nothing is doubled.
use crate::{
    import::{ORDERS, STOCK, VALID, assert_ended, figure, import},
    support::{
        app::{TestApp, text},
        client::{order, unique},
    },
};
use reqwest::StatusCode;
use serde_json::json;
use std::time::{Duration, Instant};

const KILLS: u32 = 5;

/// Which processes still have a file of this folder in their arguments or as their working folder.
fn left_over(folder: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let ours = command.contains(folder) || cwd.starts_with(folder);
        (ours && pid != std::process::id()).then(|| format!("{pid} {command}"))
    });
    processes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_survives_five_kills_at_random_moments() {
    let seed: u64 =
        std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}: repeat with WAYBILL_TEST_SEED={seed}");
    let mut app = TestApp::start("crash").await;
    import(&app, STOCK, &[]).await;
    let mut random = seed;
    for _ in 0..KILLS {
        // Xorshift: a moment between 50 ms and 1 s into the import.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let importing = app
            .command(&["import", ORDERS, "--rejects", "/dev/null"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50 + random % 950)).await;
        app.kill_9().await;
        drop(importing);
        app.run().await;
    }
    let table = import(&app, ORDERS, &["--wait"]).await;
    assert_eq!(figure(&table, "orders accepted now") + figure(&table, "orders accepted before"), VALID, "{table}");
    assert_eq!(figure(&table, "completed") + figure(&table, "cancelled"), VALID, "{table}");
    assert_ended(&app).await;
    app.assert_verified().await;
    app.stop().await;
    let left = left_over(&app.folder.display().to_string());
    assert!(left.is_empty(), "left over: {left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_taken_while_the_payment_provider_is_down_and_complete_when_it_is_back() {
    let app = TestApp::start("provider-down").await;
    let sku = unique("sku");
    app.client.receive(&sku, 100).await;
    app.client.control("payment", json!({"mode": "down"})).await;
    let mut placed = Vec::new();
    for _ in 0..20 {
        let answer = app.client.post("shop", "/v1/orders", &order(&sku, 1, "tok_ok")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        placed.push(answer.body["order_id"].as_str().unwrap().to_owned());
    }
    // Long enough for retries to be seen, and for the breaker to open.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let waiting = "query { sagas(where: {step: \"authorize_payment\"}) { totalCount nodes { state waitingOn } } }";
    let (since, all) = (Instant::now(), vec![json!({"state": "WAITING", "waitingOn": "payment"}); placed.len()]);
    loop {
        let data = app.client.graphql("operator", waiting, json!({})).await;
        if data["sagas"] == json!({"totalCount": placed.len(), "nodes": all}) {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{data}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    app.client.control("payment", json!({"mode": "ok"})).await;
    for id in &placed {
        let answer = app.client.get("shop", &format!("/v1/orders/{id}?wait=60")).await;
        assert_eq!(answer.body["status"], "COMPLETED", "{}", answer.body);
        assert_eq!(app.client.ledger("payment", id).await, ["authorize", "capture"]);
    }
    app.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_graceful_and_a_second_start_goes_on_with_the_same_data() {
    let mut app = TestApp::start("restart").await;
    let sku = unique("sku");
    app.client.receive(&sku, 5).await;
    let before = app.client.order_to_its_end(&order(&sku, 1, "tok_ok")).await;
    let keys = app.client.keys.clone();
    app.stop().await;
    assert!(left_over(&app.folder.display().to_string()).is_empty());
    assert!(!app.data_dir().join("run.json").exists());
    app.run().await;
    assert_eq!(app.client.keys, keys);
    // The read model shows its end since before, and nothing else has happened: whoever waits for it is answered at once.
    let id = before.body["order_id"].as_str().unwrap();
    let asked = Instant::now();
    let after = app.client.get("shop", &format!("/v1/orders/{id}?wait=60")).await;
    assert_eq!(after.body["status"], "COMPLETED", "{}", text(after.body.to_string().as_bytes()));
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    app.assert_verified().await;
}
