//! The lives of a log, and what is written down of a lost one.
use crate::{store, store_on};
use eventstore::contract::{self, given};
use eventstore::sql::lives::{After, abandon, begin_incarnation};
use eventstore::{Abandoned, EventStore, Incarnation, Log, Position};
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_belongs_to_the_latest_life_that_began_before_it() {
    let (store, _database) = store().await;
    let pool = store.pool().clone();
    let begin = async |after: Position, at_least| {
        let after = if after.0 == i64::MAX { After::Head } else { After::Shared(after) };
        begin_incarnation(&pool, Log::MAIN, after, at_least, "tried").await.unwrap()
    };
    contract::lives::an_event_belongs_to_the_latest_life_that_began_before_it(&*store, begin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_is_written_down_once_and_may_grow() {
    let (store, database) = store().await;
    store.append(given::append().with(&given::stream(), 0, &["a"])).await.unwrap();
    begin_incarnation(store.pool(), Log::MAIN, After::Head, Incarnation(1), "restored").await.unwrap();
    let range = |to| Abandoned {
        incarnation: Incarnation(1),
        from: Position(2),
        to: Position(to),
        events: to - 1,
        streams: 1,
        recorded_at: given::at(0),
        file: "lost.jsonl".into(),
    };
    let types = BTreeMap::from([("OrderPlaced".to_owned(), 3)]);
    for to in [4, 9, 9] {
        abandon(store.pool(), Log::MAIN, &range(to), &types).await.unwrap();
    }
    let lives = store_on(&database).await.lives().await.unwrap();
    assert_eq!(lives.abandoned().len(), 1);
    assert!(lives.has_settled(Incarnation(1), Position(9)) && !lives.has_settled(Incarnation(1), Position(10)));
    assert!(lives.has_abandoned(Incarnation(1), Position(2)) && !lives.has_abandoned(Incarnation(1), Position(1)));
}
