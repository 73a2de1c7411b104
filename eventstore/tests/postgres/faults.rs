//! Connections that are lost, members that are broken, hands that reach into the log.
use super::support::{
    append_surely, connect, count_events, hold_log, spawn_append, store, store_on, wait_for_lock_waits,
};
use eventstore::contract::given::{append, assert_whole, everything, payload, stream};
use eventstore::contract::race::all_at_once;
use eventstore::testing::{Proxy, Wire};
use eventstore::{AppendError, EventStore, PgEventStore, Position};
use sqlx::PgPool;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Ends every connection of this database but the one that asks.
async fn cut_all(pool: &PgPool) {
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(cut).execute(pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_whose_connection_is_cut_again_and_again_are_written_once() {
    let (store, database) = store().await;
    store.append(append().changing("stock", 1_000_000, None)).await.unwrap();
    let pool = database.pool().await;
    let done = Arc::new(AtomicBool::new(false));
    let cutter = tokio::spawn({
        let done = done.clone();
        async move {
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_millis(37)).await;
                cut_all(&pool).await;
            }
            done.store(true, Ordering::Relaxed);
        }
    });
    let counts = all_at_once((0..24).map(|_| {
        let (store, done) = (store.clone(), done.clone());
        async move {
            let order = stream();
            let mut version = 0;
            while version < 100 || !done.load(Ordering::Relaxed) {
                let given = append().with(&order, version, &["a", "b"]).changing("stock", -1, Some(0));
                append_surely(&store, &given).await;
                version += 2;
            }
            i64::from(version)
        }
    }))
    .await;
    cutter.await.unwrap();
    let events = eventually(&store).await;
    assert_eq!(events.len() as i64, counts.iter().sum::<i64>());
    assert_whole(&events);
    let stock = store.balances(&["stock".into()]).await.unwrap();
    assert_eq!(stock, [("stock".into(), 1_000_000 - events.len() as i64 / 2)], "each once");
}

/// The pool, too, has lost its connections.
async fn eventually(store: &PgEventStore) -> Vec<eventstore::RecordedEvent> {
    for _ in 0..50 {
        if store.head().await.is_ok() {
            break;
        }
    }
    everything(store).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_one_broken_member_loses_that_member_alone() {
    let (store, _database) = store().await;
    let outcomes = all_at_once((0..40).map(|n| {
        let store = store.clone();
        let mut given = append().with(&stream(), 0, &["a"]).claiming(&format!("{n}"), "x");
        if n % 13 == 5 {
            // JSON so deep that the database gives up on it.
            given.streams[0].events[0].payload = payload(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
        }
        async move { store.append(given).await }
    }))
    .await;
    for (outcome, n) in outcomes.into_iter().zip(0..) {
        match outcome {
            Err(AppendError::Invalid(_)) if n % 13 == 5 => {}
            Ok(_) if n % 13 != 5 => {}
            other => panic!("{n}: {other:?}"),
        }
    }
    let events = everything(&*store).await;
    assert_eq!(events.len(), 37);
    assert_whole(&events);
}

#[tokio::test]
async fn nothing_updates_or_deletes_an_event() {
    let (store, database) = store().await;
    store.append(append().with(&stream(), 0, &["a"])).await.unwrap();
    let pool = database.pool().await;
    for attempt in
        ["UPDATE events SET shop = 'x'", "DELETE FROM events", "TRUNCATE events", "DELETE FROM events WHERE false"]
    {
        let refused = sqlx::query(attempt).execute(&pool).await.unwrap_err().to_string();
        assert!(refused.contains("events are never changed"), "{attempt}: {refused}");
    }
    assert_eq!(everything(&*store).await.len(), 1);
}

/// Where any version is expected, no conflict would stop a second writing: only that the outcome is found out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_answer_is_lost_after_the_commit_is_recognised_by_its_command_id() {
    let (_, database) = store().await;
    let (proxy, direct) = (Proxy::before(&database).await, database.pool().await);
    let store = connect(proxy.database(&database).pool().await).await;
    store.append(append().with_any(&stream(), &["a"])).await.unwrap();

    proxy.set(Wire::SwallowsAnswers);
    let order = stream();
    let pending = spawn_append(&store, append().with_any(&order, &["a", "b"]).changing("stock", 5, None));
    while count_events(&direct).await < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!pending.is_finished());
    proxy.set(Wire::Carries);
    proxy.cut();
    let appended = pending.await.unwrap().unwrap();
    assert_eq!((appended.first, appended.last), (Position(2), Position(3)));
    assert_eq!(store.append(append().with_any(&order, &["c"])).await.unwrap().first, Position(4));
    assert_eq!(count_events(&direct).await, 4);
}

