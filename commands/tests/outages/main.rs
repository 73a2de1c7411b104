//! The API on a PostgreSQL that is cut off, frozen, held up or stopped: a client that repeats with the same key learns the truth, and
//! there is exactly one order.
#![expect(clippy::unwrap_used, reason = "a test panics when what it tests fails")]
mod app;

use app::{App, order};
use axum::http::StatusCode;
use eventstore::Limits;
use eventstore::testing::{PrivatePostgres, Stop, TestPostgres, Wire};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);
const SLACK: Duration = Duration::from_secs(20);

/// Impatient, so that the tests are not slow.
fn limits() -> Limits {
    Limits { queue_wait: Duration::from_millis(300), patience: Duration::from_millis(700), ..Limits::default() }
}

/// As a client does that was told to try again.
async fn repeat_until_told(app: &App, reference: &str) -> app::Answer {
    loop {
        let answer = app.place(reference).await;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            return answer;
        }
        assert_eq!(answer.body["code"], "unavailable");
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn assert_one_order(app: &App, reference: &str) {
    let first = repeat_until_told(app, reference).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{first:?}");
    let again = app.place(reference).await;
    assert_eq!((again.status, &again.body["order_id"]), (StatusCode::ACCEPTED, &first.body["order_id"]));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(app.count(reference).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_written_though_its_answer_was_lost_is_found_by_its_key() {
    let app = App::start(limits()).await;
    app.place("before").await;
    app.proxy.set(Wire::SwallowsAnswers);
    let since = Instant::now();
    let told = app.place("lost").await;
    assert!(since.elapsed() < limits().longest_answer() + SLACK);
    assert_eq!((told.status, told.headers["retry-after"].to_str().unwrap()), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert!(told.body["detail"].as_str().unwrap().contains("not known"), "{told:?}");
    assert_eq!(app.count("lost").await, 1, "it was written, the caller was told that it took too long");

    app.proxy.set(Wire::Carries);
    app.proxy.cut();
    assert_one_order(&app, "lost").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_cut_off_before_it_reached_the_server_is_placed_by_the_repeat() {
    let app = App::start(limits()).await;
    app.place("before").await;
    app.proxy.set(Wire::SwallowsCalls);
    let told = app.place("unheard").await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE, "{told:?}");
    assert_eq!(app.count("unheard").await, 0);
    app.proxy.set(Wire::Carries);
    app.proxy.cut();
    assert_one_order(&app, "unheard").await;
}

/// The server still works on it when the wire is cut: it is ended, made sure of, and sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_cut_off_during_its_commit_is_placed_once() {
    let app = App::start(Limits::default()).await;
    app.place("before").await;
    let held = app.hold_log().await;
    let placing = app.spawn_place("during");
    app.wait_until_one_waits().await;
    app.proxy.cut();
    // Sent again by itself.
    tokio::time::sleep(Duration::from_millis(200)).await;
    app.wait_until_one_waits().await;
    held.rollback().await.unwrap();
    let placed = placing.await.unwrap();
    assert_eq!(placed.status, StatusCode::ACCEPTED, "{placed:?}");
    assert_one_order(&app, "during").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_frozen_wire_an_order_has_an_answer_in_time_and_its_truth_later() {
    let app = App::start(limits()).await;
    app.place("before").await;
    app.proxy.set(Wire::Frozen);
    let since = Instant::now();
    let told = app.place("frozen").await;
    assert!(since.elapsed() < limits().longest_answer() + SLACK);
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE, "{told:?}");
    assert!(told.headers.contains_key("retry-after"));
    app.proxy.set(Wire::Carries);
    assert_one_order(&app, "frozen").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_queues_bound_orders_are_answered_503_with_retry_after_and_all_others_are_placed() {
    let app = App::start(Limits { queue: 5, queue_wait: Duration::from_millis(300), ..Limits::default() }).await;
    app.place("before").await;
    let held = app.hold_log().await;
    let since = Instant::now();
    let refs: Vec<String> = (0..20).map(|n| format!("order-{n}")).collect();
    let pending: Vec<_> = refs.iter().map(|reference| app.spawn_place(reference)).collect();
    app.wait_until_one_waits().await;
    while pending.iter().filter(|each| each.is_finished()).count() < 15 {
        assert!(since.elapsed() < SLACK, "they are told in time");
        tokio::time::sleep(PAUSE).await;
    }
    held.rollback().await.unwrap();
    let mut placed = 0;
    for each in pending {
        let answer = each.await.unwrap();
        match answer.status {
            StatusCode::ACCEPTED => placed += 1,
            StatusCode::SERVICE_UNAVAILABLE => {
                assert_eq!(
                    (&answer.body["code"], &answer.headers["retry-after"]),
                    (&"unavailable".into(), &"1".parse().unwrap())
                );
            }
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!(placed, 5, "who had a place");
    for reference in &refs {
        assert_one_order(&app, reference).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_stopped_orders_are_answered_503_and_placed_once_by_the_repeat() {
    let server = PrivatePostgres::start(None).await.unwrap();
    let app = App::on(server.database().await, limits()).await;
    app.place("before").await;
    for how in [Stop::Fast, Stop::Immediate, Stop::Kill] {
        let reference = format!("{how:?}");
        server.stop(how).await;
        let since = Instant::now();
        let told = app.place(&reference).await;
        assert!(since.elapsed() < Limits::default().longest_answer() + SLACK);
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE, "{told:?}");
        assert!(told.headers.contains_key("retry-after"));
        server.up().await;
        assert_one_order(&app, &reference).await;
    }
}

impl App {
    async fn start(limits: Limits) -> App {
        App::on(TestPostgres::shared().await.database().await, limits).await
    }

    async fn place(&self, reference: &str) -> app::Answer {
        app::post(self.router.clone(), self.key.clone(), reference.to_owned(), order(reference)).await
    }

    fn spawn_place(&self, reference: &str) -> tokio::task::JoinHandle<app::Answer> {
        tokio::spawn(app::post(self.router.clone(), self.key.clone(), reference.to_owned(), order(reference)))
    }
}
