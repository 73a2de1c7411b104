//! Appends, streams and versions.
use super::given::{append, assert_whole, event, everything, payload, stream};
use crate::append::{MAX_APPEND_BYTES, MAX_EVENTS_PER_APPEND, MAX_PAYLOAD_BYTES};
use crate::{
    Append, AppendError, EventStore, Expected, MAX_READ_AT_ONCE, Position, Slot, StreamAppend, StreamId, Version,
    slot_of,
};
use std::sync::Arc;
use uuid::Uuid;

pub async fn an_append_is_read_back_as_it_was_given(store: Arc<impl EventStore + 'static>) {
    let order = stream();
    let mut given = append().with(&order, 0, &["OrderPlaced"]);
    let text = "{ \"b\" : 1,\n \"a\": \"\u{fc}\", \"a\": 2.50, \"deep\": [[{}]], \"escaped\": \"\\\\u0000\" }";
    given.streams[0].events[0].payload = payload(text);
    given.streams[0].events[0].schema_version = 3;
    Arc::make_mut(&mut given.metadata).reason_code = Some("requested".into());
    let appended = store.append(given.clone()).await.unwrap();
    assert_eq!((appended.first, appended.last), (Position(1), Position(1)));

    let read = store.read_streams(order.id).await.unwrap();
    assert_eq!(read.len(), 1);
    let event = &read[0];
    assert_eq!(event.payload.get(), text, "byte for byte");
    assert_eq!(event.metadata, given.metadata);
    assert_eq!((&event.stream, event.version), (&order, Version(1)));
    assert_eq!((event.log, event.position), (store.log(), Position(1)));
    assert_eq!((event.shop.as_str(), event.event_type.as_ref(), event.schema_version), ("dev", "OrderPlaced", 3));
    assert_eq!(event.recorded_at, appended.recorded_at);
    assert_eq!(event.incarnation, store.head().await.unwrap().incarnation);
    assert_eq!(everything(&*store).await.len(), 1);
    assert!(store.read_streams(Uuid::now_v7()).await.unwrap().is_empty());
    assert_eq!(slot_of(order.id), Slot(order.id.as_bytes()[15]));
}

pub async fn positions_follow_the_rank_and_then_the_order_given(store: Arc<impl EventStore + 'static>) {
    let order = stream();
    let saga = StreamId::new(order.id, "saga");
    let ranked = |event_type, rank| crate::NewEvent { rank, ..event(event_type) };
    let mut given = append();
    let part = |stream: &StreamId, events| StreamAppend { stream: stream.clone(), expected: Expected::Any, events };
    given.streams.push(part(&saga, vec![ranked("b", 1), ranked("d", 2), ranked("a", 0)]));
    given.streams.push(part(&order, vec![ranked("c", 1), ranked("e", 9)]));
    store.append(given).await.unwrap();
    let events = store.read_streams(order.id).await.unwrap();
    let types: Vec<_> = events.iter().map(|event| event.event_type.as_ref()).collect();
    assert_eq!(types, ["a", "b", "c", "d", "e"], "all streams of the id, in position order");
    assert_whole(&events);
}

pub async fn a_stream_that_is_not_as_expected_is_a_conflict(store: Arc<impl EventStore + 'static>) {
    let order = stream();
    store.append(append().with(&order, 0, &["a", "b"])).await.unwrap();
    for expected in [0, 1, 3] {
        match store.append(append().with(&stream(), 0, &["x"]).with(&order, expected, &["c"])).await {
            Err(AppendError::Conflict { stream, expected: e, actual }) => {
                assert_eq!((stream, e, actual), (order.clone(), Version(expected), Version(2)));
            }
            other => panic!("{other:?}"),
        }
    }
    let appended = store.append(append().with(&order, 2, &["c"])).await.unwrap();
    assert_eq!(appended.first, Position(3), "a conflict leaves no hole");
}

pub async fn a_stream_that_is_only_read_must_be_as_expected(store: Arc<impl EventStore + 'static>) {
    let (order, other) = (stream(), stream());
    store.append(append().with(&order, 0, &["a"])).await.unwrap();
    let conflict = store.append(append().with(&order, 0, &[]).with(&other, 0, &["x"])).await;
    assert!(matches!(conflict, Err(AppendError::Conflict { .. })), "{conflict:?}");
    assert!(store.read_streams(other.id).await.unwrap().is_empty());
    store.append(append().with(&order, 1, &[]).with(&other, 0, &["x"])).await.unwrap();
    assert_eq!(store.read_streams(other.id).await.unwrap().len(), 1);
}

pub async fn any_version_is_taken_where_any_is_expected(store: Arc<impl EventStore + 'static>) {
    let order = stream();
    for _ in 0..3 {
        store.append(append().with_any(&order, &["a", "b"])).await.unwrap();
    }
    assert_whole(&everything(&*store).await);
}

