//! Connections that are lost, members that are broken, hands that reach into the log.
use super::{store, store_on};
use eventstore::contract::given::{append, assert_whole, everything, payload, stream};
use eventstore::contract::race::all_at_once;
use eventstore::{AppendError, EventStore, PgEventStore};
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
            let mut cuts = 0;
            while !done.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(37)).await;
                cut_all(&pool).await;
                cuts += 1;
            }
            cuts
        }
    });
    let counts = all_at_once((0..24).map(|_| {
        let store = store.clone();
        async move {
            let order = stream();
            let mut version = 0;
            while version < 100 {
                let given = append().with(&order, version, &["a", "b"]).changing("stock", -1, Some(0));
                // As any caller does: the same append again, until the answer is definite.
                loop {
                    match store.append(given.clone()).await {
                        Ok(_) => break,
                        Err(AppendError::Unavailable(_) | AppendError::Unknown(_)) => {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
                version += 2;
            }
            i64::from(version)
        }
    }))
    .await;
    done.store(true, Ordering::Relaxed);
    let cuts = cutter.await.unwrap();
    assert!(cuts > 3, "only {cuts} cuts: this shows nothing");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_another_holds_the_counter_appends_wait_and_then_go_on() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM logs FOR UPDATE").execute(&mut *holder).await.unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(append().with(&stream(), 0, &["a"])).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    // The lost call was waiting for the lock; it must not be carried out after all when its member has been sent again.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%append_batch%' AND pid <> pg_backend_pid()";
    sqlx::query(cut).execute(&pool).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    holder.rollback().await.unwrap();
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(everything(&*store).await.len(), 1);
}

#[tokio::test]
async fn a_database_that_is_newer_than_the_program_is_refused_clearly() {
    let (_store, database) = store().await;
    let pool = database.pool().await;
    eventstore::sql::migrate(&pool).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', true, '', 0)";
    sqlx::query(newer).execute(&pool).await.unwrap();
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
