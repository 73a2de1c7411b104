//! The log as a whole.
use super::given::{append, assert_whole, everything, stream};
use super::race::{Dice, all_at_once};
use crate::{AppendError, EventStore, Position, StreamId};
use std::sync::Arc;
use uuid::Uuid;

/// 64 at once, each with its own stream and one that all fight for.
pub async fn positions_are_dense_under_many_who_append_conflict_and_are_refused(store: Arc<impl EventStore + 'static>) {
    let contested: Vec<StreamId> = (0..8).map(|_| stream()).collect();
    store.append(append().changing("stock", 200, None)).await.unwrap();
    let counts = all_at_once((0..64_u64).map(|seed| {
        let (store, contested) = (store.clone(), contested.clone());
        async move {
            let mut dice = Dice::new(seed);
            let own = stream();
            let (mut version, mut written) = (0, 0_i64);
            for _ in 0..12 {
                let fought = &contested[dice.roll(8) as usize];
                let known = store.read_streams(fought.id).await.unwrap().len() as i32;
                let given = append().with(&own, version, &["own", "own"]).with(fought, known, &["fought"]);
                let given = given.changing("stock", -(dice.roll(3) as i64), Some(0));
                let given = given.claiming(&format!("key-{}", dice.roll(400)), "x");
                match store.append(given).await {
                    Ok(appended) => {
                        assert_eq!(appended.last.0 - appended.first.0, 2);
                        version += 2;
                        written += 3;
                    }
                    Err(AppendError::Conflict { .. } | AppendError::Refused(_)) => {}
                    Err(other) => panic!("seed {seed}: {other:?}"),
                }
            }
            written
        }
    }))
    .await;
    let events = everything(&*store).await;
    assert_eq!(events.len() as i64, counts.iter().sum::<i64>(), "what was said to be written was, and nothing else");
    assert_whole(&events);
    assert_eq!(store.head().await.unwrap().position, Position(events.len() as i64));
}

pub async fn the_time_of_record_never_goes_back(store: Arc<impl EventStore + 'static>) {
    all_at_once((0..32).map(|_| {
        let store = store.clone();
        async move {
            for _ in 0..10 {
                store.append(append().with(&stream(), 0, &["a", "b"])).await.unwrap();
            }
        }
    }))
    .await;
    let events = everything(&*store).await;
    assert_eq!(events.len(), 640);
    assert!(events.is_sorted_by_key(|event| event.recorded_at));
}

pub async fn the_watch_knows_of_an_append_before_its_answer(store: Arc<impl EventStore + 'static>) {
    let watch = store.watch_head();
    assert_eq!(*watch.borrow(), Position::ZERO);
    for n in 1..=20 {
        let appended = store.append(append().with(&StreamId::new(Uuid::now_v7(), "a"), 0, &["a"])).await.unwrap();
        assert_eq!(appended.last, Position(n));
        assert_eq!(*watch.borrow(), Position(n));
    }
}
