//! Where a relay goes on, from what the tails say.
use super::*;
use eventstore::{Log, RecordedEvent, StreamId, Version, contract::given};
use uuid::Uuid;

fn routing() -> Routing {
    Routing::new("waybill", Log::MAIN, [2, 2])
}

/// Of the order topic or the stock topic; the last byte of the id says which half of the slots.
fn record(kind: &'static str, half: u8, position: i64, refill: Option<i64>) -> Decoded {
    let event = RecordedEvent {
        log: Log::MAIN,
        incarnation: Incarnation(1),
        position: Position(position),
        stream: StreamId::new(Uuid::from_bytes([half; 16]), kind),
        version: Version(1),
        shop: "dev".into(),
        event_type: "Traded".into(),
        schema_version: 1,
        payload: given::payload("{}"),
        metadata: given::metadata(),
        recorded_at: given::at(0),
    };
    Decoded { event, prev: Position::ZERO, refill: refill.map(Position) }
}

/// The tails of order/0, order/1, stock/0 and stock/1.
fn tails(order: [Option<i64>; 2], stock: [Option<(i64, Option<i64>)>; 2]) -> Vec<Tail> {
    let tail = |last: Option<Decoded>| Tail { low: 0, high: i64::from(last.is_some()), last };
    let order = [0, 1].map(|n| tail(order[n].map(|position| record("order", n as u8 * 200, position, None))));
    let stock = [0, 1].map(|n| tail(stock[n].map(|(position, until)| record("stock", n as u8 * 200, position, until))));
    order.into_iter().chain(stock).collect()
}

fn head(position: i64) -> LogHead {
    LogHead { incarnation: Incarnation(1), position: Position(position) }
}

#[test]
fn an_empty_kafka_is_filled_from_the_beginning() {
    let resume = plan(&tails([None; 2], [None; 2]), &routing(), head(500), Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.refill), (Position::ZERO, [None; 2]));
}

#[test]
fn an_empty_broker_that_forgets_is_begun_at_the_head() {
    let resume = plan(&tails([None; 2], [None; 2]), &routing(), head(500), Start::AtHead).unwrap();
    assert_eq!((resume.after, resume.complete, resume.refill), (Position(500), [Position(500); 2], [None; 2]));
}

#[test]
fn the_highest_committed_position_is_where_it_goes_on() {
    let tails = tails([Some(90), Some(100)], [Some((7, None)), None]);
    let resume = plan(&tails, &routing(), head(500), Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.complete), (Position(100), [Position(100); 2]));
    assert_eq!(resume.prev, [90, 100, 7, 0].map(Position));
}

#[test]
fn a_topic_that_is_empty_is_filled_up_to_the_other_one() {
    let tails = tails([Some(90), Some(100)], [None; 2]);
    let resume = plan(&tails, &routing(), head(500), Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.complete), (Position::ZERO, [Position(100), Position::ZERO]));
    assert_eq!(resume.refill, [None, Some(Position(100))]);
}

#[test]
fn an_interrupted_refill_goes_on_where_it_stopped() {
    let tails = tails([Some(90), Some(100)], [Some((30, Some(80))), Some((40, Some(80)))]);
    let resume = plan(&tails, &routing(), head(500), Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.complete), (Position(40), [Position(100), Position(40)]));
    assert_eq!(resume.refill, [None, Some(Position(100))]);
}

#[test]
fn a_refill_that_was_finished_is_not_repeated() {
    let tails = tails([Some(90), Some(100)], [Some((30, Some(80))), Some((95, None))]);
    let resume = plan(&tails, &routing(), head(500), Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.refill), (Position(100), [None; 2]));
}

#[test]
fn what_the_store_does_not_have_halts_it() {
    let ahead = plan(&tails([Some(90), None], [None; 2]), &routing(), head(89), Start::Beginning);
    assert_eq!(ahead, Err(Halt::Ahead { kafka: Position(90), store: Position(89) }));
    let life = LogHead { incarnation: Incarnation(2), position: Position(500) };
    let other = plan(&tails([Some(90), None], [None; 2]), &routing(), life, Start::Beginning);
    assert_eq!(other, Err(Halt::OtherIncarnation { kafka: Incarnation(1), store: Incarnation(2) }));
}

#[test]
fn partitions_added_to_a_topic_in_use_halt_it() {
    let mut tails = tails([Some(90), None], [None; 2]);
    tails.swap(0, 1);
    let changed = plan(&tails, &routing(), head(500), Start::Beginning);
    assert_eq!(changed, Err(Halt::PartitionsChanged { topic: "waybill.order.v1".into() }));
}

#[test]
fn topics_trimmed_to_nothing_halt_it_but_one_of_them_does_not() {
    let mut all = tails([None; 2], [None; 2]);
    all[0] = Tail { low: 10, high: 10, last: None };
    let trimmed = plan(&all, &routing(), head(500), Start::Beginning);
    assert_eq!(trimmed, Err(Halt::Trimmed { topic: "waybill.order.v1".into() }));
    let mut one = tails([Some(90), None], [None; 2]);
    one[2] = Tail { low: 10, high: 10, last: None };
    let resume = plan(&one, &routing(), head(500), Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.refill), (Position(90), [None; 2]));
}
