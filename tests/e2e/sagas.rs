//! `waybill sagas` against a running server, and what the metrics say of the same sagas.
use crate::support::{
    app::{TestApp, shared, text},
    client::{order, unique},
};
use serde_json::{Value, json};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

/// Until the read model shows it: generous.
const SOON: Duration = Duration::from_secs(30);

/// An order whose money could not be taken after its goods had left; the read model shows it.
async fn incident(app: &TestApp) -> Value {
    let sku = unique("sku");
    app.client.receive(&sku, 1).await;
    let placed = order(&sku, 1, "tok_decline_on_capture");
    let answer = app.client.post("shop", "/v1/orders", &placed).await;
    let id = answer.body["order_id"].as_str().unwrap();
    let query = "query($id: ID!) { order(id: $id) { id ref saga { id state } } }";
    let since = Instant::now();
    loop {
        let found = app.client.graphql("support", query, json!({"id": id})).await;
        if found["order"]["saga"]["state"] == "PAUSED" {
            return found["order"].clone();
        }
        assert!(since.elapsed() < SOON, "it does not pause: {found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn sagas(app: &TestApp, args: &[&str]) -> (Option<i32>, String) {
    let output = app.waybill(&[&["sagas"], args].concat()).await;
    (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_listed_shown_and_found_in_its_group() {
    let app = shared().await;
    let order = incident(app).await;
    let (saga, id, order_ref) =
        (order["saga"]["id"].as_str().unwrap(), order["id"].as_str().unwrap(), order["ref"].as_str().unwrap());

    let (code, told) =
        sagas(app, &["list", "--state", "paused", "--cause", "capture_declined", "--limit", "10000"]).await;
    assert_eq!(code, Some(0), "{told}");
    let line = told.lines().find(|line| line.starts_with(saga)).unwrap_or_else(|| panic!("{told}"));
    for part in [order_ref, "PAUSED", "capture_payment", "operator", "capture_declined"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let (_, told) = sagas(app, &["list", "--state", "paused", "--waiting-on", "payment"]).await;
    assert_eq!(told.trim(), "there are none");
    let (_, told) = sagas(app, &["list", "--waiting-longer", "0", "--limit", "1", "--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["sagas"].as_array().unwrap().len(), 1);
    assert!(told["total"].as_u64() >= Some(1), "{told}");

    for name in [saga, id, order_ref] {
        let (code, told) = sagas(app, &["show", name]).await;
        assert_eq!(code, Some(0), "{told}");
        for part in
            [saga, "capture_declined", "waits for  operator", "remains    capture payment, then complete", "placed"]
        {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }
    let (_, told) = sagas(app, &["show", saga, "--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["saga"]["id"], &told["history"][0]["type"]), (&json!(saga), &json!("OrderPlaced")));
    for nothing in ["sag_00000000000000000000000000", "ord_00000000000000000000000000", "no-such-ref"] {
        assert_eq!(sagas(app, &["show", nothing]).await.0, Some(1), "{nothing}");
    }

    let (code, told) = sagas(app, &["incidents"]).await;
    assert_eq!(code, Some(1), "{told}");
    let command =
        "waybill sagas list --state paused --step capture_payment --direction forward --cause capture_declined";
    assert!(told.contains(command), "{told}");
    let args: Vec<&str> = command.split(' ').skip(2).collect();
    let (_, listed) = sagas(app, &[&args[..], &["--limit", "10000"]].concat()).await;
    assert!(listed.contains(saga), "the command that is told finds it: {listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_only_the_head_of_a_list_causes_no_fault() {
    let app = shared().await;
    incident(app).await;
    let mut command = app.command(&["sagas", "list", "--state", "paused"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_meant_is_refused() {
    let app = shared().await;
    for args in [
        &["list", "--state", "asleep"][..],
        &["list", "--limit", "0"],
        &["list", "--limit", "10001"],
        &["list", "--waiting-longer", "-1"],
        &["show"],
    ] {
        assert_eq!(sagas(app, args).await.0, Some(2), "{args:?}");
    }
}

/// The value of the first series of this metric with all of these labels.
fn metric(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let of = |line: &&str| line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label));
    metrics.lines().find(of)?.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_counted_for_whoever_watches_the_metrics() {
    let app = shared().await;
    incident(app).await;
    let since = Instant::now();
    loop {
        let metrics = app.client.get("none", "/metrics").await.body;
        let metrics = metrics.as_str().unwrap();
        let incidents =
            metric(metrics, "waybill_incidents", &[r#"step="capture_payment""#, r#"cause="capture_declined""#]);
        let paused = metric(metrics, "waybill_sagas", &[r#"step="capture_payment""#, r#"state="PAUSED""#]);
        if incidents >= Some(1.0) && paused >= Some(1.0) {
            let overdue =
                metric(metrics, "waybill_sagas_overdue", &[r#"step="capture_payment""#, r#"waiting_on="operator""#]);
            assert_eq!(overdue, Some(0.0), "an incident is not overdue");
            return;
        }
        assert!(since.elapsed() < SOON, "{incidents:?} {paused:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
