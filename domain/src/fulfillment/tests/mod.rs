//! The saga's rules, one sentence each. What storms do to it is told in `model`.
mod operators;

use super::{
    DEFINITION, Fulfillment, OrderStatus, SagaEvent, SagaPaused, SagaStarted, Step,
    story::{Story, authorized, captured, ended, refused, ship_all, unanswered},
};
use crate::{
    Amount, Event,
    location::LocationMode::{Auto, Manual},
    order::{self, CancelReason, ChargeKind, OrderPlaced},
    payment::PaymentEvent,
    saga::{Action, Direction, Misfit, Next, Reply, SagaState, WaitingOn},
    shipment,
    testing::{ORDER, context, label, placed, quantities, two_lines},
};
use proptest::prelude::*;

#[test]
fn an_action_carries_saga_step_direction_part_and_attempt() {
    let story = Story::reserved(Auto);
    let saga = ORDER.saga();
    assert_eq!(story.action().key(), Some(format!("{saga}/authorize_payment/forward/1/1").as_str()));
}

#[test]
fn an_order_out_of_stock_is_cancelled_in_one_append() {
    let mut story = Story::of(two_lines(), Auto);
    let shortage = order::Shortage { sku: "820165".into(), location: "main".into(), wanted: 2, available: 1 };
    let events = story.answer(Reply::OutOfStock { shortages: vec![shortage] });
    let expected = ["SagaStarted", "ReservationRefused", "CompensationStarted", "OrderCancelled", "SagaCompensated"];
    assert_eq!(events, expected);
    assert_eq!(ended(&story), Some(CancelReason::OutOfStock));
}

#[test]
fn a_declined_payment_gives_the_stock_back_and_cancels() {
    for (code, reason) in [("declined", CancelReason::PaymentDeclined), ("fraud", CancelReason::Fraud)] {
        let mut story = Story::reserved(Auto);
        let events = story.answer(refused(code));
        let expected = ["PaymentDeclined", "CompensationStarted", "StockReleased", "OrderCancelled", "SagaCompensated"];
        assert_eq!(events, expected);
        assert_eq!(ended(&story), Some(reason));
    }
}

#[test]
fn an_authorization_of_unknown_outcome_is_blocked_under_its_key_before_the_stock_is_free() {
    let mut story = Story::reserved(Auto);
    let forward = story.action();
    assert_eq!(story.answer(unanswered()), ["StepRetrying"]);
    assert_eq!(story.cancel(), ["CancelRequested"]);
    assert_eq!(story.look_again(), ["CompensationStarted"]);
    let Action::VoidAuthorization { forward_key, authorization_id: None, .. } = story.action() else {
        panic!("{:?}", story.action())
    };
    assert_eq!(Some(forward_key.as_str()), forward.key());
    let events = story.answer(Reply::AuthorizationVoided);
    assert_eq!(events, ["AuthorizationVoided", "StockReleased", "OrderCancelled", "SagaCompensated"]);
}

#[test]
fn an_authorization_that_a_cancel_overtook_is_recorded_and_voided_by_its_id() {
    let mut story = Story::reserved(Auto);
    let forward = story.action();
    story.cancel();
    assert_eq!(story.answer_to(&forward, authorized(540)), ["PaymentAuthorized", "CompensationStarted"]);
    assert!(matches!(story.action(), Action::VoidAuthorization { authorization_id: Some(id), .. } if id == "pay_1"));
}

#[test]
fn an_answer_to_a_step_that_is_being_undone_changes_nothing() {
    let mut story = Story::reserved(Auto);
    let forward = story.action();
    story.cancel();
    story.look_again();
    let undo = story.action();
    for late in [authorized(540), refused("voided"), unanswered(), Reply::Exhausted] {
        assert_eq!(story.answer_to(&forward, late), [""; 0]);
    }
    assert_eq!(story.action(), undo, "the undo is the same request under the same key");
}

#[test]
fn a_reservation_that_a_cancel_overtook_is_not_made() {
    let mut story = Story::of(two_lines(), Auto);
    let reserve = story.action();
    story.cancel();
    let events = story.answer_to(&reserve, Reply::Reserved);
    assert_eq!(events, ["SagaStarted", "CompensationStarted", "OrderCancelled", "SagaCompensated"]);
}

