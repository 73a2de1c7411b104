//! No index that isn't read: each costs every write.
use super::store;
use chrono::Utc;
use eventstore::contract::given::{append, at, stream};
use eventstore::testing::unread_indexes;
use eventstore::vault::PersonKeys;
use eventstore::{EventStore, Slot};
use sqlx::Executor;
use uuid::Uuid;

/// Enough rows that PostgreSQL prefers an index by itself.
const ROWS: &str = "
    INSERT INTO timers (stream_id, due_at, log, slot, stream_kind, name)
    SELECT lpad(to_hex(n), 32, '0')::uuid, now() + n * interval '1 s', 0, n % 256, 'order', 'saga' FROM generate_series(1, 20000) AS n;
    INSERT INTO vault.person_keys (person, shop, ref, master_key, wrapped)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'dev', 'hh-' || n, 'm', '\\x00' FROM generate_series(1, 20000) AS n;
    INSERT INTO vault_entries (subject, person, sealed)
    SELECT lpad(to_hex(n + 100000), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, '\\x00' FROM generate_series(1, 20000) AS n;
    ANALYZE timers, vault.person_keys, vault_entries;
    SELECT pg_stat_reset();";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_index_that_serves_no_uniqueness_is_read() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    pool.execute(ROWS).await.unwrap();
    assert_eq!(store.timers(&[Slot(7)], None, 5).await.unwrap().len(), 5);
    assert_eq!(store.timers(&[Slot(7)], Some((Utc::now(), Uuid::nil())), 5).await.unwrap().len(), 5);
    assert_eq!(store.known_as("dev", "hh-7", 5).await.unwrap().len(), 1);
    assert_eq!(store.subjects_of(Uuid::from_u128(7), None, 5).await.unwrap().len(), 1);
    store.pool().close().await;
    assert_eq!(unread_indexes(&pool, &["public", "vault"]).await, [""; 0], "no query reads them");
}

/// Timers come and go: what is to be vacuumed of them lies in the index by the moment, and none of it is to be read to clear one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_is_cleared_by_its_key_though_statistics_say_that_there_is_one() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    let order = stream();
    store.append(append().with(&order, 0, &["a"]).setting(&order, "saga", at(0))).await.unwrap();
    for statement in ["VACUUM ANALYZE timers", "SELECT pg_stat_reset()"] {
        pool.execute(statement).await.unwrap();
    }
    store.append(append().with(&order, 1, &["b"]).clearing(&order, "saga")).await.unwrap();
    store.pool().close().await;
    drop(store);
    let unread = unread_indexes(&pool, &["public"]).await;
    assert!(unread.iter().any(|index| index.contains("timers")), "clearing reads another index than its key's");
}
