//! The lives of a log, for an implementation whose way to begin one is given: a port has none, since only who restores may.
use super::given::{append, assert_whole, everything, stream};
use crate::{EventStore, Incarnation, Life, Position};

/// `begin`: after a position, or after the head if that lies before; with at least this number.
pub async fn an_event_belongs_to_the_latest_life_that_began_before_it(
    store: &impl EventStore,
    begin: impl AsyncFn(Position, Incarnation) -> Life,
) {
    let lives = store.lives().await.unwrap();
    assert_eq!((lives.current(), lives.all().len(), lives.all()[0].after), (Incarnation(1), 1, Position::ZERO));
    let order = stream();
    store.append(append().with(&order, 0, &["a", "b", "c"])).await.unwrap();

    let second = begin(Position(i64::MAX), Incarnation(1)).await;
    assert_eq!((second.incarnation, second.after), (Incarnation(2), Position(3)));
    store.append(append().with(&order, 3, &["d", "e"])).await.unwrap();
    assert_eq!(incarnations(store).await, [1, 1, 1, 2, 2]);
    assert_eq!(store.head().await.unwrap().incarnation, Incarnation(2));

    // The world knows others after position 4, written by a life that was numbered 6.
    let third = begin(Position(4), Incarnation(7)).await;
    assert_eq!((third.incarnation, third.after), (Incarnation(7), Position(4)));
    store.append(append().with(&order, 5, &["f"])).await.unwrap();
    assert_eq!(incarnations(store).await, [1, 1, 1, 2, 7, 7]);
    let of_order = store.read_streams(order.id).await.unwrap();
    assert!(of_order.iter().map(|event| event.incarnation.0).eq([1, 1, 1, 2, 7, 7]), "by stream as by position");
    let begun: Vec<_> =
        store.lives().await.unwrap().all().iter().map(|life| (life.incarnation.0, life.after.0)).collect();
    assert_eq!(begun, [(1, 0), (2, 3), (7, 4)]);
}

async fn incarnations(store: &impl EventStore) -> Vec<i32> {
    let events = everything(store).await;
    assert_whole(&events);
    events.iter().map(|event| event.incarnation.0).collect()
}