#[test]
fn a_label_that_a_cancel_overtook_is_recorded_then_all_is_undone_in_reverse() {
    let mut story = Story::released(Auto);
    let forward = story.action();
    story.cancel();
    let bought = Reply::LabelBought(label("k"));
    assert_eq!(story.answer_to(&forward, bought), ["LabelPurchased", "CompensationStarted"]);
    assert!(matches!(story.action(), Action::VoidLabel { label_id: Some(id), .. } if id == "lbl_1"));
    let steps = [Step::Ship, Step::ReleaseToWarehouse, Step::AuthorizePayment, Step::ReserveStock];
    assert_eq!(story.state().remaining_steps(), steps);
    assert_eq!(story.answer(Reply::LabelVoided), ["LabelVoided", "FulfillmentRecalled"]);
    let events = story.answer(Reply::AuthorizationVoided);
    assert_eq!(events, ["AuthorizationVoided", "StockReleased", "OrderCancelled", "SagaCompensated"]);
}

#[test]
fn a_parcel_that_nobody_takes_cancels_the_order() {
    let mut story = Story::released(Auto);
    assert_eq!(story.answer(refused("unserviceable")), ["CompensationStarted"]);
    story.answer(Reply::LabelVoided);
    story.answer(Reply::AuthorizationVoided);
    assert_eq!(ended(&story), Some(CancelReason::Undeliverable));
}

#[test]
fn a_refused_undo_waits_for_a_person_and_is_tried_again_under_a_new_key() {
    let mut story = Story::released(Manual);
    story.cancel();
    story.look_again();
    let first = story.action();
    assert_eq!(story.answer(refused("not_now")), ["SagaPaused"]);
    assert_eq!(story.state().next(ORDER), Next::Wait(WaitingOn::Operator));
    assert_eq!(story.state().saga_state(), SagaState::Paused);
    story.retry();
    assert_ne!(story.action().key(), first.key());
    assert_eq!(story.answer_to(&first, refused("not_now")), [""; 0], "the first no is not heard again");
    story.answer(Reply::AuthorizationVoided);
    assert_eq!(ended(&story), Some(CancelReason::Requested));
}

#[test]
fn a_declined_capture_waits_for_a_person_and_is_tried_again_under_a_new_key() {
    let mut story = Story::shipped();
    let first = story.action();
    assert_eq!(story.answer(refused("declined")), ["CaptureDeclined", "SagaPaused"]);
    assert_eq!(story.state().status(), OrderStatus::Shipped);
    assert_eq!(story.state().status_reason(), Some("capture_declined"));
    assert_eq!(story.answer_to(&first, refused("declined")), [""; 0]);
    story.retry();
    assert_eq!(story.answer_to(&first, refused("declined")), [""; 0], "the first no is not heard again");
    let saga = ORDER.saga();
    assert_eq!(story.action().key(), Some(format!("{saga}/capture_payment/forward/1/2").as_str()));
    assert_eq!(story.answer(captured()), ["PaymentCaptured", "OrderCompleted", "SagaCompleted"]);
}

#[test]
fn a_used_up_budget_waits_for_a_person_and_repeats_the_key() {
    let mut story = Story::shipped();
    let first = story.action();
    assert_eq!(story.answer(unanswered()), ["StepRetrying"]);
    assert_eq!(story.answer(unanswered()), [""; 0], "one attempt is recorded as retrying once");
    assert_eq!(story.answer(Reply::Exhausted), ["SagaPaused"]);
    for late in [Reply::Exhausted, unanswered()] {
        assert_eq!(story.answer_to(&first, late), [""; 0]);
    }
    assert_eq!(story.state().status_reason(), Some("retries_exhausted"));
    story.retry();
    assert_eq!(story.action(), first);
    assert_eq!(story.retry(), [""; 0], "it is not paused");
}

#[test]
fn an_answer_that_comes_after_the_budget_ends_the_wait_for_a_person() {
    let mut story = Story::reserved(Auto);
    let action = story.action();
    story.answer(Reply::Exhausted);
    assert_eq!(story.answer_to(&action, authorized(540)), ["PaymentAuthorized", "FulfillmentReleased"]);
    assert_eq!(story.state().saga.paused, None);
    assert!(matches!(story.action(), Action::BuyLabel { .. }));
}

