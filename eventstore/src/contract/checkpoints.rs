//! Checkpoints: how far a reader has come, moved on with what it appends.
use super::given::{append, assert_whole, everything, stream};
use super::race::all_at_once;
use crate::append::MAX_KEY_BYTES;
use crate::{Append, AppendError, Appended, EventStore, Fence, Incarnation, Position, slot_of};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

async fn at(store: &impl EventStore, name: &str) -> Option<i64> {
    let (incarnation, position) = store.checkpoint(name).await.unwrap()?;
    assert_eq!(incarnation, Incarnation(1));
    Some(position.0)
}

/// Fails unless the append was refused because the checkpoint is at `actual`.
fn assert_moved(outcome: Result<Appended, AppendError>, wanted: &str, at: Option<i64>) {
    match outcome {
        Err(AppendError::CheckpointMoved { name, actual, .. }) => {
            assert_eq!(name, wanted);
            assert_eq!(actual, at.map(|at| (Incarnation(1), Position(at))));
        }
        other => panic!("{other:?}"),
    }
}

pub async fn a_checkpoint_moves_only_from_where_it_is(store: Arc<impl EventStore + 'static>) {
    assert_eq!(at(&*store, "saga").await, None);
    assert_moved(store.append(append().moving("saga", Some(0), 5)).await, "saga", None);
    let appended = store.append(append().moving("saga", None, 0)).await.unwrap();
    assert_eq!((appended.first, appended.last), (Position::ZERO, Position::ZERO), "without events the log stays");
    assert_eq!(at(&*store, "saga").await, Some(0));
    assert_moved(store.append(append().moving("saga", None, 7)).await, "saga", Some(0));
    store.append(append().moving("saga", Some(0), 5)).await.unwrap();
    assert_moved(store.append(append().moving("saga", Some(0), 6)).await, "saga", Some(5));
    assert_moved(store.append(append().moving("saga", Some(4), 6)).await, "saga", Some(5));
    assert_eq!(at(&*store, "saga").await, Some(5));

    assert_eq!(at(&*store, "Saga").await, None, "each has its own");
    store.append(append().moving("Saga", None, 1)).await.unwrap();
    assert_eq!((at(&*store, "saga").await, at(&*store, "Saga").await), (Some(5), Some(1)));
}

pub async fn a_checkpoint_only_goes_forward(store: Arc<impl EventStore + 'static>) {
    store.append(append().moving("saga", None, 5)).await.unwrap();
    let long = "x".repeat(MAX_KEY_BYTES + 1);
    let backwards = [("saga", Some(5), 4), ("saga", Some(5), 5), ("new", None, -1), ("", None, 1), (&long, None, 1)];
    for (name, from, to) in backwards {
        let refused = store.append(append().moving(name, from, to)).await;
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{name} {from:?} {to}: {refused:?}");
    }
    // A new incarnation of the log may begin at an older position.
    let mut next = append().moving("saga", Some(5), 3);
    next.checkpoint.as_mut().unwrap().to.0 = Incarnation(2);
    store.append(next).await.unwrap();
    assert_eq!(store.checkpoint("saga").await.unwrap(), Some((Incarnation(2), Position(3))));
    // The same position of another life is another place.
    let old = store.append(append().moving("saga", Some(3), 6)).await;
    assert!(matches!(old, Err(AppendError::CheckpointMoved { .. })), "{old:?}");
}

pub async fn a_checkpoint_and_its_events_are_written_all_or_nothing(store: Arc<impl EventStore + 'static>) {
    let order = stream();
    let given = |from, to| append().moving("saga", from, to).claiming(&to.to_string(), "x").changing("a", 1, None);
    store.append(given(None, 1).with(&order, 0, &["a", "b"])).await.unwrap();
    assert_moved(store.append(given(None, 2).with(&stream(), 0, &["c"])).await, "saga", Some(1));
    assert_moved(store.append(given(None, 1).with(&order, 0, &["c"])).await, "saga", Some(1));

    let conflict = store.append(given(Some(1), 2).with(&order, 1, &["c"])).await;
    assert!(matches!(conflict, Err(AppendError::Conflict { .. })), "{conflict:?}");
    let refused = store.append(given(Some(1), 2).with(&order, 2, &["c"]).changing("b", -1, Some(0))).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");

    assert_eq!(at(&*store, "saga").await, Some(1));
    assert_eq!(everything(&*store).await.len(), 2);
    assert_eq!(store.balances(&["a".into()]).await.unwrap(), [("a".into(), 1)]);
    assert_eq!(store.claim("order_ref:dev", "2").await.unwrap(), None);
    store.append(given(Some(1), 2).with(&order, 2, &["c"])).await.unwrap();
    assert_eq!((at(&*store, "saga").await, everything(&*store).await.len()), (Some(2), 3));
}

