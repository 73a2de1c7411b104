//! One batch, many members, each refused for a reason of its own.
use super::support::{hold_log, spawn_append, store, wait_for_lock_waits};
use eventstore::contract::given::{append, assert_whole, everything, payload, stream};
use eventstore::{AppendError, Appended, EventStore, Fence, Position, Refusal, Slot};
use std::time::Duration;
use tokio::task::JoinHandle;
use uuid::Uuid;

type Pending = JoinHandle<Result<Appended, AppendError>>;

async fn refusal(pending: Pending) -> AppendError {
    match pending.await.unwrap() {
        Err(error) => error,
        Ok(appended) => panic!("it was taken, at {appended:?}"),
    }
}

/// On one thread, so that they stand in the queue in the order given.
#[tokio::test]
async fn the_members_of_a_batch_are_each_refused_for_a_reason_of_their_own() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    let (slot, order) = (Slot(9), stream());
    let lease = store.take_leases(&[slot], Uuid::now_v7(), Duration::from_secs(60)).await.unwrap()[0];
    let given = append().with(&order, 0, &["a"]).claiming("held", "me").changing("stock", 3, None);
    store.append(given.moving("saga", None, 1)).await.unwrap();

    // Something is under way while all of them come.
    let holder = hold_log(&pool, 0).await;
    let under_way = spawn_append(&store, append().with(&stream(), 0, &["under way"]));
    wait_for_lock_waits(&pool, 1).await;
    let new = || append().with(&stream(), 0, &["x"]);
    let mut broken = new();
    broken.streams[0].events[0].payload = payload(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
    let given = [
        new().fenced(Fence { slot, epoch: lease.epoch + 1 }),
        new().moving("saga", Some(7), 8),
        new().claiming("held", "you"),
        new().with(&order, 0, &["b"]),
        append().with(&stream(), 3, &[]),
        new().changing("stock", -4, Some(0)),
        broken,
        // Taken; those after it find what it has left.
        new().claiming("free", "first").changing("stock", -2, Some(0)),
        new().claiming("free", "second"),
        new().changing("stock", -2, Some(0)),
        new().changing("stock", -1, Some(0)).fenced(Fence { slot, epoch: lease.epoch }),
    ];
    let pending: Vec<Pending> = given.into_iter().map(|given| spawn_append(&store, given)).collect();
    tokio::task::yield_now().await;
    holder.rollback().await.unwrap();
    assert_eq!(under_way.await.unwrap().unwrap().last, Position(2));

    let mut pending = pending.into_iter();
    let mut next = || pending.next().unwrap();
    assert!(matches!(refusal(next()).await, AppendError::Fenced { slot: 9 }));
    assert!(matches!(refusal(next()).await, AppendError::CheckpointMoved { name, .. } if name == "saga"));
    match refusal(next()).await {
        AppendError::Refused(Refusal::ClaimTaken(taken)) => {
            assert_eq!((taken.holder.as_str(), taken.position), ("me", Position(1)));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(refusal(next()).await, AppendError::Conflict { stream, actual, .. } if stream == order && actual.0 == 1)
    );
    assert!(
        matches!(refusal(next()).await, AppendError::Conflict { expected, actual, .. } if (expected.0, actual.0) == (3, 0))
    );
    assert!(matches!(refusal(next()).await, AppendError::Refused(Refusal::BelowFloor { balance: 3, delta: -4, .. })));
    assert!(matches!(refusal(next()).await, AppendError::Invalid(_)));
    assert_eq!(next().await.unwrap().unwrap().last, Position(3));
    match refusal(next()).await {
        AppendError::Refused(Refusal::ClaimTaken(taken)) => {
            assert_eq!((taken.holder.as_str(), taken.position), ("first", Position(3)), "by one of the same batch");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(refusal(next()).await, AppendError::Refused(Refusal::BelowFloor { balance: 1, delta: -2, .. })));
    assert_eq!(next().await.unwrap().unwrap().last, Position(4));

    let events = everything(&*store).await;
    assert_eq!(events.len(), 4);
    assert_whole(&events);
    assert_eq!(store.balances(&["stock".into()]).await.unwrap(), [("stock".into(), 0)]);
}