#[test]
fn a_paused_order_can_be_cancelled() {
    let mut story = Story::released(Auto);
    story.answer(Reply::Exhausted);
    story.cancel();
    assert_eq!(story.look_again(), ["CompensationStarted"]);
    assert!(matches!(story.action(), Action::VoidLabel { label_id: None, .. }));
}

#[test]
fn staff_at_a_manual_location_ship_and_the_saga_goes_on() {
    let mut story = Story::released(Manual);
    assert_eq!(story.state().next(ORDER), Next::Wait(WaitingOn::Warehouse));
    assert_eq!(story.state().saga_state(), SagaState::Waiting);
    let part = shipment::Command::Ship { lines: Some(quantities(&[("2", 1)])), parcels: vec![] };
    assert_eq!(story.report(part), Ok(vec!["FulfillmentShipped"]));
    assert_eq!(story.state().status(), OrderStatus::PartiallyShipped);
    assert_eq!(story.state().request_cancel(None), Err(order::Rejection::AlreadyShipped));
    assert_eq!(story.report(ship_all()), Ok(vec!["FulfillmentShipped"]));
    assert!(matches!(story.action(), Action::Capture { amount: Amount(540), .. }));
}

#[test]
fn nothing_leaves_once_a_cancel_is_asked_for() {
    let mut story = Story::released(Manual);
    story.cancel();
    assert_eq!(story.report(ship_all()), Err(shipment::Rejection::Recalled));
    assert_eq!(story.look_again(), ["CompensationStarted", "FulfillmentRecalled"]);
    assert_eq!(story.report(ship_all()), Err(shipment::Rejection::Recalled));
}

#[test]
fn an_auto_location_reports_by_itself() {
    let mut story = Story::released(Auto);
    assert_eq!(story.report(ship_all()), Err(shipment::Rejection::ShipsByItself));
    assert_eq!(Story::shipped().report(ship_all()), Ok(vec![]), "it has happened");
}

#[test]
fn an_order_free_of_charge_has_no_payment_steps() {
    let mut story = Story::of(placed(&[("1095275", 1, 0)], &[]), Auto);
    let steps = [Step::ReserveStock, Step::ReleaseToWarehouse, Step::Ship, Step::Complete];
    assert_eq!(story.state().remaining_steps(), steps);
    assert_eq!(story.answer(Reply::Reserved), ["SagaStarted", "StockReserved", "FulfillmentReleased"]);
    let events = story.answer(Reply::LabelBought(label("k")));
    assert_eq!(events, ["FulfillmentShipped", "OrderCompleted", "SagaCompleted"]);
    assert_eq!(story.state().saga_state(), SagaState::Completed);
}

#[test]
fn a_saga_of_a_definition_not_known_here_is_left_alone() {
    let mut story = Story::of(two_lines(), Auto);
    let definition_version = DEFINITION.version + 1;
    story.append(vec![SagaStarted { saga: "fulfillment".to_owned(), definition_version }.into()]);
    assert_eq!(story.state().next(ORDER), Next::Wait(WaitingOn::Definition));
    assert_eq!(story.look_again(), [""; 0]);
}

#[test]
fn an_answer_that_no_step_could_have_is_a_misfit_and_nothing_is_written() {
    let story = Story::reserved(Auto);
    let misfit = |reply| story.state().react(ORDER, Some(&story.action()), reply, &context(Auto));
    assert_eq!(misfit(captured()), Err(Misfit::Unexpected("capture_payment")));
    assert_eq!(misfit(Reply::LabelVoided), Err(Misfit::Unexpected("authorize_payment")));
    assert_eq!(Fulfillment::default().react(ORDER, None, Reply::Nothing, &context(Auto)), Err(Misfit::NotPlaced));
}

