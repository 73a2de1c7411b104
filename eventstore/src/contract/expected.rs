//! What an append expects, and what it hears when several things are not so.
use super::given::{append, everything, stream};
use crate::{
    Append, AppendError, EventStore, Expected, Fence, Position, Refusal, StreamAppend, StreamId, Version, slot_of,
};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

fn expecting(stream: &StreamId, expected: Expected) -> StreamAppend {
    StreamAppend { stream: stream.clone(), expected, events: Vec::new() }
}

pub async fn no_stream_is_taken_where_there_is_none_and_is_a_conflict_where_there_is(
    store: Arc<impl EventStore + 'static>,
) {
    let order = stream();
    let begin = |event_type| {
        let mut given = append().with(&order, 0, &[event_type]);
        given.streams[0].expected = Expected::NO_STREAM;
        given
    };
    store.append(begin("first")).await.unwrap();
    match store.append(begin("second")).await {
        Err(AppendError::Conflict { stream, expected, actual }) => {
            assert_eq!((stream, expected, actual), (order.clone(), Version::NONE, Version(1)));
        }
        other => panic!("{other:?}"),
    }
    // Another kind under the same id is another stream.
    let mut saga = append();
    saga.streams = vec![expecting(&StreamId::new(order.id, "saga"), Expected::NO_STREAM)];
    store.append(saga).await.unwrap();
    assert_eq!(everything(&*store).await.len(), 1);
}

/// Also where nothing at all is written: then it asks whether several streams stand together as they were read.
pub async fn streams_that_are_only_read_must_be_as_expected_though_no_event_is_written(
    store: Arc<impl EventStore + 'static>,
) {
    let (one, two, none) = (stream(), stream(), stream());
    store.append(append().with(&one, 0, &["a", "b"]).with(&two, 0, &["c"])).await.unwrap();
    let reading = |first, second, third| Append {
        streams: vec![expecting(&one, first), expecting(&two, second), expecting(&none, third)],
        ..append()
    };
    let exact = |version| Expected::Exact(Version(version));
    for (first, second, third) in
        [(exact(2), exact(1), Expected::NO_STREAM), (Expected::Any, Expected::Any, Expected::Any)]
    {
        let appended = store.append(reading(first, second, third)).await.unwrap();
        assert_eq!((appended.first, appended.last), (Position(3), Position(3)), "where the log stands");
    }
    let wrong = [
        (exact(1), exact(1), Expected::NO_STREAM, &one, 2),
        (exact(2), exact(2), Expected::NO_STREAM, &two, 1),
        (exact(2), Expected::NO_STREAM, Expected::NO_STREAM, &two, 1),
        (exact(2), exact(1), exact(1), &none, 0),
        // Of several the first in the order given.
        (exact(7), exact(7), exact(7), &one, 2),
    ];
    for (first, second, third, at_fault, at) in wrong {
        let claiming = reading(first, second, third).claiming("ref", "me").changing("stock", 1, None);
        match store.append(claiming).await {
            Err(AppendError::Conflict { stream, actual, .. }) => assert_eq!((&stream, actual), (at_fault, Version(at))),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.claim("order_ref:dev", "ref").await.unwrap(), None, "what else it asked for is refused with it");
    assert!(store.balances(&["stock".into()]).await.unwrap().is_empty());
}

/// Its lease, its checkpoint, a claim, a stream, a balance: each is told only once those before it are well.
pub async fn of_several_things_in_its_way_an_append_hears_the_first_in_a_set_order(
    store: Arc<impl EventStore + 'static>,
) {
    let order = stream();
    let slot = slot_of(order.id);
    let lease = store.take_leases(&[slot], Uuid::now_v7(), Duration::from_secs(60)).await.unwrap()[0];
    let given = append().with(&order, 0, &["a"]).claiming("ref", "me").changing("stock", 1, None);
    store.append(given.moving("saga", None, 5)).await.unwrap();

    let all_wrong = |fence, from, key, version, delta| {
        let given = append().with(&order, version, &["b"]).claiming(key, "you").changing("stock", delta, Some(0));
        given.moving("saga", from, 6).fenced(Fence { slot, epoch: fence })
    };
    let (held, moved) = (lease.epoch, Some(5));
    let fenced = store.append(all_wrong(held + 1, None, "ref", 0, -2)).await;
    assert!(matches!(fenced, Err(AppendError::Fenced { .. })), "{fenced:?}");
    let behind = store.append(all_wrong(held, None, "ref", 0, -2)).await;
    assert!(matches!(behind, Err(AppendError::CheckpointMoved { .. })), "{behind:?}");
    let taken = store.append(all_wrong(held, moved, "ref", 0, -2)).await;
    assert!(matches!(taken, Err(AppendError::Refused(Refusal::ClaimTaken(_)))), "{taken:?}");
    let conflict = store.append(all_wrong(held, moved, "free", 0, -2)).await;
    assert!(matches!(conflict, Err(AppendError::Conflict { .. })), "{conflict:?}");
    let below = store.append(all_wrong(held, moved, "free", 1, -2)).await;
    assert!(matches!(below, Err(AppendError::Refused(Refusal::BelowFloor { .. }))), "{below:?}");
    store.append(all_wrong(held, moved, "free", 1, -1)).await.unwrap();
    assert_eq!(everything(&*store).await.len(), 2);
}
