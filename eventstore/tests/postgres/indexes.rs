//! No index that isn't read: each costs every write.
use super::store;
use chrono::Utc;
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
