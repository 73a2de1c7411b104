//! What operators ask of sagas on the command line: of one, and of all that a filter finds.
use crate::support::{
    app::{TestApp, text},
    client::{order, unique},
};
use serde_json::{Value, json};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

/// Until the read model shows it: generous.
const SOON: Duration = Duration::from_secs(60);
/// What a batch of all incidents is asked with.
const DECLINED: [&str; 4] = ["--state", "paused", "--cause", "capture_declined"];

async fn asked(app: &TestApp, args: &[&str]) -> (Option<i32>, String, String) {
    let output = app.waybill(&[&["sagas"], args].concat()).await;
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Places orders whose money can't be taken after their goods have left; the read model shows as many incidents. Their references.
async fn incidents(app: &TestApp, count: usize) -> Vec<String> {
    let sku = unique("sku");
    app.client.receive(&sku, 1_000).await;
    let mut references = Vec::new();
    for _ in 0..count {
        let body = order(&sku, 1, "tok_decline_on_capture");
        assert!(app.client.post("shop", "/v1/orders", &body).await.status.is_success());
        references.push(body["order_ref"].as_str().unwrap().to_owned());
    }
    until(app, "PAUSED", &references).await;
    references
}

/// Waits until the sagas of all of these are in this state.
async fn until(app: &TestApp, state: &str, references: &[String]) {
    let query = "query($ref: String!) { order(ref: $ref) { saga { state } } }";
    let since = Instant::now();
    for reference in references {
        loop {
            let found = app.client.graphql("support", query, json!({"ref": reference})).await;
            if found["order"]["saga"]["state"] == state {
                break;
            }
            assert!(since.elapsed() < SOON, "{reference} does not come to be {state}: {found}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What stands beside `name` in the table at a batch's end.
fn figure(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find(|line| line.trim_start().starts_with(name))?;
    line.split_whitespace().last()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_ask_one_saga_or_many() {
    let app = TestApp::start("operators").await;
    a_batch_is_tried_out_asked_about_and_done(&app).await;
    a_refusal_is_counted_by_its_reason_and_the_others_go_on(&app).await;
    a_batch_that_is_stopped_says_how_far_it_came_and_goes_on(&app).await;
    one_saga_is_asked_by_any_name(&app).await;
    app.assert_verified().await;
}

async fn a_batch_is_tried_out_asked_about_and_done(app: &TestApp) {
    let references = incidents(app, 5).await;
    let skip = [&["skip"], &DECLINED[..], &["--reason", "paid by transfer", "--evidence", "statement 117"]].concat();
    let (code, told, _) = asked(app, &[&skip[..], &["--dry-run"]].concat()).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("skip 5 sagas, tried out:") && told.contains("5 × will complete the order"), "{told}");

    let (code, told, question) = asked(app, &skip).await;
    assert_eq!((code, told.as_str()), (Some(2), ""), "nobody is there to be asked");
    assert!(question.contains("5 × will complete the order") && question.contains("--yes"), "{question}");
    until(app, "PAUSED", &references).await;

    let (code, told, _) = asked(app, &[&skip[..], &["--yes", "--limit", "2"]].concat()).await;
    assert_eq!((code, figure(&told, "done")), (Some(0), Some(2)), "{told}");
    assert!(told.contains("3 more were found"), "{told}");
    until(app, "COMPLETED", &references[..2]).await;
    let (code, told, errors) = asked(app, &[&skip[..], &["--yes", "--json"]].concat()).await;
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}{errors}"));
    assert_eq!((code, &told["done"], &told["refused"]), (Some(0), &json!(3), &json!([])), "{told}");
    until(app, "COMPLETED", &references).await;
    let (code, told, _) = asked(app, &[&skip[..], &["--yes"]].concat()).await;
    assert_eq!((code, told.trim()), (Some(0), "there are none"));
    let shown = text(&app.waybill(&["trace", &references[0]]).await.stdout);
    assert!(!shown.contains("statement 117"), "what was written lies sealed: {shown}");
}

async fn a_refusal_is_counted_by_its_reason_and_the_others_go_on(app: &TestApp) {
    let references = incidents(app, 3).await;
    let (code, told, _) = asked(app, &["pause", &references[1], "--reason", "looked at"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("done: it is PAUSED at capture_payment"), "{told}");
    let (code, told, _) = asked(app, &["pause", &references[1], "--reason", "looked at again"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("unchanged"), "{told}");

    let named: Vec<&str> = references.iter().map(String::as_str).collect();
    let all = [&["resume"], &named[..], &["--reason", "go on", "--yes"]].concat();
    let (code, told, _) = asked(app, &all).await;
    assert_eq!((code, figure(&told, "done"), figure(&told, "refused")), (Some(1), Some(1), Some(2)), "{told}");
    assert_eq!(
        figure(&told, "the saga is PAUSED; only one that an operator has paused can be resumed"),
        Some(2),
        "{told}"
    );
    let (code, told, _) = asked(app, &[&["compensate"], &DECLINED[..], &["--reason", "x", "--yes"]].concat()).await;
    assert_eq!((code, figure(&told, "refused")), (Some(1), Some(3)), "{told}");
    assert_eq!(figure(&told, "the goods have left; what comes back is a return"), Some(3), "{told}");
}

async fn a_batch_that_is_stopped_says_how_far_it_came_and_goes_on(app: &TestApp) {
    let references = incidents(app, 3).await;
    let batch = "0192f0c1-0000-7000-8000-000000000001";
    let mut args = vec!["sagas", "skip", "--evidence", "statement 117", "--reason", "paid", "--yes", "--batch", batch];
    args.extend(references.iter().map(String::as_str));
    let mut command = app.command(&[&args[..], &["--rate", "1"]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(app, "COMPLETED", &references[..1]).await;
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}{}", text(&output.stderr));
    let (done, left) = (figure(&told, "done").unwrap(), figure(&told, "not asked").unwrap());
    assert!(done >= 1 && left >= 1 && done + left == 3, "{told}");
    assert!(told.contains(&format!("--batch {batch} goes on")), "{told}");

    let (code, told, _) = asked(app, &args[1..]).await;
    assert_eq!((code, figure(&told, "done"), figure(&told, "refused")), (Some(0), Some(3), Some(0)), "{told}");
    until(app, "COMPLETED", &references).await;
    let query = "query($ref: String!) { order(ref: $ref) { timeline(first: 200) { nodes { type } } } }";
    for reference in &references {
        let found = app.client.graphql("support", query, json!({"ref": reference})).await;
        let nodes = found["order"]["timeline"]["nodes"].as_array().unwrap().clone();
        assert_eq!(nodes.iter().filter(|node| node["type"] == "StepSkipped").count(), 1, "{reference}: {nodes:?}");
    }
    let other = ["skip", "--evidence", "another", "--reason", "paid", "--batch", batch, &references[0]];
    let (code, _, errors) = asked(app, &other).await;
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("begun with other words"), "{errors}");
}

async fn one_saga_is_asked_by_any_name(app: &TestApp) {
    let references = incidents(app, 2).await;
    let query = "query($ref: String!) { order(ref: $ref) { id saga { id } } }";
    let found = app.client.graphql("support", query, json!({"ref": references[0]})).await;
    let (id, saga) = (found["order"]["id"].as_str().unwrap(), found["order"]["saga"]["id"].as_str().unwrap());
    for name in [saga, id, &references[0]] {
        let (code, told, errors) = asked(app, &["retry", name, "--reason", "x", "--dry-run"]).await;
        assert_eq!(code, Some(0), "{told}{errors}");
        assert!(told.starts_with(saga) && told.contains("will capture 9.80 USD and complete the order"), "{told}");
    }
    let (code, told, _) = asked(app, &["retry", id, "--reason", "x", "--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["saga"], &told["outcome"]["is"]), (Some(0), &json!(saga), &json!("done")));

    let done = ["mark-done", &references[1], "--reason", "in the console", "--reference", "cap_9"];
    assert_eq!(asked(app, &done).await.0, Some(0));
    until(app, "COMPLETED", &references[1..]).await;
    let (code, told, _) = asked(app, &done).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("refused: the saga has ended"), "{told}");

    for (args, code) in [
        (&["retry", "no-such-order", "--reason", "x"][..], 1),
        (&["retry", "sag_0192f0c1000070008000000000000001", "--reason", "x"], 1),
        (&["retry", "--reason", "x"], 2),
        (&["retry", id, "--state", "paused", "--reason", "x"], 2),
        (&["retry", id], 2),
        (&["skip", id, "--reason", "x"], 2),
        (&["mark-done", id, "--reason", "x"], 2),
        (&["pause", id, "--reason", ""], 2),
        (&["pause", "--overdue", "--reason", "x", "--rate", "0"], 2),
    ] {
        assert_eq!(asked(app, args).await.0, Some(code), "{args:?}");
    }
}
