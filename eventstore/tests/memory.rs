//! The contract suites on the store in memory.
use eventstore::MemoryEventStore;
use std::sync::Arc;

async fn store() -> (Arc<MemoryEventStore>, ()) {
    (Arc::default(), ())
}

eventstore::store_contract!(store());
