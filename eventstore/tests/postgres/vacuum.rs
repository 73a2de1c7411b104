//! Tables that only grow cost a vacuum by what is new, however large they are.
use super::store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_grows_is_vacuumed_by_what_is_new_and_frozen_at_once() {
    let (_store, database) = store().await;
    let told = "SELECT relname::text FROM pg_class
                 WHERE relnamespace = 'public'::regnamespace AND reloptions @> ARRAY[
                       'autovacuum_freeze_min_age=0', 'autovacuum_vacuum_insert_scale_factor=0', 'autovacuum_vacuum_insert_threshold=1000000']
                 ORDER BY relname";
    let tables: Vec<String> = sqlx::query_scalar(told).fetch_all(&database.pool().await).await.unwrap();
    assert_eq!(tables, ["claims", "events", "vault_entries"]);
}
