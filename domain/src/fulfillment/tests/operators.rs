//! What operators may do, one sentence each.
use crate::{
    fulfillment::{
        OrderStatus, Step,
        story::{Story, authorized, captured, ended, refused, ship_all, unanswered},
    },
    location::LocationMode::{Auto, Manual},
    order::CancelReason,
    payment::Payment,
    saga::{
        Action, Next, Reply, SagaState, WaitingOn, Which,
        operator::{Command, Done, Refused, Verb},
    },
    shipment,
    testing::{ORDER, context, label},
};

fn done(reference: &str) -> Command {
    Command::MarkDone(Done { reference: reference.to_owned(), carrier: Some("swift".to_owned()) })
}

/// Told before anything is done.
fn foretold(story: &Story, command: Command) -> String {
    let state = story.state();
    let saga = state.one(ORDER, Which::Fulfillment).unwrap();
    let events = saga.operate(command, Default::default(), crate::testing::now()).unwrap();
    state.forecast(ORDER, Which::Fulfillment, &events, &context(story.mode)).unwrap().sentence()
}

#[test]
fn a_capture_that_was_declined_is_passed_over_and_the_order_is_complete() {
    let mut story = Story::shipped();
    assert!(!story.state().supported().contains(&Verb::Skip), "it has not stopped");
    story.answer(refused("declined"));
    assert_eq!(story.state().supported(), [Verb::Retry, Verb::Skip, Verb::MarkDone, Verb::Pause]);
    assert_eq!(foretold(&story, Command::Skip), "will complete the order");
    assert_eq!(story.operate(Command::Skip), Ok(vec!["StepSkipped"]));
    assert_eq!(story.look_again(), ["OrderCompleted", "SagaCompleted"]);
    assert!(matches!(story.state().payment, Payment::CaptureDeclined { .. }), "nothing was taken");
    assert_eq!(story.state().supported(), []);
}

#[test]
fn an_answer_to_what_was_passed_over_changes_nothing() {
    let mut story = Story::shipped();
    let capture = story.action();
    story.answer(unanswered());
    story.operate(Command::Skip).unwrap();
    story.look_again();
    assert_eq!(story.answer_to(&capture, captured()), [""; 0]);
}

#[test]
fn a_capture_made_elsewhere_stands_in_the_history_with_its_reference() {
    let mut story = Story::shipped();
    story.answer(unanswered());
    assert_eq!(story.operate(done("cap_9")), Ok(vec!["StepMarkedDone", "PaymentCaptured"]));
    assert_eq!(story.look_again(), ["OrderCompleted", "SagaCompleted"]);
    assert_eq!(story.state().payment.captured().0, 540);
}

#[test]
fn an_authorization_made_elsewhere_is_the_one_that_is_captured() {
    let mut story = Story::reserved(Auto);
    story.answer(Reply::Exhausted);
    assert_eq!(story.operate(done("pay_7")), Ok(vec!["StepMarkedDone", "PaymentAuthorized"]));
    assert_eq!(story.look_again(), ["FulfillmentReleased"]);
    story.answer(Reply::LabelBought(label("k")));
    assert!(matches!(story.action(), Action::Capture { authorization_id, .. } if authorization_id == "pay_7"));
}

#[test]
fn a_parcel_sent_without_our_label_has_left() {
    let mut story = Story::released(Auto);
    story.answer(Reply::Exhausted);
    assert_eq!(story.operate(done("SW77")), Ok(vec!["StepMarkedDone", "FulfillmentShipped"]));
    let released = story.state().shipment.released.unwrap();
    assert_eq!((released.carrier.as_deref(), released.tracking_number.as_deref()), (Some("swift"), Some("SW77")));
    assert!(matches!(story.action(), Action::Capture { .. }));
}

#[test]
fn an_undo_that_is_refused_is_passed_over_or_was_done_elsewhere_and_the_rest_is_undone_in_reverse() {
    for (command, told) in
        [(Command::Skip, vec!["StepSkipped"]), (done("void_1"), vec!["StepMarkedDone", "LabelVoided"])]
    {
        let mut story = Story::released(Auto);
        let forward = story.action();
        story.cancel();
        story.answer_to(&forward, Reply::LabelBought(label("k")));
        story.answer(refused("too_late"));
        assert_eq!(story.operate(command), Ok(told));
        assert_eq!(story.look_again(), ["FulfillmentRecalled"]);
        story.answer(refused("not_now"));
        assert_eq!(story.operate(Command::Skip), Ok(vec!["StepSkipped"]));
        assert_eq!(story.look_again(), ["StockReleased", "OrderCancelled", "SagaCompensated"]);
        assert_eq!(ended(&story), Some(CancelReason::Requested));
    }
}

#[test]
fn nothing_that_comes_later_may_need_what_is_passed_over() {
    for mut story in [Story::reserved(Auto), Story::released(Auto)] {
        story.answer(Reply::Exhausted);
        let step = story.state().step().name();
        let why = format!("{step} can't be passed over: what comes later needs it");
        assert_eq!(story.operate(Command::Skip), Err(Refused::NotAllowed(why)));
    }
}

