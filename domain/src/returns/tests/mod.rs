//! A return's rules, one sentence each.
mod storm;

use super::{Command, InspectedLine, LineFault, MAX_RETURNS, Rejection, ReturnLine, ReturnStep, Stage};
use crate::{
    Amount, Event, LineId,
    fulfillment::Fulfillment,
    location::LocationMode::Auto,
    order::{ChargeKind, OrderPlaced},
    saga::{
        Action, Context, Next, Reply, SagaState, WaitingOn, Which,
        operator::{self, Done, Notes, Refused, Verb},
    },
    testing::{ORDER, context, label, now, placed},
};
use proptest::prelude::*;

const FIRST: Which = Which::Return(1);

/// A completed order, and what comes of its returns.
struct Story {
    state: Fulfillment,
}

impl Story {
    fn of(placed: OrderPlaced) -> Story {
        let mut story = Story { state: Fulfillment::fold(&[placed.into()]) };
        story.run(Which::Fulfillment);
        assert!(story.state.is_completed());
        story
    }

    /// Two lines: 4 pieces for 10.00, and one for 3.00; shipping 4.90.
    fn completed() -> Story {
        Story::of(placed(&[("a", 4, 1000), ("b", 1, 300)], &[(ChargeKind::Shipping, 490)]))
    }

    fn context() -> Context {
        context(Auto)
    }

    fn take(&mut self, events: Vec<Event>) -> Vec<&'static str> {
        events.iter().for_each(|event| self.state.evolve(event));
        events.iter().map(Event::event_type).collect()
    }

    fn ask(&mut self, command: Command) -> Result<Vec<&'static str>, Rejection> {
        let events = self.state.returning(command)?;
        Ok(self.take(events))
    }

    fn operate(&mut self, command: operator::Command) -> Result<Vec<&'static str>, Refused> {
        let events = self.state.one(ORDER, FIRST).unwrap().operate(command, Notes::default(), now())?;
        Ok(self.take(events))
    }

    fn next(&self) -> Next {
        self.state.one(ORDER, FIRST).unwrap().next()
    }

    fn action(&self) -> Action {
        match self.next() {
            Next::Act(action) => action,
            other => panic!("nothing to do but {other:?}"),
        }
    }

    fn answer(&mut self, reply: Reply) -> Vec<&'static str> {
        let action = self.action();
        self.answer_to(&action, reply)
    }

    fn answer_to(&mut self, action: &Action, reply: Reply) -> Vec<&'static str> {
        let saga = self.state.one(ORDER, FIRST).unwrap();
        let events = saga.react(Some(action), reply, &Story::context()).unwrap();
        self.take(events)
    }

    fn look_again(&mut self) -> Vec<&'static str> {
        let events = self.state.one(ORDER, FIRST).unwrap().react(None, Reply::Nothing, &Story::context()).unwrap();
        self.take(events)
    }

    /// Goes on with a saga as long as all goes well and nobody is waited for.
    fn run(&mut self, which: Which) {
        loop {
            let saga = self.state.one(ORDER, which).unwrap();
            let events = match saga.next() {
                Next::Act(action) => saga.react(Some(&action), Reply::hoped_for(&action, now()), &Story::context()),
                Next::Advance => saga.react(None, Reply::Nothing, &Story::context()),
                Next::Wait(_) | Next::Ended => return,
            };
            self.take(events.unwrap());
        }
    }

    fn requested(lines: &[(&str, i64)]) -> Story {
        let mut story = Story::completed();
        story.ask(Command::Request { lines: Some(pieces(lines)), note_id: None }).unwrap();
        story
    }

    /// On its way back.
    fn sent(lines: &[(&str, i64)]) -> Story {
        let mut story = Story::requested(lines);
        story.ask(Command::Approve { number: 1, note_id: None }).unwrap();
        story.answer(Reply::LabelBought(label("k")));
        story
    }

    /// All is found as good as new.
    fn inspected(lines: &[(&str, i64)]) -> Story {
        let mut story = Story::sent(lines);
        story.ask(Command::Receive { number: 1, lines: None }).unwrap();
        story.ask(Command::Inspect { number: 1, lines: None }).unwrap();
        story
    }

    fn waits(&self) -> (Next, SagaState, Stage) {
        let this = self.state.returns.one(1).unwrap();
        (self.next(), this.saga_state(), this.stage())
    }
}

fn pieces(lines: &[(&str, i64)]) -> Vec<ReturnLine> {
    lines.iter().map(|(line_id, quantity)| ReturnLine { line_id: (*line_id).into(), quantity: *quantity }).collect()
}

