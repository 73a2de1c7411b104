//! What a start meets: a folder in use, a port in use, a newer version, no Java; one clear line each.
use crate::support::{
    app::{EXE, TestApp, shared, text},
    client::{order, unique},
};
use reqwest::StatusCode;
use sqlx::{Connection, PgConnection};
use std::{
    process::{Command, Output},
    time::Duration,
};

fn up(data_dir: &std::path::Path, more: &[&str]) -> Output {
    let mut command = Command::new(EXE);
    command.args(["up", "--http-addr", "127.0.0.1:0", "--data-dir"]).arg(data_dir).args(more);
    command.env("WAYBILL_LOG", "off").output().unwrap()
}

fn one_line(output: &Output) -> String {
    let error = text(&output.stderr);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("waybill: "), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_up_on_one_folder_says_so_in_one_line() {
    let app = shared().await;
    let output = up(&app.data_dir(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(one_line(&output).contains("another waybill is running"), "{}", one_line(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_and_nothing_is_left() {
    let app = shared().await;
    let folder = tempfile::tempdir().unwrap();
    let taken = app.client.url("http").trim_start_matches("http://");
    let mut command = Command::new(EXE);
    command.args(["up", "--http-addr", taken, "--data-dir"]).arg(folder.path().join("data")).env("WAYBILL_LOG", "off");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(one_line(&output).contains(taken), "{}", one_line(&output));
    assert!(!folder.path().join("data/postgres").exists());
}

#[test]
fn a_folder_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("version"), "999\n").unwrap();
    let output = up(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(one_line(&output).contains("newer"), "{}", one_line(&output));
}

/// A port on loopback where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_it_waits_says_so_and_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let addr = nobody();
    let mut command = tokio::process::Command::new(EXE);
    command.args(["up", "--http-addr", &addr, "--data-dir"]).arg(folder.path().join("data")).kill_on_drop(true);
    command.env("DATABASE_URL", format!("postgres://waybill@{}/waybill", nobody())).env("KAFKA_BROKERS", nobody());
    let mut up = command.env("WAYBILL_LOG", "off").spawn().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ready = async || {
        let answer = client.get(format!("http://{addr}/readyz")).send().await.ok()?;
        let status = answer.status();
        Some((status, answer.text().await.ok()?))
    };
    let since = std::time::Instant::now();
    let said = loop {
        match ready().await {
            Some((status, text)) if text.contains("waiting for PostgreSQL:") => break (status, text),
            seen => assert!(since.elapsed() < Duration::from_secs(30), "{seen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(said.0, StatusCode::SERVICE_UNAVAILABLE, "{}", said.1);
    let order = client.post(format!("http://{addr}/v1/orders")).send().await.unwrap();
    assert_eq!(order.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(order.headers().contains_key("retry-after"));
    let problem: serde_json::Value = order.json().await.unwrap();
    assert_eq!(problem["code"], "unavailable");
    let pid = up.id().unwrap().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(10), up.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_it_is_degraded_and_orders_complete() {
    let kafka = nobody();
    let app = TestApp::start_with("no-kafka", &[("KAFKA_BROKERS", &kafka)]).await;
    let sku = unique("sku");
    app.client.receive(&sku, 5).await;
    let answer = app.client.order_to_its_end(&order(&sku, 2, "tok_ok")).await;
    assert_eq!(answer.body["status"], "COMPLETED", "{}", answer.body);
    let ready = app.client.get("shop", "/readyz").await;
    assert_eq!(
        (ready.status, &ready.body["status"]),
        (StatusCode::OK, &serde_json::json!("degraded")),
        "{}",
        ready.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_of_one_s_own_serves_as_well() {
    let ours = shared().await.client.url("postgres").to_owned();
    let name = unique("own").replace('-', "_");
    let mut connection = PgConnection::connect(&ours).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
    let url = format!("{}{name}", ours.strip_suffix("waybill").unwrap());
    let app = TestApp::start_with("own-postgres", &[("DATABASE_URL", &url)]).await;
    assert!(!app.data_dir().join("postgres").exists());
    let sku = unique("sku");
    app.client.receive(&sku, 5).await;
    let answer = app.client.order_to_its_end(&order(&sku, 2, "tok_ok")).await;
    assert_eq!(answer.body["status"], "COMPLETED", "{}", answer.body);
    app.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_java_the_main_path_works_on_the_stand_in() {
    let app = TestApp::start_with("no-java", &[("PATH", "/usr/bin-without-java"), ("JAVA_HOME", "/nowhere")]).await;
    assert_eq!(app.client.run["kafka_in_process"], true);
    let sku = unique("sku");
    app.client.receive(&sku, 5).await;
    let answer = app.client.order_to_its_end(&order(&sku, 2, "tok_ok")).await;
    assert_eq!(answer.body["status"], "COMPLETED", "{}", answer.body);
    app.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_in_process_participants_keep_ledgers_of_their_own() {
    let app = TestApp::start_with("in-process", &[("WAYBILL_PARTICIPANTS", "in-process")]).await;
    let sku = unique("sku");
    app.client.receive(&sku, 5).await;
    let answer = app.client.order_to_its_end(&order(&sku, 2, "tok_ok")).await;
    assert_eq!(answer.body["status"], "COMPLETED", "{}", answer.body);
    assert!(app.client.run["payment"].is_null());
}
