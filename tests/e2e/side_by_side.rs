//! The last release's whole `up` beside this tree's roles in processes of their own, on one PostgreSQL and one Kafka that belong to neither:
//! orders are taken at both, and when the last release goes, or freezes, ours take over whatever it did.
//!
//! `scripts/side-by-side` builds the last release, names its program in `WAYBILL_BEFORE` and runs these.
use crate::support::{
    app::TestApp,
    fleet::Fleet,
    trade::{Trade, slots, until_dealt, until_ended},
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long orders are placed before and after.
const A_WHILE: Duration = Duration::from_secs(10);
/// Its slots have other owners by then.
const TAKEOVER: Duration = Duration::from_secs(10);
/// Until the read model is driven by ours: generous.
const SOON: Duration = Duration::from_secs(30);

enum Going {
    /// It says goodbye: its slots are free at once.
    Stopped,
    /// Its leases run out.
    Killed,
    /// They run out as well; then it thaws, and finds that others do what it did.
    Frozen,
}

async fn projections(app: &TestApp) -> Value {
    app.client.get("none", "/readyz").await.body["checks"]["projections"].clone()
}

async fn goes(going: Going) {
    let before = std::env::var_os("WAYBILL_BEFORE").expect("WAYBILL_BEFORE: the last release's program");
    let Some(fleet) = Fleet::start("side-by-side").await else { return };
    // Its schema is the older one. It runs when ours migrate it.
    let mut last = fleet.join_program(before.into(), "last-release", &[]).await;
    let api = fleet.join("api").await;
    let relay = fleet.join("relay").await;
    let read = fleet.join("projections").await;
    let (one, two) = (fleet.join("sagas").await, fleet.join("sagas").await);
    let trade = Trade::begin(&[&last, &api]).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(slots(&api, &fleet).await, (vec![0, 0, 256], 0), "whoever came first holds all, and ours wait");
    println!("beside it, ours say of the read model: {}", projections(&read).await);
    // Whoever of them drove the read model meanwhile: its rows are what a replay makes.
    fleet.assert_verified(&api).await;

    trade.at(&[&api]);
    let since = Instant::now();
    match going {
        Going::Stopped => last.stop().await,
        Going::Killed => last.kill_9().await,
        Going::Frozen => last.freeze(),
    }
    let gone = since.elapsed();
    until_dealt(&api, &fleet, 2, TAKEOVER).await;
    println!("it was gone after {gone:?}, its slots had other owners after {:?}", since.elapsed());
    tokio::time::sleep(A_WHILE).await;
    if matches!(going, Going::Frozen) {
        last.thaw();
        tokio::time::sleep(A_WHILE).await;
        until_dealt(&api, &fleet, 2, TAKEOVER).await;
        last.stop().await;
    }
    let placed = trade.end().await;
    assert!(placed.len() > 40, "only {} orders were placed", placed.len());
    until_ended(&placed, &api, &one).await;
    let since = Instant::now();
    while projections(&read).await != serde_json::json!({"status": "ok"}) {
        assert!(since.elapsed() < SOON, "ours do not drive the read model: {}", projections(&read).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{} orders", placed.len());
    fleet.assert_verified(&api).await;
    for mut app in [one, two, read, relay, api] {
        app.stop().await;
    }
    fleet.stop().await;
}

#[ignore = "needs the last release: scripts/side-by-side"]
#[tokio::test(flavor = "multi_thread")]
async fn the_last_release_is_stopped_and_the_roles_take_over() {
    goes(Going::Stopped).await;
}

#[ignore = "needs the last release: scripts/side-by-side"]
#[tokio::test(flavor = "multi_thread")]
async fn the_last_release_is_killed_and_the_roles_take_over() {
    goes(Going::Killed).await;
}

#[ignore = "needs the last release: scripts/side-by-side"]
#[tokio::test(flavor = "multi_thread")]
async fn the_last_release_is_frozen_and_thaws_when_the_roles_have_taken_over() {
    goes(Going::Frozen).await;
}
