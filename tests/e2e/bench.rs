//! The benchmarks run, say what they measured in both forms, and leave nothing behind. How fast anything is, is no test's business.
use crate::support::app::{EXE, text};
use eventstore::testing::TestPostgres;
use serde_json::Value;
use sqlx::Row;
use std::process::Output;

async fn bench(url: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(EXE);
    command.arg("bench").args(args).env("DATABASE_URL", url).env("WAYBILL_DATA_DIR", folder.path().join("data"));
    command.output().await.unwrap()
}

/// The figures of the last line, by name.
fn figures(output: &Output) -> Vec<(String, f64)> {
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", text(&output.stderr));
    let last: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    let figures = last["figures"].as_array().unwrap().iter();
    figures.map(|figure| (figure["name"].as_str().unwrap().to_owned(), figure["value"].as_f64().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_benchmarks_measure_what_they_name_and_remove_their_databases() {
    let database = TestPostgres::shared().await.database().await;
    let output =
        bench(database.url(), &["append", "--appenders", "1,16", "--seconds", "0.2", "--repeats", "1", "--json"]).await;
    let appends = figures(&output);
    for lane in ["store", "plain"] {
        for appenders in [1, 16] {
            for (figure, at_most) in [("events_per_s", 10_000_000.0), ("p50_ms", 10_000.0), ("p99_ms", 10_000.0)] {
                let name = format!("append.{lane}.c{appenders}.{figure}");
                let value = appends.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no {name}")).1;
                assert!(value > 0.0 && value < at_most, "{name} is {value}");
            }
        }
    }

    let growth = bench(
        database.url(),
        &["growth", "--sizes", "2000", "--stream-length", "1000", "--seconds", "0.1", "--repeats", "1", "--json"],
    )
    .await;
    let growth = figures(&growth);
    assert!(growth.iter().any(|(name, _)| name == "append.store.n2000.c64.events_per_s"), "{growth:?}");
    assert!(growth.iter().any(|(name, _)| name == "growth.n2000.stream_of_1000.read_ms"), "{growth:?}");
    let codec = bench(database.url(), &["codec", "--seconds", "0.1", "--repeats", "1", "--json"]).await;
    assert_eq!(figures(&codec).len(), 12);

    let mirror = ["mirror", "--rate", "200", "--seconds", "1", "--backlog", "2000", "--repeats", "1", "--json"];
    let mirror = figures(&bench(database.url(), &mirror).await);
    for name in ["reader.p50_ms", "reader.p99_ms", "outsider.p99_ms", "catch_up.events_per_s", "catch_up.rss_mib"] {
        assert!(
            mirror.iter().any(|(known, value)| *known == format!("mirror.{name}") && *value > 0.0),
            "{name}: {mirror:?}"
        );
    }

    let waiting = ["waiting", "--sagas", "1500", "--seconds", "0.5", "--repeats", "1", "--json"];
    let waiting = figures(&bench(database.url(), &waiting).await);
    assert_eq!(waiting.len(), 3);
    assert!(waiting.iter().any(|(name, value)| name == "waiting.n1500.load_s" && *value > 0.0), "{waiting:?}");
    let timers = ["timers", "--burst", "300", "--rate", "50", "--seconds", "1", "--repeats", "1", "--json"];
    let timers = figures(&bench(database.url(), &timers).await);
    assert_eq!(timers.len(), 8);
    for name in ["burst300.p50_ms", "burst300.p99_ms", "rate50.max_ms", "rate50.all_done_s"] {
        assert!(
            timers.iter().any(|(known, value)| *known == format!("timers.{name}") && *value > 0.0),
            "{name}: {timers:?}"
        );
    }

    let pool = database.pool().await;
    let left = sqlx::query("SELECT count(*) FROM pg_database WHERE datname LIKE 'waybill_bench_%'");
    assert_eq!(left.fetch_one(&pool).await.unwrap().get::<i64, _>(0), 0);
}