/// The call goes on at the server though its connection is gone: it must be stopped before its members are sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_is_lost_while_the_server_still_works_on_it_is_written_once() {
    let (_, database) = store().await;
    let (proxy, direct) = (Proxy::before(&database).await, database.pool().await);
    let store = connect(proxy.database(&database).pool().await).await;
    store.append(append().with_any(&stream(), &["a"])).await.unwrap();

    let holder = hold_log(&direct, 0).await;
    let pending = spawn_append(&store, append().with_any(&stream(), &["a", "b"]).changing("stock", 5, None));
    wait_for_lock_waits(&direct, 1).await;
    proxy.cut();
    // The member has been sent again, and waits in its turn.
    tokio::time::sleep(Duration::from_millis(500)).await;
    wait_for_lock_waits(&direct, 1).await;
    holder.rollback().await.unwrap();
    pending.await.unwrap().unwrap();
    assert_eq!(count_events(&direct).await, 3);
    assert_eq!(store.balances(&["stock".into()]).await.unwrap(), [("stock".into(), 5)]);
}

/// Nothing but the checkpoint shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_alone_whose_answer_is_lost_is_recognised_or_sent_again() {
    let (other, database) = store().await;
    let (proxy, direct) = (Proxy::before(&database).await, database.pool().await);
    let store = connect(proxy.database(&database).pool().await).await;
    store.append(append().moving("saga", None, 1)).await.unwrap();

    // Lost after the commit.
    proxy.set(Wire::SwallowsAnswers);
    let pending = spawn_append(&store, append().moving("saga", Some(1), 2).changing("stock", 5, None));
    wait_for_checkpoint(&other, 2).await;
    proxy.set(Wire::Carries);
    proxy.cut();
    pending.await.unwrap().unwrap();

    // Lost before it.
    let holder = hold_log(&direct, 0).await;
    let pending = spawn_append(&store, append().moving("saga", Some(2), 3).changing("stock", 5, None));
    wait_for_lock_waits(&direct, 1).await;
    proxy.cut();
    tokio::time::sleep(Duration::from_millis(500)).await;
    wait_for_lock_waits(&direct, 1).await;
    holder.rollback().await.unwrap();
    pending.await.unwrap().unwrap();
    assert_eq!(other.balances(&["stock".into()]).await.unwrap(), [("stock".into(), 10)], "each once");

    // Lost after the commit, and moved on by someone else before it could be looked for.
    proxy.set(Wire::SwallowsAnswers);
    let pending = spawn_append(&store, append().moving("saga", Some(3), 4).changing("stock", 5, None));
    wait_for_checkpoint(&other, 4).await;
    other.append(append().moving("saga", Some(4), 5)).await.unwrap();
    proxy.set(Wire::Carries);
    proxy.cut();
    let outcome = pending.await.unwrap();
    assert!(matches!(outcome, Err(AppendError::Unknown(_))), "it was written, so not refused: {outcome:?}");
    assert_eq!(other.balances(&["stock".into()]).await.unwrap(), [("stock".into(), 15)]);
}

async fn wait_for_checkpoint(store: &PgEventStore, wanted: i64) {
    while store.checkpoint("saga").await.unwrap().is_none_or(|(_, position)| position.0 < wanted) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_database_that_is_newer_than_the_program_is_refused_clearly() {
    let (_store, database) = store().await;
    let pool = database.pool().await;
    eventstore::sql::migrate(&pool).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', true, '', 0)";
    sqlx::query(newer).execute(&pool).await.unwrap();
    eventstore::sql::migrate(&pool).await.expect("a newer program alone keeps no older one out");
    sqlx::query("UPDATE compatibility SET needs = 9999").execute(&pool).await.unwrap();
    let refused = eventstore::sql::migrate(&pool).await.unwrap_err().to_string();
    assert!(refused.contains("newer than this program") && refused.contains("9999"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_instances_on_an_empty_database_begin_the_log_once() {
    let (_store, database) = store().await;
    let stores = all_at_once((0..6).map(|_| {
        let database = database.clone();
        async move {
            eventstore::sql::migrate(&database.pool().await).await.unwrap();
            store_on(&database).await
        }
    }))
    .await;
    for store in &stores {
        store.append(append().with(&stream(), 0, &["a"])).await.unwrap();
    }
    assert_whole(&everything(&*stores[0]).await);
}