fn found(line_id: &str, restock: i64, write_off: i64, refuse: i64) -> InspectedLine {
    InspectedLine { line_id: line_id.into(), restock, write_off, refuse }
}

#[test]
fn a_return_is_approved_labelled_received_inspected_refunded_and_restocked() {
    let mut story = Story::requested(&[("1", 2)]);
    assert_eq!(story.waits(), (Next::Wait(WaitingOn::Support), SagaState::Waiting, Stage::Requested));
    assert_eq!(story.ask(Command::Approve { number: 1, note_id: None }), Ok(vec!["ReturnApproved"]));
    let key = format!("{}/buy_label/forward/1/1", ORDER.returned(1));
    assert_eq!(story.action(), Action::BuyReturnLabel { key, lines: 1, pieces: 2 });
    assert_eq!(story.answer(Reply::LabelBought(label("k"))), ["ReturnLabelPurchased"]);
    assert_eq!(story.waits(), (Next::Wait(WaitingOn::Warehouse), SagaState::Waiting, Stage::InTransit));
    assert_eq!(story.ask(Command::Receive { number: 1, lines: None }), Ok(vec!["ReturnReceived"]));
    assert_eq!(story.waits(), (Next::Wait(WaitingOn::Warehouse), SagaState::Waiting, Stage::Received));
    let lines = Some(vec![found("1", 1, 1, 0)]);
    assert_eq!(story.ask(Command::Inspect { number: 1, lines }), Ok(vec!["ReturnInspected"]));
    assert!(matches!(story.action(), Action::Refund { amount: Amount(500), .. }));
    let events = story.answer(Reply::Refunded { refund_id: "rfd_1".into(), amount: Amount(500) });
    assert_eq!(events, ["PaymentRefunded", "ReturnRestocked", "ReturnWrittenOff", "ReturnCompleted"]);
    assert_eq!(story.waits(), (Next::Ended, SagaState::Completed, Stage::Completed));
    assert_eq!((story.state.payment.refunded(), story.state.payment.captured()), (Amount(500), Amount(1790)));
    assert!(story.state.all_ended());
}

#[test]
fn a_rejected_return_is_closed_and_its_pieces_may_be_returned_again() {
    let mut story = Story::requested(&[("1", 4)]);
    assert_eq!(story.state.returnable(&LineId::from("1")), Some(0));
    assert_eq!(story.ask(Command::Reject { number: 1, note_id: None }), Ok(vec!["ReturnRejected"]));
    assert_eq!(story.look_again(), ["ReturnCompensationStarted", "ReturnClosed"]);
    assert_eq!(story.waits(), (Next::Ended, SagaState::Compensated, Stage::Closed));
    assert_eq!(story.state.returnable(&LineId::from("1")), Some(4));
}

#[test]
fn a_cancelled_return_gives_its_label_back_and_one_that_is_not_known_to_be_bought_is_blocked() {
    let mut story = Story::sent(&[("1", 1)]);
    assert_eq!(story.ask(Command::Cancel { number: 1, note_id: None }), Ok(vec!["ReturnCancelRequested"]));
    assert_eq!(story.look_again(), ["ReturnCompensationStarted"]);
    assert!(matches!(story.action(), Action::VoidLabel { label_id: Some(id), .. } if id == "lbl_1"));
    assert_eq!(story.answer(Reply::LabelVoided), ["ReturnLabelVoided", "ReturnClosed"]);

    let mut story = Story::requested(&[("1", 1)]);
    story.ask(Command::Approve { number: 1, note_id: None }).unwrap();
    let buy = story.action();
    story.answer(Reply::Unanswered { cause: "unknown_outcome".into() });
    story.ask(Command::Cancel { number: 1, note_id: None }).unwrap();
    story.look_again();
    let undo = story.action();
    assert!(
        matches!(&undo, Action::VoidLabel { label_id: None, forward_key, .. } if Some(&**forward_key) == buy.key())
    );
    assert_eq!(story.answer_to(&buy, Reply::LabelBought(label("k"))), [""; 0], "too late");
    assert_eq!(story.answer(Reply::LabelVoided), ["ReturnLabelVoided", "ReturnClosed"]);
}

