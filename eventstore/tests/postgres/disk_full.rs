//! The disk is full, of tables or of the write-ahead log: clear errors in bounded time, nothing lost or doubled, and on it goes.
use super::support::{append_surely, connect, heavy};
use eventstore::contract::given::{append, assert_whole, everything, stream};
use eventstore::testing::{PrivatePostgres, SmallDisk};
use eventstore::{Append, AppendError, EventStore, Limits, PgEventStore};
use std::io::Write;
use std::time::{Duration, Instant};

const EVENT_BYTES: usize = 100_000;
/// More than there is room for.
const ENOUGH: usize = 2_000;
const SLACK: Duration = Duration::from_secs(20);

/// `None`: this machine can't mount one. Said past the capture of a test's output, so that it is seen.
async fn server(disk: SmallDisk) -> Option<PrivatePostgres> {
    match PrivatePostgres::start(Some(disk)).await {
        Ok(server) => Some(server),
        Err(why) => {
            let said = format!("SKIPPED: no small disk ({disk:?}) can be mounted on this machine: {why}\n");
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            None
        }
    }
}

fn order() -> Append {
    heavy(append().with(&stream(), 0, &["a"]).changing("stock", -1, Some(0)), EVENT_BYTES)
}

/// Appends until one is not written; answers that one, and how many were.
async fn append_until_full(store: &PgEventStore) -> (Append, AppendError, usize) {
    for written in 0..ENOUGH {
        let (given, since) = (order(), Instant::now());
        let outcome = store.append(given.clone()).await;
        assert!(since.elapsed() < Limits::default().longest_answer() + SLACK, "the wait has a bound: {outcome:?}");
        if let Err(error) = outcome {
            return (given, error, written);
        }
    }
    panic!("the disk is never full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_appends_clearly_and_leaves_reads_and_what_is_written_alone() {
    let Some(server) = server(SmallDisk::Data { mib: 96 }).await else { return };
    let database = server.database().await;
    let store = connect(database.pool().await).await;
    store.append(append().changing("stock", 1_000_000, None)).await.unwrap();
    append_surely(&store, &order()).await;

    server.fill_disk().await;
    let (refused, error, written) = append_until_full(&store).await;
    match error {
        AppendError::Unavailable(why) => {
            assert!(why.contains("No space left on device"), "it says what is the matter: {why}")
        }
        other => panic!("{other:?}"),
    }
    let again = store.append(refused.clone()).await;
    assert!(matches!(again, Err(AppendError::Unavailable(_))), "{again:?}");
    assert_eq!(everything(&*store).await.len(), 1 + written, "reads go on, and show what was answered");

    server.free_disk().await;
    append_surely(&store, &refused).await;
    append_surely(&store, &order()).await;
    assert_all_there(&store, 3 + written).await;
}

/// PostgreSQL gives up when it can't write its log, and may not even come up again before there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_write_ahead_log_ends_the_server_and_loses_nothing() {
    let Some(server) = server(SmallDisk::Wal { mib: 96 }).await else { return };
    let database = server.database().await;
    let store = connect(database.pool().await).await;
    store.append(append().changing("stock", 1_000_000, None)).await.unwrap();
    append_surely(&store, &order()).await;

    server.fill_disk().await;
    let (unsure, error, written) = append_until_full(&store).await;
    assert!(matches!(error, AppendError::Unavailable(_) | AppendError::Unknown(_)), "{error:?}");
    assert!(server.log().contains("No space left on device"), "{}", server.log());

    server.free_disk().await;
    server.up().await;
    append_surely(&store, &unsure).await;
    append_surely(&store, &order()).await;
    assert_all_there(&store, 3 + written).await;
}

async fn assert_all_there(store: &PgEventStore, events: usize) {
    let all = loop {
        // The pool's connections may have been lost too.
        if store.head().await.is_ok() {
            break everything(store).await;
        }
    };
    assert_eq!(all.len(), events);
    assert_whole(&all);
    assert_eq!(
        store.balances(&["stock".into()]).await.unwrap(),
        [("stock".into(), 1_000_000 - events as i64)],
        "each once"
    );
}
