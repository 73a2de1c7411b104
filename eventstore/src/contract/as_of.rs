//! The log and its streams as they were.
use super::given::{append, everything, stream};
use super::race::all_at_once;
use crate::{AsOf, AsOfError, EventStore, Position, RecordedEvent, StreamId};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use std::time::Duration;

/// Batches of three, each recorded at an instant of its own.
async fn three_batches(store: &impl EventStore) -> Vec<RecordedEvent> {
    for _ in 0..3 {
        store.append(append().with(&stream(), 0, &["a", "b", "c"])).await.unwrap();
        // The clock moves on by itself; the next append is to be of a later microsecond.
        let last = everything(store).await.pop().unwrap().recorded_at;
        while Utc::now() <= last + TimeDelta::microseconds(2) {
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
    }
    everything(store).await
}

/// The slow way.
fn last_by(events: &[RecordedEvent], time: DateTime<Utc>) -> Position {
    events.iter().rev().find(|event| event.recorded_at <= time).map_or(Position::ZERO, |event| event.position)
}

pub async fn a_stream_and_the_log_are_read_as_of_a_position(store: Arc<impl EventStore + 'static>) {
    let order = stream();
    let saga = StreamId::new(order.id, "saga");
    store.append(append().with(&order, 0, &["a"])).await.unwrap();
    store.append(append().with(&stream(), 0, &["other"])).await.unwrap();
    store.append(append().with(&order, 1, &["b"]).with(&saga, 0, &["c"])).await.unwrap();
    let whole: Vec<Position> = store.read_streams(order.id).await.unwrap().iter().map(|event| event.position).collect();
    assert_eq!(whole, [1, 3, 4].map(Position));
    for upto in 0..=5 {
        let past = store.read_streams_as_of(order.id, Position(upto)).await.unwrap();
        let past: Vec<Position> = past.iter().map(|event| event.position).collect();
        let expected: Vec<Position> = whole.iter().copied().filter(|position| position.0 <= upto).collect();
        assert_eq!(past, expected, "as of {upto}");
        for (after, limit) in [(0, 10), (0, 2), (2, 10), (4, 1), (9, 1)] {
            let read = store.read_log_as_of(Position(after), Position(upto), limit).await.unwrap();
            let read: Vec<i64> = read.iter().map(|event| event.position.0).collect();
            let expected: Vec<i64> = (after + 1..=upto.min(4)).take(limit).collect();
            assert_eq!(read, expected, "after {after}, as of {upto}, at most {limit}");
        }
    }
    assert!(store.read_streams_as_of(stream().id, Position(9)).await.unwrap().is_empty());
}

pub async fn an_instant_is_the_last_position_recorded_by_then(store: Arc<impl EventStore + 'static>) {
    let events = three_batches(&*store).await;
    let instants: Vec<DateTime<Utc>> = events.iter().map(|event| event.recorded_at).collect();
    for (batch, last) in [(0, 3), (3, 6), (6, 9)] {
        assert_eq!(instants[batch], instants[batch + 2], "a batch is of one instant");
        let exactly = store.position_at(instants[batch]).await.unwrap();
        assert_eq!(exactly, Position(last), "at the instant itself, all of its batch");
        for (offset, what) in [(-1, "just before"), (1, "just after")] {
            let time = instants[batch] + TimeDelta::microseconds(offset);
            assert_eq!(store.position_at(time).await.unwrap(), last_by(&events, time), "{what} batch {batch}");
        }
        let finer = instants[batch] + TimeDelta::nanoseconds(999);
        assert_eq!(store.position_at(finer).await.unwrap(), Position(last), "finer than what is kept");
        assert_eq!(AsOf::Time(finer).resolve(&*store).await.unwrap(), Position(last));
    }
}

pub async fn before_the_first_event_there_was_nothing(store: Arc<impl EventStore + 'static>) {
    for time in [DateTime::UNIX_EPOCH, Utc::now(), DateTime::<Utc>::MAX_UTC] {
        assert_eq!(store.position_at(time).await.unwrap(), Position::ZERO, "an empty log at {time}");
    }
    let events = three_batches(&*store).await;
    let before = events[0].recorded_at - TimeDelta::microseconds(1);
    for time in [before, DateTime::UNIX_EPOCH, DateTime::<Utc>::MIN_UTC] {
        assert_eq!(store.position_at(time).await.unwrap(), Position::ZERO, "{time}");
    }
    assert_eq!(AsOf::Position(Position::ZERO).resolve(&*store).await.unwrap(), Position::ZERO);
    assert!(store.read_streams_as_of(events[0].stream.id, Position::ZERO).await.unwrap().is_empty());
}

pub async fn a_position_beyond_the_head_is_refused_and_a_time_to_come_is_the_head(
    store: Arc<impl EventStore + 'static>,
) {
    three_batches(&*store).await;
    assert_eq!(AsOf::Position(Position(9)).resolve(&*store).await.unwrap(), Position(9));
    match AsOf::Position(Position(10)).resolve(&*store).await {
        Err(AsOfError::BeyondHead { asked, head }) => assert_eq!((asked, head), (Position(10), Position(9))),
        other => panic!("{other:?}"),
    }
    for time in [Utc::now() + TimeDelta::days(365), DateTime::<Utc>::MAX_UTC] {
        assert_eq!(AsOf::Time(time).resolve(&*store).await.unwrap(), Position(9), "{time}");
    }
}

/// Whatever an answer is, it is right for the log as it is later known: what was recorded by an instant that is over stays so.
pub async fn an_instant_is_found_while_others_append(store: Arc<impl EventStore + 'static>) {
    let asked = all_at_once((0..8).map(|n| {
        let store = store.clone();
        async move {
            let mut asked = Vec::new();
            for _ in 0..20 {
                if n % 2 == 0 {
                    store.append(append().with(&stream(), 0, &["a", "b"])).await.unwrap();
                } else if let Some(known) = store.read_log(Position::ZERO, 200).await.unwrap().pop() {
                    let time = known.recorded_at - TimeDelta::microseconds(1);
                    asked.push((time, store.position_at(time).await.unwrap()));
                }
            }
            asked
        }
    }))
    .await;
    let events = everything(&*store).await;
    assert_eq!(events.len(), 160);
    for (time, found) in asked.into_iter().flatten() {
        assert_eq!(found, last_by(&events, time), "{time}");
    }
}
