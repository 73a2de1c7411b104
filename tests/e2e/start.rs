//! What a start meets: a folder in use, a port in use, a newer version, no Java; one clear line each.
use crate::support::{
    app::{EXE, TestApp, shared, text},
    client::{order, unique},
};
use std::process::{Command, Output};

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
