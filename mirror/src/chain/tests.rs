//! Where a relay goes on, from what the tails say.
use super::*;
use eventstore::{Log, StreamId, contract::given};
use uuid::Uuid;

fn routing() -> Routing {
    Routing::new("waybill", Log::MAIN, [2, 2])
}

/// Of the order topic or the stock topic; the last byte of the id says which half of the slots.
fn record(kind: &'static str, half: u8, position: i64, refill: Option<i64>) -> Decoded {
    let event = given::recorded(StreamId::new(Uuid::from_bytes([half; 16]), kind), position);
    Decoded { event, prev: Place::START, refill: refill.map(Position), lives: vec![] }
}

/// The tails of order/0, order/1, stock/0 and stock/1.
fn tails(order: [Option<i64>; 2], stock: [Option<(i64, Option<i64>)>; 2]) -> Vec<Tail> {
    let tail = |last: Option<Decoded>| Tail { low: 0, high: i64::from(last.is_some()), last };
    let order = [0, 1].map(|n| tail(order[n].map(|position| record("order", n as u8 * 200, position, None))));
    let stock = [0, 1].map(|n| tail(stock[n].map(|(position, until)| record("stock", n as u8 * 200, position, until))));
    order.into_iter().chain(stock).collect()
}

fn go_on(tails: &[Tail], head: i64, start: Start) -> Result<Resume, Halt> {
    plan(tails, &routing(), Position(head), &Lives::first(), start)
}

#[test]
fn an_empty_kafka_is_filled_from_the_beginning() {
    let resume = go_on(&tails([None; 2], [None; 2]), 500, Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.refill), (Position::ZERO, [None; 2]));
}

#[test]
fn an_empty_broker_that_forgets_is_begun_at_the_head() {
    let resume = go_on(&tails([None; 2], [None; 2]), 500, Start::AtHead).unwrap();
    assert_eq!((resume.after, resume.complete, resume.refill), (Position(500), [Position(500); 2], [None; 2]));
}

#[test]
fn while_a_topic_is_filled_again_the_mirror_is_whole_up_to_where_that_has_come() {
    let whole = |tails: &[Tail]| whole_upto(tails, &routing(), &Lives::first());
    assert_eq!(whole(&tails([None; 2], [None; 2])), Position::ZERO);
    assert_eq!(whole(&tails([Some(90), Some(100)], [Some((7, None)), None])), Position(100));
    assert_eq!(whole(&tails([Some(90), Some(100)], [Some((7, Some(99))), Some((12, Some(99)))])), Position(12));
    assert_eq!(whole(&tails([Some(90), Some(100)], [Some((7, Some(99))), Some((99, Some(99)))])), Position(100));
}

#[test]
fn the_highest_committed_position_is_where_it_goes_on() {
    let tails = tails([Some(90), Some(100)], [Some((7, None)), None]);
    let resume = go_on(&tails, 500, Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.complete), (Position(100), [Position(100); 2]));
    assert_eq!(resume.prev, [at(1, 90), at(1, 100), at(1, 7), Place::START]);
}

#[test]
fn a_topic_that_is_empty_is_filled_up_to_the_other_one() {
    let tails = tails([Some(90), Some(100)], [None; 2]);
    let resume = go_on(&tails, 500, Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.complete), (Position::ZERO, [Position(100), Position::ZERO]));
    assert_eq!(resume.refill, [None, Some(Position(100))]);
}

#[test]
fn an_interrupted_refill_goes_on_where_it_stopped() {
    let tails = tails([Some(90), Some(100)], [Some((30, Some(80))), Some((40, Some(80)))]);
    let resume = go_on(&tails, 500, Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.complete), (Position(40), [Position(100), Position(40)]));
    assert_eq!(resume.refill, [None, Some(Position(100))]);
}

#[test]
fn a_refill_that_was_finished_is_not_repeated() {
    let tails = tails([Some(90), Some(100)], [Some((30, Some(80))), Some((95, None))]);
    let resume = go_on(&tails, 500, Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.refill), (Position(100), [None; 2]));
}

#[test]
fn what_the_store_does_not_have_halts_it() {
    let ahead = go_on(&tails([Some(90), None], [None; 2]), 89, Start::Beginning);
    assert_eq!(ahead, Err(Halt::Ahead { kafka: Position(90), store: Position(89) }));
}

fn at(incarnation: i32, position: i64) -> Place {
    Place { incarnation: Incarnation(incarnation), position: Position(position) }
}

/// Tails of order/0, order/1, stock/0 and stock/1, and the lives that their writer knew of.
fn lived(places: [Option<(i32, i64)>; 4], begun: &[(i32, i64)]) -> Vec<Tail> {
    let begun: Vec<_> = begun.iter().map(|(life, after)| (Incarnation(*life), Position(*after))).collect();
    let tail = |(n, place): (usize, Option<(i32, i64)>)| {
        let last = place.map(|(incarnation, position)| {
            let mut last = record(["order", "stock"][n / 2], (n % 2) as u8 * 200, position, None);
            last.event.incarnation = Incarnation(incarnation);
            last.lives = begun.iter().copied().filter(|(life, _)| life.0 <= incarnation).collect();
            last
        });
        Tail { low: 0, high: i64::from(last.is_some()), last }
    };
    places.into_iter().enumerate().map(tail).collect()
}

