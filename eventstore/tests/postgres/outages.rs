//! The server restarts, the pool is exhausted, the wire freezes: clear errors, bounded waits, no loss.
use super::support::{
    Watcher, connect, connect_within, count_events, hold_log, slow, spawn_append, store, wait_for_lock_waits,
};
use eventstore::contract::given::{append, assert_whole, everything, stream};
use eventstore::testing::{PrivatePostgres, Proxy, Stop, Wire};
use eventstore::vault::{PersonKeys, WrappedKey};
use eventstore::{AppendError, EventFeed, EventStore, Limits, PgEventStore, Position, ReadError, StoreFeed};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

const SLACK: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Under load, again and again, in every way that it can end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_or_killed_under_load_loses_and_doubles_nothing() {
    let server = PrivatePostgres::start(None).await.unwrap();
    let database = server.database().await;
    let store = connect(database.pool().await).await;
    store.append(append().changing("stock", 1_000_000, None)).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let appenders: Vec<_> = (0..16)
        .map(|_| {
            let (store, done) = (store.clone(), done.clone());
            tokio::spawn(async move {
                let mut written = 0_i64;
                while !done.load(Ordering::Relaxed) {
                    let given = append().with(&stream(), 0, &["a", "b"]).changing("stock", -1, Some(0));
                    loop {
                        let since = Instant::now();
                        let outcome = store.append(given.clone()).await;
                        assert!(since.elapsed() < Limits::default().longest_answer() + SLACK, "{outcome:?}");
                        match outcome {
                            Ok(_) => break,
                            // Its stream must not be there yet: sent again, it is written once.
                            Err(AppendError::Unavailable(_) | AppendError::Unknown(_)) => {
                                tokio::time::sleep(PAUSE).await
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                    written += 2;
                }
                written
            })
        })
        .collect();
    let reading = tokio::spawn({
        let (mut feed, done) = (StoreFeed::new(store.clone(), Position::ZERO), done.clone());
        async move {
            let mut watcher = Watcher::default();
            while !done.load(Ordering::Relaxed) {
                match tokio::time::timeout(PAUSE, feed.next(100)).await {
                    Ok(Ok(events)) => watcher.see(events),
                    // The same events come again.
                    Ok(Err(_)) => tokio::time::sleep(PAUSE).await,
                    Err(_) => {}
                }
            }
            watcher.seen
        }
    });
    let rounds = if slow() { 10 } else { 2 };
    for how in [Stop::Fast, Stop::Immediate, Stop::Kill].repeat(rounds) {
        let before = count_events(&database.pool().await).await;
        wait_until_beyond(&store, before + 100).await;
        server.stop(how).await;
        tokio::time::sleep(10 * PAUSE).await;
        server.up().await;
    }
    let before = count_events(&database.pool().await).await;
    wait_until_beyond(&store, before).await;
    done.store(true, Ordering::Relaxed);
    let mut written = 0;
    for appender in appenders {
        written += appender.await.unwrap();
    }
    assert!(reading.await.unwrap() > 0);
    let events = everything(&*store).await;
    assert_eq!(events.len() as i64, written);
    assert_whole(&events);
    assert_eq!(
        store.balances(&["stock".into()]).await.unwrap(),
        [("stock".into(), 1_000_000 - written / 2)],
        "each once"
    );
}

/// An append that waits for the server to come back is committed then, by which whatever it was sealed under must be there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_s_key_that_was_given_outlives_a_kill_at_once() {
    let server = PrivatePostgres::start(None).await.unwrap();
    let database = server.database().await;
    let store = connect(database.pool().await).await;
    let fresh = |n: u32| WrappedKey {
        person: Uuid::now_v7(),
        shop: "shop".into(),
        reference: format!("customer-{n}"),
        former: None,
        master_key: "master".into(),
        wrapped: n.to_be_bytes().into(),
    };
    let mut given = Vec::new();
    for n in 0..20 {
        given.push(store.person_key(fresh(n)).await.unwrap().expect("the master key is the current one"));
    }
    server.stop(Stop::Kill).await;
    server.up().await;
    for key in given {
        assert_eq!(store.key_of(key.person).await.unwrap(), Some(key));
    }
}

async fn wait_until_beyond(store: &PgEventStore, position: i64) {
    let mut head = store.watch_head();
    let beyond = head.wait_for(|head| head.0 > position);
    tokio::time::timeout(SOON, beyond).await.expect("appends go on").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_while_the_pool_is_exhausted_is_told_so_in_time_and_appends_go_on() {
    let (_, database) = store().await;
    let acquire = Duration::from_millis(300);
    let pool = database.pool_of(2, acquire).await;
    let store = connect(pool.clone()).await;
    let order = stream();
    store.append(append().with(&order, 0, &["a"])).await.unwrap();

    let held = [pool.begin().await.unwrap(), pool.begin().await.unwrap()];
    let since = Instant::now();
    match store.read_streams(order.id).await {
        Err(ReadError::Unavailable(why)) => assert!(why.contains("pool timed out"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(since.elapsed() >= acquire && since.elapsed() < acquire + SLACK);
    assert_eq!(
        store.append(append().with(&order, 1, &["b"])).await.unwrap().first,
        Position(2),
        "by a connection of its own"
    );
    drop(held);
    assert_eq!(store.read_streams(order.id).await.unwrap().len(), 2);
}

/// No FIN, no answer: as when a machine is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_wire_that_froze_every_append_has_an_answer_in_time_and_its_truth_once_it_thaws() {
    let (direct, database) = store().await;
    let proxy = Proxy::before(&database).await;
    let limits =
        Limits { queue_wait: Duration::from_millis(300), patience: Duration::from_millis(500), ..Limits::default() };
    let store = connect_within(proxy.database(&database).pool().await, limits).await;
    store.append(append().with(&stream(), 0, &["a"])).await.unwrap();

    proxy.set(Wire::Frozen);
    let appends: Vec<_> = (0..20).map(|_| append().with(&stream(), 0, &["b"])).collect();
    let since = Instant::now();
    let pending: Vec<_> = appends.iter().map(|given| spawn_append(&store, given.clone())).collect();
    for each in pending {
        let outcome = each.await.unwrap();
        assert!(matches!(outcome, Err(AppendError::Unknown(_) | AppendError::Unavailable(_))), "{outcome:?}");
    }
    assert!(since.elapsed() < limits.longest_answer() + SLACK);

    proxy.set(Wire::Carries);
    proxy.cut();
    for given in &appends {
        super::support::append_surely(&store, given).await;
    }
    let events = everything(&*direct).await;
    assert_eq!(events.len(), 21, "each once");
    assert_whole(&events);
}

/// The queue is full since the log is held up: who finds no place is told so in time, and all who had one are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_queues_bound_callers_are_turned_away_in_time_and_all_others_are_written() {
    let (_, database) = store().await;
    let pool = database.pool().await;
    let limits = Limits { queue: 10, queue_wait: Duration::from_millis(300), ..Limits::default() };
    let store = connect_within(database.pool().await, limits).await;
    let holder = hold_log(&pool, 0).await;
    let since = Instant::now();
    let pending: Vec<_> = (0..30).map(|_| spawn_append(&store, append().with(&stream(), 0, &["a"]))).collect();
    wait_for_lock_waits(&pool, 1).await;
    while pending.iter().filter(|each| each.is_finished()).count() < 20 {
        assert!(since.elapsed() < limits.queue_wait + SLACK, "they are told in time");
        tokio::time::sleep(PAUSE).await;
    }
    holder.rollback().await.unwrap();
    let mut written = 0;
    for each in pending {
        match each.await.unwrap() {
            Ok(_) => written += 1,
            Err(AppendError::Unavailable(why)) => assert!(why.contains("too many appends wait already"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((written, count_events(&pool).await), (10, 10));
}