#[test]
fn where_a_life_of_the_log_is_lost_one_closed_before_its_approval_gives_back_what_may_have_been_bought_there() {
    for is_requested_after in [false, true] {
        let mut story = Story::completed();
        if is_requested_after {
            story.state.lose_a_life();
        }
        story.ask(Command::Request { lines: None, note_id: None }).unwrap();
        story.state.lose_a_life();
        assert_eq!(story.ask(Command::Reject { number: 1, note_id: None }), Ok(vec!["ReturnRejected"]));
        assert_eq!(story.look_again(), ["ReturnCompensationStarted"]);
        let key = |direction| format!("{}/buy_label/{direction}/1/1", ORDER.returned(1));
        let (key, forward_key) = (key("compensate"), key("forward"));
        assert_eq!(story.action(), Action::VoidLabel { key, forward_key, label_id: None });
        assert_eq!(story.answer(Reply::LabelVoided), ["ReturnLabelVoided", "ReturnClosed"]);
    }
}

#[test]
fn what_has_come_back_is_not_cancelled() {
    let mut story = Story::sent(&[("1", 1)]);
    story.ask(Command::Receive { number: 1, lines: None }).unwrap();
    assert_eq!(story.ask(Command::Cancel { number: 1, note_id: None }), Err(Rejection::OutOfPlace("inspect")));
    assert!(matches!(story.operate(operator::Command::Compensate), Err(Refused::NotAllowed(_))));
}

#[test]
fn what_is_refused_or_did_not_come_is_not_refunded() {
    let mut story = Story::sent(&[("1", 4), ("2", 1)]);
    story.ask(Command::Receive { number: 1, lines: Some(pieces(&[("1", 3)])) }).unwrap();
    let lines = Some(vec![found("1", 1, 0, 2)]);
    story.ask(Command::Inspect { number: 1, lines }).unwrap();
    assert!(matches!(story.action(), Action::Refund { amount: Amount(250), .. }));
    assert_eq!(story.state.returnable(&LineId::from("1")), Some(3), "the others may come another time");
    assert_eq!(story.state.returnable(&LineId::from("2")), Some(1));
}

#[test]
fn nothing_accepted_ends_without_a_refund() {
    let mut story = Story::sent(&[("1", 1)]);
    story.ask(Command::Receive { number: 1, lines: None }).unwrap();
    let lines = Some(vec![found("1", 0, 0, 1)]);
    story.ask(Command::Inspect { number: 1, lines }).unwrap();
    assert_eq!(story.state.returns.one(1).unwrap().remaining_steps(), [ReturnStep::PutAway]);
    assert_eq!(story.look_again(), ["ReturnCompleted"]);
}

#[test]
fn no_more_comes_back_than_has_left() {
    let mut story = Story::completed();
    let ask = |story: &mut Story, lines: &[(&str, i64)]| {
        story.ask(Command::Request { lines: Some(pieces(lines)), note_id: None })
    };
    let lines = |faults: Vec<(usize, LineFault)>| Err(Rejection::Lines(faults));
    let too_many = |wanted, left| lines(vec![(0, LineFault::TooMany { line_id: "1".into(), wanted, left })]);
    assert_eq!(ask(&mut story, &[("1", 5)]), too_many(5, 4));
    assert_eq!(ask(&mut story, &[("1", 3)]), Ok(vec!["ReturnRequested"]));
    assert_eq!(ask(&mut story, &[("1", 2)]), too_many(2, 1));
    let all = vec![
        (0, LineFault::Unknown("9".into())),
        (2, LineFault::Twice("2".into())),
        (3, LineFault::NoQuantity("1".into())),
    ];
    assert_eq!(ask(&mut story, &[("9", 1), ("2", 1), ("2", 1), ("1", 0)]), lines(all), "every fault at once");
    assert_eq!(story.ask(Command::Request { lines: None, note_id: None }), Ok(vec!["ReturnRequested"]));
    let all = Command::Request { lines: None, note_id: None };
    assert_eq!(story.ask(all), Err(Rejection::NothingLeft));
}

#[test]
fn only_a_completed_order_has_returns_and_not_without_end() {
    let mut story = Story { state: Fulfillment::fold(&[placed(&[("a", 1, 100)], &[]).into()]) };
    let all = || Command::Request { lines: None, note_id: None };
    assert_eq!(story.ask(all()), Err(Rejection::NotCompleted));
    let mut story = Story::completed();
    for number in 1..=MAX_RETURNS {
        assert_eq!(story.ask(all()), Ok(vec!["ReturnRequested"]));
        story.ask(Command::Reject { number, note_id: None }).unwrap();
        story.run(Which::Return(number));
    }
    assert_eq!(story.ask(all()), Err(Rejection::TooManyReturns));
}

