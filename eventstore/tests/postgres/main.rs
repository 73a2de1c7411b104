//! The contract suites on PostgreSQL, and what only a database can do wrong.
#![expect(clippy::unwrap_used, reason = "a test panics when what it tests fails")]
use eventstore::sql::Options;
use eventstore::testing::{TestDatabase, TestPostgres};
use eventstore::{Log, PgEventStore};
use std::sync::Arc;

async fn store_on(database: &TestDatabase) -> Arc<PgEventStore> {
    Arc::new(PgEventStore::connect(database.pool().await, Log::MAIN, Options::default()).await.unwrap())
}

async fn store() -> (Arc<PgEventStore>, TestDatabase) {
    let database = TestPostgres::shared().await.database().await;
    (store_on(&database).await, database)
}

eventstore::store_contract!(store());

mod faults;
mod instances;
mod proxy;
