//! Every role in processes of its own, killed, frozen, added and removed under load: no step twice in effect, every order ends, all agree.
use crate::support::{
    app::{EXE, TestApp, text},
    client::{order, unique},
    fleet::Fleet,
    random::{Random, seed},
    trade::{Trade, slots, until_dealt, until_ended},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A random fault at a random process, again and again, while orders are placed.
async fn chaos(name: &str, faults: usize) {
    let Some(fleet) = Fleet::start(name).await else { return };
    let mut random = Random::new(seed());
    // The first brings the schema and the shop.
    let first = fleet.join("api").await;
    let mut apis = vec![first, fleet.join("api").await];
    let mut workers = Vec::new();
    for role in ["relay", "relay", "projections", "projections", "sagas", "sagas", "sagas"] {
        workers.push((role, fleet.join(role).await));
    }
    until_dealt(&apis[0], &fleet, 3, Duration::from_secs(30)).await;
    let trade = Trade::begin(&Vec::from_iter(&apis)).await;
    for fault in 0..faults {
        tokio::time::sleep(Duration::from_millis(500 + random.below(2500) as u64)).await;
        let at = random.below(workers.len() + apis.len());
        let what = ["kill", "freeze", "stop and start", "add and remove"][random.below(4)];
        let (role, app) = match workers.get_mut(at) {
            Some((role, app)) => (*role, app),
            None => ("api", &mut apis[at - 7]),
        };
        println!("{fault}: {what} {role}");
        match what {
            "kill" => {
                app.kill_9().await;
                app.run().await;
            }
            "freeze" => {
                app.freeze();
                tokio::time::sleep(Duration::from_millis(1_000 + random.below(11_000) as u64)).await;
                app.thaw();
            }
            "stop and start" => {
                app.stop().await;
                app.run().await;
            }
            _ => {
                let mut another = fleet.join(role).await;
                tokio::time::sleep(Duration::from_millis(random.below(4_000) as u64)).await;
                another.stop().await;
            }
        }
        trade.at(&Vec::from_iter(&apis));
    }
    let placed = trade.end().await;
    assert!(placed.len() > faults, "only {} orders were placed", placed.len());
    until_ended(&placed, &apis[0], &workers[6].1).await;
    println!("{} orders", placed.len());
    until_dealt(&apis[0], &fleet, 3, Duration::from_secs(30)).await;
    fleet.assert_verified(&apis[0]).await;
    for mut app in workers.into_iter().map(|(_, app)| app).chain(apis) {
        app.stop().await;
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_processes_are_killed_frozen_added_and_removed_and_every_order_ends_once() {
    chaos("chaos", 6).await;
}

#[ignore = "takes minutes: scripts/slow-tests"]
#[tokio::test(flavor = "multi_thread")]
async fn slow_nine_processes_and_sixty_faults() {
    chaos("slow-chaos", 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_placed_at_one_process_is_waited_for_there_while_others_do_the_work() {
    let Some(fleet) = Fleet::start("wait").await else { return };
    let api = fleet.join("api").await;
    let (relay, sagas) = (fleet.join("relay").await, fleet.join("sagas").await);
    let sku = unique("sku");
    api.client.receive(&sku, 100).await;
    // Nobody keeps the read model up: the order ends, and what a reader would see doesn't say so yet.
    let wait = |seconds: u32| {
        let request =
            api.client.request("shop", Method::POST, "/v1/orders").header("prefer", format!("wait={seconds}"));
        request.header("idempotency-key", unique("key")).json(&order(&sku, 1, "tok_ok"))
    };
    let answer = api.client.send(wait(2)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let projections = fleet.join("projections").await;
    let answer = api.client.send(wait(30)).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("COMPLETED")), "{}", answer.body);
    let id = answer.body["order_id"].as_str().unwrap();
    let query = "query($id: ID!) { order(id: $id) { status } }";
    let shown = api.client.graphql("support", query, json!({"id": id})).await;
    assert_eq!(shown["order"]["status"], "COMPLETED", "whoever was answered 200 reads it so");

    // Where much comes at once the connections stand; who does one thing after another has a few.
    for (app, least, most) in [(&api, 16, 16), (&sagas, 16, 16), (&relay, 1, 8), (&projections, 1, 8)] {
        let names = ["in_use", "idle"].map(|state| format!("waybill_pool_connections{{state=\"{state}\"}}"));
        let open: f64 = app.client.metrics(&names.each_ref().map(String::as_str)).await.unwrap().iter().sum();
        assert!((f64::from(least)..=f64::from(most)).contains(&open), "{open} connections, not {least} to {most}");
    }

    // What a process isn't for is not there.
    assert_eq!(relay.client.get("shop", "/v1/orders/x").await.status, StatusCode::NOT_FOUND);
    assert_eq!(sagas.client.get("shop", "/graphql").await.status, StatusCode::NOT_FOUND);

    for mut app in [relay, sagas, projections, api] {
        app.stop().await;
    }
    fleet.stop().await;
}

/// Orders go on to their end at the same pace, owners keep their slots; the API is degraded, relay and sagas by themselves are not ready. Once
/// Kafka is back, it hears of all by itself.
async fn without_kafka(name: &str, away: Duration) {
    let Some(mut fleet) = Fleet::start(name).await else { return };
    let api = fleet.join("api,projections").await;
    let (relay, one, two) = (fleet.join("relay").await, fleet.join("sagas").await, fleet.join("sagas").await);
    let sku = unique("sku");
    api.client.receive(&sku, 100_000).await;
    until_dealt(&api, &fleet, 2, Duration::from_secs(30)).await;
    let ready = async |app: &TestApp| app.client.get("none", "/readyz").await;
    fleet.stop_kafka().await;
    let (since, mut placed) = (Instant::now(), 0);
    let mut told = false;
    while since.elapsed() < away || !told {
        assert!(since.elapsed() < away + Duration::from_secs(40), "nobody says that Kafka is away");
        let answer = api.client.order_to_its_end(&order(&sku, 1, "tok_ok")).await;
        assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("COMPLETED")), "{}", answer.body);
        assert_eq!(slots(&api, &fleet).await, (vec![128, 128], 0), "the owners keep their slots");
        placed += 1;
        let (relay, sagas) = (ready(&relay).await, ready(&one).await);
        told = relay.status != StatusCode::OK && sagas.status != StatusCode::OK;
        let api = ready(&api).await;
        assert_eq!(api.status, StatusCode::OK, "orders are taken: {}", api.body);
        told &= api.body["status"] == "degraded";
    }
    let lag = relay.client.metric("waybill_relay_lag").await;
    assert!(lag.is_some_and(|lag| lag > 0.0), "{lag:?}");
    println!("{placed} orders in {:?} without Kafka", since.elapsed());
    fleet.start_kafka().await;
    // It waits for the relay, a minute at most.
    fleet.assert_verified(&api).await;
    let since = Instant::now();
    while ready(&relay).await.status != StatusCode::OK || ready(&one).await.status != StatusCode::OK {
        assert!(since.elapsed() < Duration::from_secs(40), "{}", ready(&relay).await.body);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for mut app in [relay, one, two, api] {
        app.stop().await;
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_orders_go_on_and_once_it_is_back_it_hears_of_all() {
    without_kafka("kafka-away", Duration::from_secs(10)).await;
}

#[ignore = "takes minutes: scripts/slow-tests"]
#[tokio::test(flavor = "multi_thread")]
async fn slow_two_minutes_without_kafka() {
    without_kafka("slow-kafka-away", Duration::from_secs(120)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_side_far_from_the_store_is_fed_by_kafka_alone() {
    let Some(mut fleet) = Fleet::start("replica").await else { return };
    let mut near = fleet.join("api,relay,sagas,projections").await;
    let database = fleet.database("far").await;
    let sku = unique("sku");
    near.client.receive(&sku, 100).await;
    let before = near.client.order_to_its_end(&order(&sku, 1, "tok_ok")).await.body;
    let mut far = fleet.join_with("replica,projections,api", &[("DATABASE_URL", &database)]).await;
    let during = near.client.order_to_its_end(&order(&sku, 2, "tok_decline")).await.body;
    let query = "query($id: ID!) { order(id: $id) { ref status total saga { state } timeline(first: 50) { nodes { position summary } } } }";
    let at =
        async |app: &TestApp, body: &Value| app.client.graphql("support", query, json!({"id": body["order_id"]})).await;
    for placed in [&before, &during] {
        let wanted = at(&near, placed).await;
        assert!(wanted["order"]["timeline"]["nodes"].as_array().unwrap().len() > 3, "{wanted}");
        let since = Instant::now();
        while at(&far, placed).await != wanted {
            assert!(since.elapsed() < Duration::from_secs(30), "{} for {wanted}", at(&far, placed).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    // Nothing is written there, whoever asks.
    let refused = far.client.post("shop", "/v1/orders", &order(&sku, 1, "tok_ok")).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let misused = tokio::process::Command::new(EXE)
        .args(["up", "--role", "api", "--http-addr", "127.0.0.1:0"])
        .env("DATABASE_URL", &database)
        .env("WAYBILL_DATA_DIR", far.folder.join("elsewhere"))
        .output()
        .await
        .unwrap();
    assert_eq!(misused.status.code(), Some(2), "{}", text(&misused.stderr));
    assert!(text(&misused.stderr).contains("a replica's copy of a log"), "{}", text(&misused.stderr));
    // What is there is verified there: the copy against itself and against Kafka, and the projections.
    for (arguments, looked_at) in [
        (&["verify"] as &[&str], &["positions", "checksums", "kafka", "projections"] as &[&str]),
        (&["verify", "--store"], &["positions", "checksums"]),
    ] {
        let output = far.command(arguments).env("DATABASE_URL", &database).output().await.unwrap();
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        let row = |check: &str| said.lines().rfind(|line| line.starts_with(check)).unwrap_or_else(|| panic!("{said}"));
        for check in looked_at {
            assert!(!row(check).contains("left out"), "{check}: {said}");
        }
        for check in ["balances", "claims", "timers", "sealed data", "leases"] {
            assert!(row(check).contains("left out"), "{check}: {said}");
        }
    }
    // Killed and gone on with, without the store, from Kafka alone.
    far.kill_9().await;
    let after = near.client.order_to_its_end(&order(&sku, 3, "tok_ok")).await.body;
    let wanted = at(&near, &after).await;
    let last: f64 = wanted["order"]["timeline"]["nodes"].as_array().unwrap().last().unwrap()["position"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let since = Instant::now();
    while near.client.metric("waybill_relay_position").await < Some(last) {
        assert!(since.elapsed() < Duration::from_secs(30), "Kafka does not hear of {last}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    near.stop().await;
    far.run().await;
    let since = Instant::now();
    while at(&far, &after).await != wanted {
        assert!(since.elapsed() < Duration::from_secs(30), "{} for {wanted}", at(&far, &after).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fleet.stop_kafka().await;
    assert_eq!(at(&far, &before).await["order"]["status"], "COMPLETED", "what it has can be read without Kafka");
    far.stop().await;
    fleet.stop().await;
}