/// A store's lives, and what of them was settled: incarnation, from, to.
fn store_lives(begun: &[(i32, i64)], settled: &[(i32, i64, i64)]) -> Lives {
    let life = |(incarnation, after): &(i32, i64)| eventstore::Life {
        incarnation: Incarnation(*incarnation),
        after: Position(*after),
        began_at: given::at(0),
        reason: "tried".into(),
    };
    let abandoned = |(incarnation, from, to): &(i32, i64, i64)| eventstore::Abandoned {
        incarnation: Incarnation(*incarnation),
        from: Position(*from),
        to: Position(*to),
        events: to - from + 1,
        streams: 1,
        recorded_at: given::at(0),
        file: String::new(),
    };
    Lives::new(begun.iter().map(life).collect(), settled.iter().map(abandoned).collect()).unwrap()
}

#[test]
fn a_restored_store_waits_until_what_it_lost_is_settled_and_then_goes_on_behind_it() {
    let tails = lived([Some((1, 150)), Some((1, 90)), Some((1, 20)), None], &[]);
    let (unsettled, settled) =
        (store_lives(&[(1, 0), (2, 100)], &[]), store_lives(&[(1, 0), (2, 100)], &[(1, 101, 150)]));
    let halt = Halt::Unsettled { incarnation: Incarnation(1), shared: Position(100), kafka: Position(150) };
    assert_eq!(plan(&tails, &routing(), Position(100), &unsettled, Start::Beginning), Err(halt));
    // Also where its head has gone beyond meanwhile.
    assert!(plan(&tails, &routing(), Position(900), &unsettled, Start::Beginning).is_err());
    let resume = plan(&tails, &routing(), Position(900), &settled, Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.complete, resume.refill), (Position(100), [Position(100); 2], [None; 2]));
    assert_eq!(resume.prev, [at(1, 150), at(1, 90), at(1, 20), Place::START]);
}

#[test]
fn a_new_life_that_was_begun_in_kafka_goes_on_by_its_own_records() {
    let tails = lived([Some((1, 150)), Some((2, 104)), Some((1, 20)), Some((2, 103))], &[(2, 100)]);
    let lives = store_lives(&[(1, 0), (2, 100)], &[(1, 101, 150)]);
    let resume = plan(&tails, &routing(), Position(900), &lives, Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.prev[0], resume.prev[1]), (Position(104), at(1, 150), at(2, 104)));
}

#[test]
fn a_kafka_that_was_behind_the_backup_gets_the_rest_of_the_old_life_first() {
    let tails = lived([Some((1, 80)), Some((1, 90)), Some((1, 20)), None], &[]);
    let lives = store_lives(&[(1, 0), (2, 100)], &[]);
    let resume = plan(&tails, &routing(), Position(120), &lives, Start::Beginning).unwrap();
    assert_eq!(resume.after, Position(90));
}

#[test]
fn another_life_under_the_same_number_halts_it_and_one_that_was_passed_over_does_not() {
    // Two copies were restored from different backups; both began incarnation 2.
    let tails = lived([Some((2, 150)), Some((1, 90)), Some((1, 20)), None], &[(2, 110)]);
    let lives = store_lives(&[(1, 0), (2, 100)], &[]);
    let other = plan(&tails, &routing(), Position(900), &lives, Start::Beginning);
    assert_eq!(other, Err(Halt::Diverged { position: Position(150) }));
    // Settled: incarnation 3 began after what both share.
    let lives = store_lives(&[(1, 0), (2, 100), (3, 100)], &[(1, 101, 110), (2, 101, 150)]);
    let resume = plan(&tails, &routing(), Position(900), &lives, Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.prev[0]), (Position(100), at(2, 150)));
    // A life that this store never lived: what lies before its beginning is shared.
    let tails = lived([Some((2, 150)), Some((2, 149)), Some((1, 20)), None], &[(2, 70)]);
    let lives = store_lives(&[(1, 0), (3, 100)], &[(2, 71, 150)]);
    let resume = plan(&tails, &routing(), Position(900), &lives, Start::Beginning).unwrap();
    assert_eq!(resume.after, Position(70));
}

#[test]
fn a_kafka_that_has_seen_a_later_life_halts_an_older_store() {
    let tails = lived([Some((2, 120)), None, None, None], &[(2, 100)]);
    let older = plan(&tails, &routing(), Position(500), &Lives::first(), Start::Beginning);
    assert_eq!(older, Err(Halt::OtherIncarnation { kafka: Incarnation(2), store: Incarnation(1) }));
}

#[test]
fn partitions_added_to_a_topic_in_use_halt_it() {
    let mut tails = tails([Some(90), None], [None; 2]);
    tails.swap(0, 1);
    let changed = go_on(&tails, 500, Start::Beginning);
    assert_eq!(changed, Err(Halt::PartitionsChanged { topic: "waybill.order.v1".into() }));
}

#[test]
fn topics_trimmed_to_nothing_halt_it_but_one_of_them_does_not() {
    let mut all = tails([None; 2], [None; 2]);
    all[0] = Tail { low: 10, high: 10, last: None };
    let trimmed = go_on(&all, 500, Start::Beginning);
    assert_eq!(trimmed, Err(Halt::Trimmed { topic: "waybill.order.v1".into() }));
    let mut one = tails([Some(90), None], [None; 2]);
    one[2] = Tail { low: 10, high: 10, last: None };
    let resume = go_on(&one, 500, Start::Beginning).unwrap();
    assert_eq!((resume.after, resume.refill), (Position(90), [None; 2]));
}
