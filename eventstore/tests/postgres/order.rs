//! Positions are dense and in commit order under any interleaving: what has made readers of other stores miss events, or wait.
use super::support::{
    Watcher, append_by_hand, append_surely, count_events, hold_log, spawn_append, store, store_on, wait_for_lock_waits,
};
use eventstore::contract::given::{append, assert_whole, everything, stream};
use eventstore::contract::race::all_at_once;
use eventstore::sql::Options;
use eventstore::testing::TestPostgres;
use eventstore::{EventFeed, EventStore, Log, PgEventStore, Position, StoreFeed};
use std::sync::Arc;
use std::time::Duration;

/// Long, but not for ever: what should come at once has come by then.
const SOON: Duration = Duration::from_secs(30);

/// Reads until so many have been seen, and no further.
async fn follow(feed: &mut StoreFeed, watcher: &mut Watcher, until: i64) {
    while watcher.seen < until {
        let next = tokio::time::timeout(SOON, feed.next(100)).await.expect("the feed stands still");
        watcher.see(next.unwrap());
    }
}

/// In a store that takes positions from a sequence, or a reader's horizon from transaction ids, the early id would be passed over, or
/// hold up all that come after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_id_drawn_early_gets_the_place_of_its_commit_and_holds_up_nobody() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    let mut early = pool.begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()").execute(&mut *early).await.unwrap();

    let (mut feed, mut watcher) = (StoreFeed::new(store.clone(), Position::ZERO), Watcher::default());
    for _ in 0..50 {
        store.append(append().with(&stream(), 0, &["a", "b"])).await.unwrap();
    }
    follow(&mut feed, &mut watcher, 100).await;
    assert_eq!(append_by_hand(&mut early, &stream(), "early").await, 101);
    let later = spawn_append(&store, append().with(&stream(), 0, &["later"]));
    wait_for_lock_waits(&pool, 1).await;
    assert!(store.read_log(Position(100), 10).await.unwrap().is_empty(), "nothing is seen before its commit");
    early.commit().await.unwrap();
    assert_eq!(later.await.unwrap().unwrap().first, Position(102));
    follow(&mut feed, &mut watcher, 102).await;
    let last = store.read_log(Position(100), 10).await.unwrap();
    assert_eq!(last.iter().map(|event| event.event_type.as_ref()).collect::<Vec<_>>(), ["early", "later"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollbacks_leave_no_hole() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    let appends = (0..8).map(|_| {
        let store = store.clone();
        async move {
            for _ in 0..25 {
                store.append(append().with(&stream(), 0, &["kept"])).await.unwrap();
            }
        }
    });
    let appending = tokio::spawn(all_at_once(appends.collect::<Vec<_>>()));
    let mut undone = 0;
    while !appending.is_finished() {
        let mut transaction = pool.begin().await.unwrap();
        append_by_hand(&mut transaction, &stream(), "undone").await;
        append_by_hand(&mut transaction, &stream(), "undone").await;
        transaction.rollback().await.unwrap();
        undone += 1;
    }
    appending.await.unwrap();
    assert!(undone > 0);
    let events = everything(&*store).await;
    assert_eq!(events.len(), 200);
    assert!(events.iter().all(|event| event.event_type == "kept"));
    assert_whole(&events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_ends_exactly_at_the_head_is_followed_by_the_next_append() {
    let (store, database) = store().await;
    let other = store_on(&database).await;
    for size in [1_usize, 2, 3, 5, 10] {
        let head = store.head().await.unwrap().position;
        let mut feed = StoreFeed::new(other.clone(), head);
        for _ in 0..10 {
            store.append(append().with(&stream(), 0, &["a"])).await.unwrap();
        }
        let mut read = 0;
        while read < 10 {
            let page = tokio::time::timeout(SOON, feed.next(size)).await.unwrap().unwrap();
            read += page.len();
        }
        assert_eq!(feed.position(), Position(head.0 + 10), "exactly at the head");
        assert!(store.read_log(feed.position(), size).await.unwrap().is_empty());
        // An append that is not committed is no next page, and the one that takes its place is not passed over.
        let pool = database.pool().await;
        let mut undone = pool.begin().await.unwrap();
        append_by_hand(&mut undone, &stream(), "undone").await;
        assert!(tokio::time::timeout(Duration::from_millis(100), feed.next(size)).await.is_err());
        undone.rollback().await.unwrap();
        let (next, _) = tokio::join!(
            tokio::time::timeout(SOON, feed.next(size)),
            store.append(append().with(&stream(), 0, &["next"]))
        );
        let next = next.unwrap().unwrap();
        assert_eq!((next[0].position, next[0].event_type.as_ref()), (Position(head.0 + 11), "next"));
    }
    assert_whole(&everything(&*store).await);
}

/// The server process of an append ends in the middle of the function: the log is held up by something that it writes late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_server_process_is_ended_between_its_statements_leaves_no_trace_and_is_written_once() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    store.append(append().with(&stream(), 0, &["first"]).changing("stock", 10, None)).await.unwrap();
    for round in 1..=5_i64 {
        let mut holder = pool.begin().await.unwrap();
        sqlx::query("SELECT FROM balances FOR UPDATE").execute(&mut *holder).await.unwrap();
        // Its events are inserted by now, its balance is not.
        let given = append().with_any(&stream(), &["a", "b"]).changing("stock", -1, Some(0));
        let pending = spawn_append(&store, given);
        wait_for_lock_waits(&pool, 1).await;
        let ended = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
                      WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%append_batch%'";
        assert_eq!(sqlx::query_scalar::<_, i64>(ended).fetch_one(&pool).await.unwrap(), 1);
        // Sent again by itself, it waits again.
        wait_for_lock_waits(&pool, 1).await;
        assert_eq!(count_events(&pool).await, 2 * round - 1, "nothing of what was ended is there");
        holder.rollback().await.unwrap();
        let appended = pending.await.unwrap().unwrap();
        assert_eq!((appended.first, appended.last), (Position(2 * round), Position(2 * round + 1)));
        assert_eq!(store.balances(&["stock".into()]).await.unwrap(), [("stock".into(), 10 - round)], "once");
    }
    assert_whole(&everything(&*store).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_log_in_the_same_database_keeps_positions_of_its_own_and_holds_up_nobody() {
    let (main, database) = store().await;
    let second = PgEventStore::connect(database.pool().await, Log(1), Options::default()).await.unwrap();
    let second = Arc::new(second);
    all_at_once((0..16).map(|n| {
        let store = if n % 2 == 0 { main.clone() } else { second.clone() };
        async move {
            for _ in 0..20 {
                store.append(append().with(&stream(), 0, &["a", "b"]).changing("shared", 1, None)).await.unwrap();
            }
        }
    }))
    .await;
    for store in [&main, &second] {
        let events = everything(&**store).await;
        assert_eq!(events.len(), 320);
        assert!(events.iter().all(|event| event.log == store.log()));
        assert_whole(&events);
        assert_eq!(*store.watch_head().borrow(), Position(320));
    }
    let pool = database.pool().await;
    let holder = hold_log(&pool, 1).await;
    let held = spawn_append(&second, append().with(&stream(), 0, &["held"]));
    wait_for_lock_waits(&pool, 1).await;
    let free = main.append(append().with(&stream(), 0, &["free"]));
    assert_eq!(tokio::time::timeout(SOON, free).await.expect("not held up").unwrap().first, Position(321));
    assert!(!held.is_finished());
    holder.rollback().await.unwrap();
    assert_eq!(held.await.unwrap().unwrap().first, Position(321));
}

/// Time is the database's. Should its clock be set back, a store goes on with the time of its last event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_record_does_not_go_back_with_a_clock_that_does() {
    let (store, database) = store().await;
    let two = store_on(&database).await;
    let pool = database.pool().await;
    // An event of an hour in the future: as if the clock had been set back since.
    let mut ahead = pool.begin().await.unwrap();
    append_by_hand(&mut ahead, &stream(), "ahead").await;
    let as_if = "INSERT INTO events (log, position, incarnation, stream_id, stream_kind, version, type, schema_version, shop, command_id,
                                     recorded_at, metadata, payload)
                 SELECT log, 2, incarnation, $1, stream_kind, 1, type, schema_version, shop, gen_random_uuid(),
                        recorded_at + interval '1 hour', metadata, payload FROM events WHERE position = 1";
    sqlx::query(as_if).bind(stream().id).execute(&mut *ahead).await.unwrap();
    ahead.commit().await.unwrap();

    let future = everything(&*store).await[1].recorded_at;
    for instance in [&store, &two, &store] {
        let mut given = append().with(&stream(), 0, &["a"]);
        // What an instance's own clock says stands in the metadata alone.
        Arc::make_mut(&mut given.metadata).occurred_at = future - chrono::TimeDelta::days(400);
        let appended = append_surely(instance, &given).await;
        assert_eq!(appended.recorded_at, future);
    }
    let events = everything(&*store).await;
    assert_whole(&events);
    assert!(events.is_sorted_by_key(|event| event.recorded_at));
}

/// A transaction that stays open, here and in another database of the server, with a snapshot and a transaction id older than all that
/// is appended. `idle` holds them for as long as it is told.
pub(super) async fn with_old_transactions<T>(
    database: &eventstore::testing::TestDatabase,
    run: impl Future<Output = T>,
) -> T {
    let other = TestPostgres::shared().await.database().await;
    let mut open = Vec::new();
    for (pool, log) in [(database.pool().await, true), (other.pool().await, false)] {
        for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
            let begin = format!("BEGIN ISOLATION LEVEL {isolation}");
            let mut transaction = pool.begin_with(sqlx::AssertSqlSafe(begin)).await.unwrap();
            sqlx::query("SELECT pg_current_xact_id(), count(*) FROM events").execute(&mut *transaction).await.unwrap();
            if log {
                sqlx::query("INSERT INTO balances VALUES ('old/' || pg_current_xact_id(), 1)")
                    .execute(&mut *transaction)
                    .await
                    .unwrap();
            }
            open.push(transaction);
        }
    }
    let outcome = run.await;
    for transaction in open {
        // Still open: none was ended for its age.
        transaction.commit().await.unwrap();
    }
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_left_open_in_this_database_and_in_another_hold_up_no_reader() {
    let (store, database) = store().await;
    let reader = store_on(&database).await;
    store.append(append().with(&stream(), 0, &["before"])).await.unwrap();
    let mut watcher = Watcher::default();
    let appending_and_reading = async {
        let appends = (0..16).map(|_| {
            let store = store.clone();
            async move {
                for _ in 0..60 {
                    store.append(append().with(&stream(), 0, &["a", "b", "c", "d"])).await.unwrap();
                }
            }
        });
        let appending = tokio::spawn(all_at_once(appends.collect::<Vec<_>>()));
        let mut feed = StoreFeed::new(reader, Position::ZERO);
        follow(&mut feed, &mut watcher, 1 + 16 * 60 * 4).await;
        appending.await.unwrap();
    };
    with_old_transactions(&database, appending_and_reading).await;
    assert_eq!(count_events(&database.pool().await).await, watcher.seen);
}
