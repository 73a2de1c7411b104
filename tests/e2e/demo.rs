//! `waybill demo`: what it tells, that it is true, and that it leaves the providers as they should behave, however it ends.
use crate::support::app::{TestApp, shared, text};
use serde_json::{Value, json};
use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

const SMALL: [&str; 5] = ["demo", "--orders", "80", "--seconds", "8"];
/// Until something is so: generous.
const SOON: Duration = Duration::from_secs(60);

async fn mode(app: &TestApp, provider: &str) -> Value {
    let answer = reqwest::get(format!("{}/control", app.client.url(provider))).await.unwrap();
    answer.json::<Value>().await.unwrap()["mode"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_plays_to_its_end_and_what_it_tells_is_so() {
    let app = TestApp::start("demo").await;
    let output = app.waybill(&SMALL).await;
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", text(&output.stderr));
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in [
        "32 orders placed, 32 completed",
        "p50",
        "the breaker opened",
        "32 orders accepted meanwhile, none refused",
        "wait at authorize_payment",
        "The provider was asked",
        "it is CANCELLING",
        "32 orders had waited; the queue was empty",
        "The cancelled one is CANCELLED",
        "It is an incident now: capture_declined, at capture_payment",
        "a dry run answers: \"will complete the order\"",
        "The order is COMPLETED",
        "A parcel comes back",
        "16.50 USD",
        "orders placed 80",
        "completed 79",
        "cancelled 1",
        "captured 78",
        "refunded 1",
        "Each order once, by the providers' own ledgers: none of 80 was charged or shipped twice",
        "waybill trace demo-",
    ] {
        assert!(words.contains(sentence), "it does not say \"{sentence}\":\n{told}");
    }
    assert!(!told.contains('\x1b'), "no colours where there is no terminal");
    assert!(told.lines().filter(|line| !line.starts_with("  ")).all(|line| line.chars().count() <= 96), "{told}");
    assert_eq!((mode(&app, "payment").await, mode(&app, "shipping").await), (json!("ok"), json!("ok")));
    app.assert_verified().await;

    // The first command that it names works.
    let trace = told.lines().find_map(|line| line.trim().strip_prefix("waybill trace ")).unwrap();
    let output = app.waybill(&["trace", trace.split_whitespace().next().unwrap()]).await;
    assert!(text(&output.stdout).contains("COMPLETED"), "{}{}", text(&output.stdout), text(&output.stderr));

    // Stopped in the midst of the outage.
    let mut command = app.command(&["demo", "--orders", "200", "--seconds", "15"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let since = Instant::now();
    while mode(&app, "payment").await != "down" {
        assert!(since.elapsed() < SOON, "it breaks nothing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("Stopped. The providers answer again"), "{}", text(&output.stdout));
    assert_eq!(mode(&app, "payment").await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_says_how_to_start_one_and_it_breaks_no_provider_but_a_simulator() {
    let app = shared().await;
    let folder = tempfile::tempdir().unwrap();
    let demo = async || {
        let mut command = tokio::process::Command::new(crate::support::app::EXE);
        command.args(["demo", "--data-dir"]).arg(folder.path()).env_remove("WAYBILL_HTTP_ADDR");
        let output = command.output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
        text(&output.stderr)
    };
    let told = demo().await;
    assert!(told.contains("no `waybill up` runs on") && told.contains("start one"), "{told}");

    fs::copy(app.data_dir().join("dev-keys.json"), folder.path().join("dev-keys.json")).unwrap();
    let mut run: Value = serde_json::from_slice(&fs::read(app.data_dir().join("run.json")).unwrap()).unwrap();
    // Somebody's server, which answers, but is no simulator.
    run["payment"] = run["http"].clone();
    fs::write(folder.path().join("run.json"), run.to_string()).unwrap();
    let told = demo().await;
    assert!(told.contains("is not a simulator of ours"), "{told}");
}
