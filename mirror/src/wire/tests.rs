//! There and back.
use super::*;
use crate::topics;
use chrono::DateTime;
use eventstore::{Actor, ActorKind, Source, contract::given};
use proptest::prelude::*;
use rdkafka::{Timestamp, message::OwnedMessage};

fn at(incarnation: i32, position: i64) -> Place {
    match position {
        0 => Place::START,
        position => Place { incarnation: Incarnation(incarnation), position: Position(position) },
    }
}

fn message(event: &RecordedEvent, prev: i64, refill: Option<i64>) -> OwnedMessage {
    OwnedMessage::new(
        Some(event.payload.get().as_bytes().to_vec()),
        Some(topics::key(event).into_bytes()),
        "waybill.order.v1".into(),
        Timestamp::NotAvailable,
        0,
        0,
        Some(headers(
            event,
            &Link { prev: at(event.incarnation.0, prev), refill: refill.map(Position), lives: &Lives::first() },
            &mut Common::default(),
        )),
    )
}

fn text(message: &OwnedMessage, key: &str) -> String {
    let headers = message.headers().unwrap();
    let found = headers.iter().find(|header| header.key == key).unwrap().value.unwrap();
    String::from_utf8(found.to_vec()).unwrap()
}

/// Exactly what a metadata, an actor and an event may hold; no control characters but in JSON.
fn events() -> impl Strategy<Value = RecordedEvent> {
    let name = "[A-Za-z]{1,12}";
    let words = "\\PC{1,20}";
    let payload = prop_oneof![
        Just(r#"{"n": 1.50, "s": "a\u0007b", "spaced" : [ 1 ] }"#.to_owned()),
        any::<i64>().prop_map(|n| format!("{n}")),
        words.prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let actor = (words, proptest::option::of(words), proptest::option::of(words))
        .prop_map(|(id, key, on_behalf_of)| Actor { kind: ActorKind::Shop, id, key, on_behalf_of });
    let metadata = (actor, proptest::option::of(words), any::<u128>(), 0..4_000_000_000_i64, 0..1_000_000_u32)
        .prop_map(|(actor, reason_code, id, second, micros)| Metadata {
            command_id: Uuid::from_u128(id),
            causation_id: (id % 2 == 0).then(|| Uuid::from_u128(id / 2)),
            correlation_id: Uuid::from_u128(!id),
            actor,
            source: Source::Webhook,
            reason_code,
            occurred_at: DateTime::from_timestamp(second, micros * 1000).unwrap(),
            trace_id: None,
            app_version: "0.1.0".into(),
        });
    let place = (0..20_i16, 1..9_i32, 1..i64::MAX, any::<u128>(), 1..i32::MAX, 1..9_i16);
    (place, (words, name, "[a-z-]{1,10}"), payload, metadata, 0..1_000_000_000_u32).prop_map(
        |((log, life, position, id, version, schema), (shop, event_type, kind), payload, metadata, nanos)| {
            RecordedEvent {
                log: Log(log),
                incarnation: Incarnation(life),
                position: Position(position),
                stream: StreamId { id: Uuid::from_u128(id), kind: kind.into() },
                version: Version(version),
                shop,
                event_type: event_type.into(),
                schema_version: schema,
                payload: given::payload(&payload),
                recorded_at: metadata.occurred_at.with_timezone(&Utc) + chrono::TimeDelta::nanoseconds(nanos.into()),
                metadata: metadata.into(),
            }
        },
    )
}

proptest! {
    #[test]
    fn an_event_comes_back_as_it_went(event in events(), prev in 0..i64::MAX, refill in proptest::option::of(0..i64::MAX)) {
        let back = decode(&message(&event, prev, refill)).unwrap();
        prop_assert_eq!((back.prev, back.refill), (at(event.incarnation.0, prev), refill.map(Position)));
        prop_assert_eq!(back.event.payload.get(), event.payload.get());
        prop_assert_eq!(format!("{:?}", back.event), format!("{event:?}"));
    }
}

fn placed() -> RecordedEvent {
    RecordedEvent {
        log: Log::MAIN,
        incarnation: Incarnation(1),
        position: Position(42),
        stream: StreamId::new(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_00ff), "order"),
        version: Version(1),
        shop: "dev".into(),
        event_type: "OrderPlaced".into(),
        schema_version: 1,
        payload: given::payload(r#"{"order_ref": "cj-1"}"#),
        metadata: given::metadata().into(),
        recorded_at: given::at(0),
    }
}

#[test]
fn the_headers_are_those_of_cloudevents_in_binary_mode() {
    let message = message(&placed(), 40, None);
    for (key, value) in [
        (CE_SPECVERSION, "1.0"),
        (CE_ID, "main/1/42"),
        (CE_TYPE, "waybill.order.OrderPlaced.v1"),
        (CE_SOURCE, "/waybill/main/dev"),
        (CE_SUBJECT, "order-019200000000700080000000000000ff"),
        (CE_TIME, "2023-11-14T22:13:20Z"),
        (CONTENT_TYPE, "application/json"),
        (PREV, "40"),
    ] {
        assert_eq!(text(&message, key), value);
    }
}

#[test]
fn a_record_of_a_later_life_tells_where_that_began_and_whose_record_it_follows() {
    let lives =
        Lives::told([(Incarnation(2), Position(30)), (Incarnation(3), Position(40)), (Incarnation(4), Position(90))]);
    let event = RecordedEvent { incarnation: Incarnation(3), ..placed() };
    let link = |prev| Link { prev, refill: None, lives: &lives };
    let record = |prev| {
        OwnedMessage::new(
            Some(event.payload.get().as_bytes().to_vec()),
            None,
            "t".into(),
            Timestamp::NotAvailable,
            0,
            0,
            Some(headers(&event, &link(prev), &mut Common::default())),
        )
    };
    let first = record(at(1, 57));
    assert_eq!(
        (text(&first, PREV), text(&first, PREV_INCARNATION), text(&first, LIVES)),
        ("57".into(), "1".into(), "2@30 3@40".into())
    );
    let back = decode(&first).unwrap();
    assert_eq!((back.prev, back.begun_after()), (at(1, 57), Position(40)));
    assert!(at(1, 31).is_abandoned(&back.known_lives()) && at(2, 41).is_abandoned(&back.known_lives()));
    assert!(!at(2, 40).is_abandoned(&back.known_lives()) && !at(3, 41).is_abandoned(&back.known_lives()));
    let next = record(at(3, 41));
    assert!(next.headers().unwrap().iter().all(|header| header.key != PREV_INCARNATION));
    assert_eq!(decode(&next).unwrap().prev, at(3, 41));
}

#[test]
fn what_events_have_in_common_is_told_of_each_and_of_no_other() {
    let lives = Lives::told([]);
    let link = Link { prev: at(1, 40), refill: None, lives: &lives };
    let first = placed();
    let same = RecordedEvent { position: Position(43), ..first.clone() };
    let others = Metadata { app_version: "another".into(), ..(*first.metadata).clone() };
    let other = RecordedEvent { position: Position(44), metadata: others.into(), ..first.clone() };
    let later = RecordedEvent { position: Position(45), recorded_at: given::at(1), ..other.clone() };
    let mut common = Common::default();
    for event in [&first, &same, &other, &later, &first] {
        let told = |headers: &OwnedHeaders| -> Vec<(String, Option<Vec<u8>>)> {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        };
        let [alone, among] = [&mut Common::default(), &mut common].map(|common| told(&headers(event, &link, common)));
        assert_eq!(among, alone);
        assert!(among.contains(&(METADATA.to_owned(), Some(serde_json::to_vec(&event.metadata).unwrap()))));
    }
}

#[test]
fn the_key_is_the_order_or_the_shelf() {
    let order = placed();
    assert_eq!(topics::key(&order), "ord_019200000000700080000000000000ff");
    let shelf = |kind: &'static str, json: &str| RecordedEvent {
        stream: StreamId::new(Uuid::nil(), kind),
        payload: given::payload(json),
        ..order.clone()
    };
    assert_eq!(topics::key(&shelf("stock", r#"{"quantity": 5, "location": "main", "sku": "a\"b"}"#)), "dev/main/a\"b");
    assert_eq!(topics::key(&shelf("location", r#"{"location": "main", "mode": "AUTO"}"#)), "dev/main");
    assert_eq!(topics::key(&shelf("stock", "[]")), "dev/stock-00000000000000000000000000000000");
}

#[test]
fn the_partition_follows_the_slot() {
    let routing = topics::Routing::new("waybill", Log::MAIN, [8, 8]);
    let mut event = placed();
    for (last, partition) in [(0, 0), (31, 0), (32, 1), (255, 7)] {
        event.stream.id = Uuid::from_u128(last);
        assert_eq!(routing.partition(&event), partition);
    }
    assert_eq!(routing.name(topics::Topic::Stock), "waybill.stock.v1");
}

#[test]
fn a_record_of_someone_else_is_told_apart() {
    let foreign = OwnedMessage::new(None, None, "t".into(), Timestamp::NotAvailable, 0, 0, None);
    assert!(decode(&foreign).is_err());
}