#[test]
fn every_piece_that_came_is_found_to_be_something() {
    let mut story = Story::sent(&[("1", 2), ("2", 1)]);
    story.ask(Command::Receive { number: 1, lines: None }).unwrap();
    let mut inspect = |lines: Vec<InspectedLine>| story.ask(Command::Inspect { number: 1, lines: Some(lines) });
    let missing = |at, line: &str, came, found| {
        let fault = LineFault::NotAllFound { line_id: line.into(), came, found };
        Err(Rejection::Lines(vec![(at, fault)]))
    };
    assert_eq!(inspect(vec![found("1", 1, 0, 0), found("2", 1, 0, 0)]), missing(0, "1", 2, 1));
    assert_eq!(inspect(vec![found("1", 2, 0, 0)]), missing(1, "2", 1, 0));
    let negative = vec![(0, LineFault::NoQuantity("1".into()))];
    assert_eq!(inspect(vec![found("1", 3, -1, 0), found("2", 1, 0, 0)]), Err(Rejection::Lines(negative)));
    assert_eq!(inspect(vec![found("1", 2, 0, 0), found("2", 0, 0, 1)]), Ok(vec!["ReturnInspected"]));
}

#[test]
fn staff_do_what_comes_next_and_nothing_else_and_said_twice_it_is_done_once() {
    let mut story = Story::requested(&[("1", 1)]);
    assert_eq!(story.ask(Command::Receive { number: 1, lines: None }), Err(Rejection::OutOfPlace("approve")));
    assert_eq!(story.ask(Command::Approve { number: 2, note_id: None }), Err(Rejection::NoSuchReturn));
    story.ask(Command::Approve { number: 1, note_id: None }).unwrap();
    assert_eq!(story.ask(Command::Approve { number: 1, note_id: None }), Ok(vec![]));
    assert_eq!(story.ask(Command::Reject { number: 1, note_id: None }), Err(Rejection::OutOfPlace("buy_label")));
    story.answer(Reply::LabelBought(label("k")));
    story.ask(Command::Receive { number: 1, lines: None }).unwrap();
    assert_eq!(story.ask(Command::Receive { number: 1, lines: None }), Ok(vec![]));
    story.operate(operator::Command::Pause).unwrap();
    assert_eq!(story.ask(Command::Inspect { number: 1, lines: None }), Err(Rejection::OnHold));
}

#[test]
fn a_refund_that_is_refused_waits_for_a_person_who_tries_again_passes_it_over_or_has_done_it() {
    let stopped = || {
        let mut story = Story::inspected(&[("2", 1)]);
        let first = story.action();
        assert_eq!(story.answer(Reply::Refused { code: "exceeds_captured".into() }), ["ReturnPaused"]);
        assert_eq!(story.waits().0, Next::Wait(WaitingOn::Operator));
        (story, first)
    };
    let (mut story, first) = stopped();
    story.operate(operator::Command::Retry).unwrap();
    assert_ne!(story.action().key(), first.key());

    let (mut story, _) = stopped();
    let state = story.state.clone();
    let forecast = state.forecast(ORDER, FIRST, &[], &Story::context()).unwrap();
    assert_eq!(forecast.sentence(), "nothing will happen; then it stays paused");
    assert_eq!(story.operate(operator::Command::Skip), Ok(vec!["ReturnStepSkipped"]));
    assert_eq!(story.look_again(), ["ReturnRestocked", "ReturnCompleted"]);
    assert_eq!(story.state.payment.refunded(), Amount::ZERO);

    let (mut story, _) = stopped();
    let done = operator::Command::MarkDone(Done { reference: "rfd_9".into(), carrier: None });
    assert_eq!(story.operate(done), Ok(vec!["ReturnStepMarkedDone", "PaymentRefunded"]));
    assert_eq!(story.look_again(), ["ReturnRestocked", "ReturnCompleted"]);
}

#[test]
fn an_operator_is_told_what_will_be_refunded_and_restocked() {
    let story = Story::inspected(&[("1", 1), ("2", 1)]);
    let told = story.state.forecast(ORDER, FIRST, &[], &Story::context()).unwrap().sentence();
    assert_eq!(told, "will refund 5.50 USD, restock 2 SKUs and complete the return");
    assert_eq!(story.state.one(ORDER, FIRST).unwrap().supported(), [Verb::Pause]);
}

