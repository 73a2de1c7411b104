//! The contract suites on the store in memory.
use eventstore::{EventStore, Incarnation, MemoryEventStore, Position, contract};
use std::sync::Arc;

async fn store() -> (Arc<MemoryEventStore>, ()) {
    (Arc::default(), ())
}

eventstore::store_contract!(store());

#[tokio::test]
async fn an_event_belongs_to_the_latest_life_that_began_before_it() {
    let store = MemoryEventStore::default();
    let begin = async |after, at_least| store.begin_incarnation(after, at_least, "tried");
    contract::lives::an_event_belongs_to_the_latest_life_that_began_before_it(&store, begin).await;
}

#[tokio::test]
async fn a_copy_goes_its_own_way() {
    let store = MemoryEventStore::default();
    let order = contract::given::stream();
    store.append(contract::given::append().with(&order, 0, &["a"])).await.unwrap();
    let copy = store.backup();
    store.append(contract::given::append().with(&order, 1, &["lost"])).await.unwrap();
    copy.begin_incarnation(Position(1), Incarnation(1), "restored");
    copy.append(contract::given::append().with(&order, 1, &["other"])).await.unwrap();
    let types = async |store: &MemoryEventStore| {
        let events = store.read_streams(order.id).await.unwrap();
        events.iter().map(|event| (event.incarnation.0, event.event_type.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(types(&store).await, [(1, "a".to_owned()), (1, "lost".to_owned())]);
    assert_eq!(types(&copy).await, [(1, "a".to_owned()), (2, "other".to_owned())]);
}