pub async fn what_is_malformed_is_refused_and_writes_nothing(store: Arc<impl EventStore + 'static>) {
    let with_payload = |text: String| {
        let mut given = append().with(&stream(), 0, &["a"]);
        given.streams[0].events[0].payload = payload(&text);
        given
    };
    let order = stream();
    let mut no_shop = append().with(&order, 0, &["a"]);
    no_shop.shop.clear();
    let cases: Vec<(&str, Append)> = vec![
        ("a payload too long", with_payload(format!("\"{}\"", "x".repeat(MAX_PAYLOAD_BYTES)))),
        ("U+0000 in a payload", with_payload(r#"{"a":"\u0000"}"#.into())),
        ("a stream twice", append().with(&order, 0, &["a"]).with(&order, 0, &["b"])),
        ("a negative version", append().with(&order, -1, &["a"])),
        ("a type without a name", append().with(&order, 0, &[""])),
        ("too many bytes", {
            let mut given = append().with(&order, 0, &["a"; MAX_APPEND_BYTES / MAX_PAYLOAD_BYTES + 1]);
            for event in &mut given.streams[0].events {
                event.payload = payload(&format!("\"{}\"", "x".repeat(MAX_PAYLOAD_BYTES - 2)));
            }
            given
        }),
        ("too many events", append().with(&order, 0, &vec!["a"; MAX_EVENTS_PER_APPEND + 1])),
        ("U+0000 in a key", append().with(&order, 0, &["a"]).claiming("a\0", "x")),
        ("a claim twice", append().with(&order, 0, &["a"]).claiming("a", "x").claiming("a", "y")),
        ("an account too long", append().changing(&"x".repeat(5_000), 1, None)),
        ("a change too large", append().changing("a", i64::MAX, None)),
        ("no shop", no_shop),
    ];
    for (what, given) in cases {
        let refused = store.append(given).await;
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{what}: {refused:?}");
    }
    assert!(everything(&*store).await.is_empty());
    store.append(with_payload(format!("\"{}\"", "x".repeat(MAX_PAYLOAD_BYTES - 2)))).await.unwrap();
}

pub async fn the_same_command_again_answers_what_was_written_first(store: Arc<impl EventStore + 'static>) {
    let (order, other) = (stream(), stream());
    let saga = StreamId::new(order.id, "saga");
    let given =
        append().with(&order, 0, &["a", "b"]).with(&saga, 0, &["c"]).claiming("ref", "me").changing("x", 5, None);
    let first = store.append(given.clone()).await.unwrap();
    store.append(append().with(&order, 2, &["d"]).with(&other, 0, &["e"])).await.unwrap();
    assert_eq!(store.append(given.clone()).await.unwrap(), first, "stopped by the claim");
    let without = Append { claims: Vec::new(), ..given };
    assert_eq!(store.append(without).await.unwrap(), first, "stopped by the version");
    assert_eq!(store.balances(&["x".into()]).await.unwrap(), [("x".into(), 5)], "once");
    assert_eq!(everything(&*store).await.len(), 5);
}

pub async fn a_command_that_was_written_elsewhere_is_a_conflict_all_the_same(store: Arc<impl EventStore + 'static>) {
    let order = stream();
    let given = append().with(&order, 0, &["a"]);
    store.append(given.clone()).await.unwrap();
    let more = Append { metadata: given.metadata.clone(), ..append().with(&order, 0, &["a", "b"]) };
    let conflict = store.append(more).await;
    assert!(matches!(conflict, Err(AppendError::Conflict { .. })), "another number of events: {conflict:?}");
    let later = Append { metadata: given.metadata, ..append().with(&order, 1, &["b"]).with(&stream(), 0, &["c"]) };
    store.append(later).await.unwrap();
}

pub async fn two_thousand_streams_fit_into_one_append(store: Arc<impl EventStore + 'static>) {
    let streams: Vec<_> =
        (0..MAX_EVENTS_PER_APPEND).map(|_| StreamId::new(Uuid::from_u128(rand::random()), "stock")).collect();
    for round in 1..=2 {
        let mut given = append();
        for (stream, n) in streams.iter().zip(0..) {
            given = given.with_any(stream, &["StockReceived"]).changing(&format!("stock/{n}"), 3, None);
        }
        let appended = store.append(given).await.unwrap();
        assert_eq!(appended.last.0 - appended.first.0 + 1, MAX_EVENTS_PER_APPEND as i64);
        let balances = store.list_balances("stock/", "", 5_000).await.unwrap();
        assert_eq!(balances.len(), MAX_EVENTS_PER_APPEND);
        assert!(balances.iter().all(|(_, balance)| *balance == 3 * round));
    }
    assert_whole(&everything(&*store).await);
}

pub async fn the_streams_of_many_ids_are_read_at_once_each_as_alone(store: Arc<impl EventStore + 'static>) {
    let orders: Vec<StreamId> = (0..MAX_READ_AT_ONCE + 3).map(|_| stream()).collect();
    for order in &orders {
        let other = StreamId::new(order.id, "payment");
        store.append(append().with(order, 0, &["a", "b"]).with(&other, 0, &["c"])).await.unwrap();
        store.append(append().with(order, 2, &["d"])).await.unwrap();
    }
    let unknown = stream();
    // Not in the order in which they were written, and one more than there is.
    let ids: Vec<_> = orders.iter().rev().chain([&unknown]).map(|stream| stream.id).collect();
    let read = store.read_streams_of(&ids).await.unwrap();
    assert_eq!(read.len(), ids.len());
    for (id, events) in ids.iter().zip(&read) {
        assert_eq!(format!("{events:?}"), format!("{:?}", store.read_streams(*id).await.unwrap()));
        assert_eq!(events.len(), if *id == unknown.id { 0 } else { 4 });
    }
    assert!(store.read_streams_of(&[]).await.unwrap().is_empty());
}