pub async fn a_checkpoint_is_moved_only_under_the_epoch_of_its_owner(store: Arc<impl EventStore + 'static>) {
    let slot = slot_of(stream().id);
    let first = store.take_leases(&[slot], Uuid::now_v7(), Duration::ZERO).await.unwrap()[0];
    let old = Fence { slot, epoch: first.epoch };
    store.append(append().moving("saga", None, 1).fenced(old)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = store.take_leases(&[slot], Uuid::now_v7(), Duration::from_secs(60)).await.unwrap()[0];
    for from in [None, Some(1)] {
        let fenced = store.append(append().moving("saga", from, 2).fenced(old)).await;
        assert!(matches!(fenced, Err(AppendError::Fenced { .. })), "told before all else: {fenced:?}");
    }
    assert_eq!(at(&*store, "saga").await, Some(1));
    store.append(append().moving("saga", Some(1), 2).fenced(Fence { slot, epoch: second.epoch })).await.unwrap();
    assert_eq!(at(&*store, "saga").await, Some(2));
}

/// All of them want the same move, with events and without: whoever loses must not take the winner's for its own.
pub async fn of_owners_who_race_for_a_checkpoint_one_gets_each_move(store: Arc<impl EventStore + 'static>) {
    const MOVES: i64 = 40;
    let won = all_at_once((0..6).map(|n| {
        let store = store.clone();
        async move {
            let mut won = (0, 0);
            loop {
                let from = at(&*store, "saga").await;
                let to = from.map_or(1, |from| from + 1);
                if to > MOVES {
                    return won;
                }
                let given = append().moving("saga", from, to);
                let given = if n % 2 == 0 { given.with(&stream(), 0, &["a"]) } else { given };
                match store.append(given).await {
                    Ok(_) if n % 2 == 0 => won.0 += 1,
                    Ok(_) => won.1 += 1,
                    Err(AppendError::CheckpointMoved { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }))
    .await;
    let (with, without) = won.iter().fold((0, 0), |sum, won| (sum.0 + won.0, sum.1 + won.1));
    assert_eq!(with + without, MOVES, "{won:?}");
    let events = everything(&*store).await;
    assert_eq!(events.len() as i64, with, "who lost wrote nothing");
    assert_whole(&events);
}

pub async fn a_checkpoint_alone_recognises_its_append(store: Arc<impl EventStore + 'static>) {
    store.append(append().with(&stream(), 0, &["a", "b"])).await.unwrap();
    let given = append().moving("saga", None, 2).changing("a", 1, None).claiming("k", "x");
    let first = store.append(given.clone()).await.unwrap();
    assert_eq!((first.first, first.last), (Position(2), Position(2)));
    store.append(append().with(&stream(), 0, &["c"])).await.unwrap();
    assert_eq!(store.append(given.clone()).await.unwrap(), first, "the same answer, though the log went on");
    assert_eq!(store.balances(&["a".into()]).await.unwrap(), [("a".into(), 1)], "once");

    assert_moved(store.append(append().moving("saga", None, 2)).await, "saga", Some(2));
    let other = Append { metadata: given.metadata.clone(), ..append().moving("saga", None, 3) };
    assert_moved(store.append(other).await, "saga", Some(2));
    let next = append().moving("saga", Some(2), 3);
    store.append(next.clone()).await.unwrap();
    assert_moved(store.append(given).await, "saga", Some(3));
    store.append(next).await.unwrap();

    // With events, it's they that show it, whoever has moved the checkpoint on since.
    let given = append().moving("saga", Some(3), 4).with_any(&stream(), &["d"]);
    let written = store.append(given.clone()).await.unwrap();
    store.append(append().moving("saga", Some(4), 5)).await.unwrap();
    assert_eq!(store.append(given).await.unwrap(), written);
    assert_eq!(everything(&*store).await.len(), 4);
}