#[test]
fn a_label_that_no_carrier_sells_closes_the_return_and_a_skipped_one_does_not() {
    let mut story = Story::requested(&[("1", 1)]);
    story.ask(Command::Approve { number: 1, note_id: None }).unwrap();
    let mut other = Story { state: story.state.clone() };
    assert_eq!(story.answer(Reply::Refused { code: "unserviceable".into() }), ["ReturnCompensationStarted"]);
    assert_eq!(story.answer(Reply::LabelVoided), ["ReturnLabelVoided", "ReturnClosed"]);
    other.answer(Reply::Exhausted);
    other.operate(operator::Command::Skip).unwrap();
    assert_eq!(other.waits(), (Next::Wait(WaitingOn::Warehouse), SagaState::Waiting, Stage::InTransit));
}

#[test]
fn a_return_of_a_definition_not_known_here_is_left_alone() {
    let mut story = Story::completed();
    let lines = pieces(&[("1", 1)]);
    let newer = super::ReturnRequested { number: 1, definition_version: 99, lines, note_id: None };
    story.take(vec![newer.into()]);
    assert_eq!(story.waits(), (Next::Wait(WaitingOn::Definition), SagaState::Waiting, Stage::Requested));
}

fn an_order() -> impl Strategy<Value = OrderPlaced> {
    use ChargeKind::{Discount, Fee, GiftCard, Shipping, Tax};
    let kind = prop::sample::select(vec![Shipping, Tax, Fee, Discount, GiftCard]);
    let lines = prop::collection::vec((1..6_i64, 0..10_000_i64), 1..5);
    let charges = prop::collection::vec((kind, 0..300_i64, any::<bool>()), 0..5);
    (lines, charges, any::<bool>()).prop_map(|(lines, charges, includes)| {
        let lines: Vec<_> = lines.into_iter().map(|(quantity, total)| ("a", quantity, 1_000 + total)).collect();
        let kinds: Vec<_> = charges.iter().map(|(kind, amount, _)| (*kind, *amount)).collect();
        let mut order = placed(&lines, &kinds);
        order.prices_include_tax = includes;
        for (charge, (.., is_of_a_line)) in order.charges.iter_mut().zip(charges) {
            charge.line_id = is_of_a_line.then(|| "1".into());
        }
        let charges: Amount = order.charges.iter().map(|charge| charge.signed(includes)).sum();
        let lines: Amount = order.lines.iter().map(|line| line.line_total).sum();
        order.total = (lines + charges).max(Amount::ZERO);
        order.payment = (order.total > Amount::ZERO)
            .then(|| crate::order::PaymentMethod { method: "card".to_owned(), default: true });
        order
    })
}

proptest! {
    #[test]
    fn however_it_is_spread_over_returns_all_is_given_back_once_to_the_cent(
        order in an_order(), parts in prop::collection::vec(prop::collection::vec(0..3_i64, 5), 1..6),
    ) {
        prop_assume!(order.charges.iter().map(|charge| charge.amount.0).sum::<i64>() < 1_000);
        let refunds = |parts: &[Vec<i64>]| {
            let mut story = Story::of(order.clone());
            let mut number = 0;
            for part in parts {
                let left = |line: &crate::order::OrderLine| story.state.returnable(&line.line_id).unwrap();
                let lines: Vec<ReturnLine> = order.lines.iter().zip(part).map(|(line, wanted)| ReturnLine {
                    line_id: line.line_id.clone(), quantity: (*wanted).min(left(line)),
                }).filter(|line| line.quantity > 0).collect();
                if story.ask(Command::Request { lines: Some(lines), note_id: None }).is_err() {
                    continue;
                }
                number += 1;
                story.ask(Command::Approve { number, note_id: None }).unwrap();
                story.run(Which::Return(number));
                story.ask(Command::Receive { number, lines: None }).unwrap();
                story.ask(Command::Inspect { number, lines: None }).unwrap();
                story.run(Which::Return(number));
            }
            (story.state.payment.refunded(), story.state.payment.captured(), story.state.returns.iter().all(|r| r.completed))
        };
        let all = vec![vec![9_i64; 5]];
        let mut spread = parts.clone();
        spread.extend(all.clone());
        let (at_once, captured, _) = refunds(&all);
        let (in_parts, _, completed) = refunds(&spread);
        prop_assert!(completed);
        prop_assert_eq!(at_once, in_parts);
        prop_assert!(at_once <= captured);
        let (only_parts, ..) = refunds(&parts);
        prop_assert!(only_parts <= at_once);
    }
}
