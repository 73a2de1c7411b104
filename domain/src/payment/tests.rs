//! The rules of an order's money, one sentence each.
use super::{
    AuthorizationVoided, CaptureDeclined, CapturedCharge, CapturedLine, Command, Payment, PaymentAuthorized,
    PaymentCaptured, PaymentDeclined, PaymentEvent, Rejection,
};
use crate::{
    Amount, fold,
    testing::{given, now, usd},
};

fn authorized(id: &str, amount: i64) -> PaymentAuthorized {
    PaymentAuthorized {
        key: "k/authorize".to_owned(),
        authorization_id: id.to_owned(),
        amount: Amount(amount),
        currency: usd(),
        expires_at: now(),
    }
}

fn declined() -> PaymentDeclined {
    PaymentDeclined { key: "k/authorize".to_owned(), code: "declined".to_owned() }
}

fn voided(authorization_id: Option<&str>) -> AuthorizationVoided {
    AuthorizationVoided { key: "k/void".to_owned(), authorization_id: authorization_id.map(str::to_owned) }
}

/// Of one line and one charge, which may lower the total.
fn captured(line: i64, charge: i64, amount: i64) -> PaymentCaptured {
    PaymentCaptured {
        key: "k/capture".to_owned(),
        capture_id: "cap_1".to_owned(),
        authorization_id: "pay_1".to_owned(),
        amount: Amount(amount),
        currency: usd(),
        lines: vec![CapturedLine { line_id: "1".into(), amount: Amount(line) }],
        charges: vec![CapturedCharge { charge_id: 1, amount: Amount(charge) }],
    }
}

fn capture_declined() -> CaptureDeclined {
    CaptureDeclined { key: "k/capture".to_owned(), code: "capture_declined".to_owned() }
}

fn decide(events: &[PaymentEvent], command: Command) -> Result<Vec<PaymentEvent>, Rejection> {
    given::<Payment>(events, command)
}

#[test]
fn money_is_authorized_once() {
    let authorize = Command::RecordAuthorization(authorized("pay_1", 540));
    assert_eq!(decide(&[], authorize.clone()), Ok(vec![authorized("pay_1", 540).into()]));
    let given = [authorized("pay_1", 540).into()];
    assert_eq!(decide(&given, authorize), Ok(vec![]));
    let another = Command::RecordAuthorization(authorized("pay_2", 540));
    assert_eq!(decide(&given, another), Err(Rejection::OutOfPlace("RecordAuthorization")));
}

#[test]
fn a_declined_payment_is_not_authorized_after_all() {
    let given = [declined().into()];
    assert_eq!(decide(&[], Command::RecordDecline(declined())), Ok(vec![declined().into()]));
    assert_eq!(decide(&given, Command::RecordDecline(declined())), Ok(vec![]));
    let authorize = Command::RecordAuthorization(authorized("pay_1", 540));
    assert_eq!(decide(&given, authorize), Err(Rejection::OutOfPlace("RecordAuthorization")));
}

#[test]
fn an_authorization_is_voided_once_and_nothing_is_held_then() {
    let given = [authorized("pay_1", 540).into()];
    let void = Command::RecordVoid(voided(Some("pay_1")));
    assert_eq!(decide(&given, void.clone()), Ok(vec![voided(Some("pay_1")).into()]));
    let given = [authorized("pay_1", 540).into(), voided(Some("pay_1")).into()];
    assert_eq!(decide(&given, void), Ok(vec![]));
    assert_eq!(fold::<Payment>(&given).authorized(), Amount::ZERO);
}

#[test]
fn an_authorization_never_heard_of_can_be_blocked_and_never_comes_to_be() {
    let given = [voided(None).into()];
    assert_eq!(decide(&[], Command::RecordVoid(voided(None))), Ok(vec![voided(None).into()]));
    let late = Command::RecordAuthorization(authorized("pay_1", 540));
    assert_eq!(decide(&given, late), Err(Rejection::OutOfPlace("RecordAuthorization")));
}

#[test]
fn no_more_is_captured_than_was_authorized() {
    let given = [authorized("pay_1", 540).into()];
    let capture = |line, charge, amount| Command::RecordCapture(captured(line, charge, amount));
    assert_eq!(decide(&given, capture(50, 490, 540)), Ok(vec![captured(50, 490, 540).into()]));
    assert_eq!(decide(&given, capture(51, 490, 541)), Err(Rejection::MoreThanAuthorized));
}

#[test]
fn what_is_captured_is_the_sum_of_its_lines_and_charges() {
    let given = [authorized("pay_1", 540).into()];
    let capture = |line, charge, amount| Command::RecordCapture(captured(line, charge, amount));
    assert_eq!(decide(&given, capture(50, 490, 539)), Err(Rejection::SumMismatch));
    assert!(decide(&given, capture(600, -60, 540)).is_ok(), "a discount counts as negative");
}

#[test]
fn money_is_captured_once() {
    let given = [authorized("pay_1", 540).into(), captured(50, 490, 540).into()];
    assert_eq!(decide(&given, Command::RecordCapture(captured(50, 490, 540))), Ok(vec![]));
    assert_eq!(fold::<Payment>(&given).captured(), Amount(540));
}

#[test]
fn captured_money_is_not_voided_and_voided_money_not_captured() {
    let given = [authorized("pay_1", 540).into(), captured(50, 490, 540).into()];
    assert_eq!(decide(&given, Command::RecordVoid(voided(Some("pay_1")))), Err(Rejection::OutOfPlace("RecordVoid")));
    let given = [authorized("pay_1", 540).into(), voided(Some("pay_1")).into()];
    let capture = Command::RecordCapture(captured(50, 490, 540));
    assert_eq!(decide(&given, capture), Err(Rejection::OutOfPlace("RecordCapture")));
}

#[test]
fn nothing_is_captured_without_an_authorization() {
    let capture = Command::RecordCapture(captured(50, 490, 540));
    assert_eq!(decide(&[], capture), Err(Rejection::OutOfPlace("RecordCapture")));
    let decline = Command::RecordCaptureDecline(capture_declined());
    assert_eq!(decide(&[], decline), Err(Rejection::OutOfPlace("RecordCaptureDecline")));
}

#[test]
fn a_declined_capture_keeps_the_authorization_and_may_be_tried_again() {
    let given = [authorized("pay_1", 540).into(), capture_declined().into()];
    assert_eq!(fold::<Payment>(&given).authorized(), Amount(540));
    assert!(decide(&given, Command::RecordCaptureDecline(capture_declined())).is_ok());
    let capture = Command::RecordCapture(captured(50, 490, 540));
    assert_eq!(decide(&given, capture), Ok(vec![captured(50, 490, 540).into()]));
}