#[test]
fn a_step_that_goes_well_is_neither_passed_over_nor_done_elsewhere_nor_tried_again() {
    let mut story = Story::shipped();
    for command in [Command::Skip, done("x"), Command::Retry, Command::Resume] {
        assert!(matches!(story.operate(command), Err(Refused::NotAllowed(_))));
    }
    assert_eq!(story.state().supported(), [Verb::Pause]);
}

#[test]
fn everything_is_undone_for_an_operator_who_was_told_so_before() {
    let mut story = Story::released(Manual);
    let told =
        "will take it back from the warehouse, void the authorization of 5.40 USD, release 2 SKUs and cancel the order";
    assert_eq!(foretold(&story, Command::Compensate), told);
    assert_eq!(story.operate(Command::Compensate), Ok(vec!["CompensationForced"]));
    assert_eq!(story.state().status(), OrderStatus::Cancelling);
    assert_eq!(story.report(ship_all()), Err(shipment::Rejection::Recalled));
    assert_eq!(story.operate(Command::Compensate), Ok(vec![]), "it is so already");
    story.look_again();
    story.answer(Reply::AuthorizationVoided);
    assert_eq!(ended(&story), Some(CancelReason::Requested));
}

#[test]
fn an_authorization_of_unknown_outcome_is_not_promised_to_be_there() {
    let mut story = Story::reserved(Auto);
    story.answer(unanswered());
    let told = "will make sure that no authorization of 5.40 USD is left, release 2 SKUs and cancel the order";
    assert_eq!(foretold(&story, Command::Compensate), told);
}

#[test]
fn goods_that_have_left_are_not_undone_by_force() {
    let mut story = Story::shipped();
    story.answer(refused("declined"));
    assert_eq!(story.operate(Command::Compensate), Err(Refused::AlreadyShipped));
}

#[test]
fn a_paused_saga_begins_nothing_and_its_goods_stay_until_it_is_resumed() {
    let mut story = Story::released(Manual);
    assert_eq!(story.operate(Command::Pause), Ok(vec!["PauseRequested"]));
    assert_eq!(story.operate(Command::Pause), Ok(vec![]), "it is so already");
    let state = story.state();
    assert_eq!((state.status(), state.status_reason()), (OrderStatus::OnHold, Some("paused_by_operator")));
    assert_eq!((state.saga_state(), state.next(ORDER)), (SagaState::Paused, Next::Wait(WaitingOn::Operator)));
    assert_eq!(story.report(ship_all()), Err(shipment::Rejection::OnHold));
    assert_eq!(foretold(&story, Command::Resume), "nothing will happen; then it waits for warehouse");
    assert_eq!(story.operate(Command::Resume), Ok(vec!["ResumeRequested"]));
    assert_eq!(story.report(ship_all()), Ok(vec!["FulfillmentShipped"]));
}

#[test]
fn an_answer_to_a_call_under_way_is_kept_though_the_saga_was_paused_and_nothing_follows() {
    let mut story = Story::reserved(Auto);
    let authorize = story.action();
    story.operate(Command::Pause).unwrap();
    assert_eq!(story.answer_to(&authorize, authorized(540)), ["PaymentAuthorized"]);
    assert_eq!(story.look_again(), [""; 0]);
    story.operate(Command::Resume).unwrap();
    assert_eq!(story.look_again(), ["FulfillmentReleased"]);
}

#[test]
fn a_cancel_of_a_paused_order_is_carried_out_once_it_is_resumed() {
    let mut story = Story::released(Manual);
    story.operate(Command::Pause).unwrap();
    story.cancel();
    assert_eq!(story.look_again(), [""; 0]);
    assert_eq!((story.state().status(), story.state().step()), (OrderStatus::Cancelling, Step::Ship));
    story.operate(Command::Resume).unwrap();
    assert_eq!(story.look_again(), ["CompensationStarted", "FulfillmentRecalled"]);
}

#[test]
fn what_has_ended_or_is_of_another_build_takes_no_verbs() {
    let mut story = Story::shipped();
    story.answer(captured());
    let verbs = [Command::Retry, Command::Skip, done("x"), Command::Pause, Command::Resume];
    for command in verbs {
        let why = "the saga has ended: it is COMPLETED".to_owned();
        assert_eq!(story.operate(command), Err(Refused::NotAllowed(why)));
    }
    let mut newer = Story::of(crate::testing::two_lines(), Auto);
    let started = crate::fulfillment::SagaStarted { saga: "fulfillment".to_owned(), definition_version: 99 };
    newer.append(vec![started.into()]);
    assert_eq!(newer.state().saga_state(), SagaState::Waiting);
    assert!(matches!(newer.operate(Command::Pause), Err(Refused::NotAllowed(_))));
}