#[test]
fn where_a_life_of_the_log_is_lost_a_cancel_undoes_what_may_have_been_done_there() {
    let mut story = Story::of(two_lines(), Auto);
    story.cancel();
    let mut state = story.state();
    assert_eq!(state.remaining_steps(), [Step::ReserveStock; 0], "nothing was done");
    state.lose_a_life();
    assert_eq!(state.remaining_steps(), [Step::Ship, Step::AuthorizePayment]);
    for event in state.react(ORDER, None, Reply::Nothing, &context(Auto)).unwrap() {
        state.evolve(&event);
    }
    for (reply, wrote) in [
        (Reply::LabelVoided, &["LabelVoided"][..]),
        (Reply::AuthorizationVoided, &["AuthorizationVoided", "OrderCancelled", "SagaCompensated"]),
    ] {
        let Next::Act(action) = state.next(ORDER) else { panic!("{:?}", state.next(ORDER)) };
        let events = state.react(ORDER, Some(&action), reply, &context(Auto)).unwrap();
        assert_eq!(events.iter().map(Event::event_type).collect::<Vec<_>>(), wrote);
        events.iter().for_each(|event| state.evolve(event));
    }
    assert_eq!(state.next(ORDER), Next::Ended);
}

#[test]
fn a_status_says_how_far_an_order_has_come() {
    use OrderStatus::{Allocated, Cancelling, Completed, Placed, Released, Shipped};
    let mut story = Story::of(two_lines(), Auto);
    let mut statuses = vec![story.state().status()];
    for reply in [Reply::Reserved, authorized(540), Reply::LabelBought(label("k")), captured()] {
        story.answer(reply);
        statuses.push(story.state().status());
    }
    assert_eq!(statuses, [Placed, Allocated, Released, Shipped, Completed]);
    let mut story = Story::reserved(Auto);
    story.cancel();
    assert_eq!((story.state().status(), story.state().status_reason()), (Cancelling, Some("requested")));
}

#[test]
fn a_retry_is_only_for_the_direction_that_paused() {
    let mut saga = super::Saga::default();
    let (step, direction) = (Step::Ship, Direction::Compensate);
    let paused = SagaPaused { step, direction, attempt: 1, cause: "not_now".to_owned(), definite: true };
    super::evolve(&mut saga, &SagaEvent::SagaPaused(paused));
    super::evolve(&mut saga, &SagaEvent::RetryRequested(super::RetryRequested { note_id: None }));
    assert_eq!((saga.attempt(step, direction), saga.attempt(step, Direction::Forward)), (2, 1));
}

fn an_order() -> impl Strategy<Value = OrderPlaced> {
    use ChargeKind::{Discount, Fee, GiftCard, Shipping, Tax};
    let kind = prop::sample::select(vec![Shipping, Tax, Fee, Discount, GiftCard]);
    let lines = prop::collection::vec(1_000..1_000_000_i64, 1..6);
    (lines, prop::collection::vec((kind, 0..100_i64), 0..6), any::<bool>()).prop_map(|(lines, charges, includes)| {
        let lines: Vec<_> = lines.into_iter().map(|total| ("1095275", 1, total)).collect();
        let mut order = placed(&lines, &charges);
        order.prices_include_tax = includes;
        let charges: Amount = order.charges.iter().map(|charge| charge.signed(includes)).sum();
        order.total = order.lines.iter().map(|line| line.line_total).sum::<Amount>() + charges;
        order
    })
}

proptest! {
    #[test]
    fn what_is_captured_is_the_total_cent_by_cent(order in an_order()) {
        let total = order.total;
        let mut story = Story::of(order, Auto);
        story.answer(Reply::Reserved);
        story.answer(authorized(total.0));
        story.answer(Reply::LabelBought(label("k")));
        story.answer(Reply::Captured { capture_id: "cap_1".to_owned(), amount: total });
        prop_assert!(story.state().is_completed());
        let captures: Vec<_> = story.events.iter().filter_map(|event| match event {
            Event::Payment(PaymentEvent::PaymentCaptured(captured)) => Some(captured),
            _ => None,
        }).collect();
        let [capture] = captures[..] else { panic!("one capture") };
        let lines: Amount = capture.lines.iter().map(|line| line.amount).sum();
        let charges: Amount = capture.charges.iter().map(|charge| charge.amount).sum();
        prop_assert_eq!((capture.amount, lines + charges), (total, total));
    }
}
