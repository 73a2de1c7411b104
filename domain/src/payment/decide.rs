//! The rules of an order's money.
use super::{Authorization, Command, Payment, PaymentEvent};
use crate::{Amount, Decider};
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    #[error("more would be captured than is authorized")]
    MoreThanAuthorized,
    #[error("more would be given back than was captured")]
    MoreThanCaptured,
    #[error("the lines and charges do not sum to the amount")]
    SumMismatch,
    #[error("{0} does not fit the payment's state")]
    OutOfPlace(&'static str),
}

impl Decider for Payment {
    type State = Payment;
    type Command = Command;
    type Event = PaymentEvent;
    type Rejection = Rejection;

    fn initial() -> Payment {
        Payment::None
    }

    fn decide(payment: &Payment, command: Command) -> Result<Vec<PaymentEvent>, Rejection> {
        match (command, payment) {
            (Command::RecordAuthorization(event), Payment::None) => one(event),
            (Command::RecordAuthorization(event), Payment::Authorized(known)) if known.id == event.authorization_id => {
                Ok(vec![])
            }
            (Command::RecordDecline(event), Payment::None) => one(event),
            (Command::RecordDecline(_), Payment::Declined { .. }) => Ok(vec![]),
            (Command::RecordVoid(event), Payment::None | Payment::Authorized(_)) => one(event),
            (Command::RecordVoid(_), Payment::Voided { .. } | Payment::Declined { .. }) => Ok(vec![]),
            (
                Command::RecordCapture(event),
                Payment::Authorized(authorization) | Payment::CaptureDeclined { authorization, .. },
            ) => {
                let lines: Amount = event.lines.iter().map(|line| line.amount).sum();
                let charges: Amount = event.charges.iter().map(|charge| charge.amount).sum();
                match event.amount {
                    amount if amount > authorization.amount => Err(Rejection::MoreThanAuthorized),
                    amount if amount != lines + charges => Err(Rejection::SumMismatch),
                    _ => one(event),
                }
            }
            (Command::RecordCapture(_), Payment::Captured { .. }) => Ok(vec![]),
            (Command::RecordCaptureDecline(event), Payment::Authorized(_) | Payment::CaptureDeclined { .. }) => {
                one(event)
            }
            (Command::RecordRefund(event), Payment::Captured { captured, refunded, .. }) => match event.amount {
                amount if *refunded + amount > *captured => Err(Rejection::MoreThanCaptured),
                amount if amount != event.lines.iter().map(|line| line.amount).sum() => Err(Rejection::SumMismatch),
                _ => one(event),
            },
            (Command::RecordRefund(_), _) => Err(Rejection::OutOfPlace("RecordRefund")),
            (Command::RecordAuthorization(_), _) => Err(Rejection::OutOfPlace("RecordAuthorization")),
            (Command::RecordDecline(_), _) => Err(Rejection::OutOfPlace("RecordDecline")),
            (Command::RecordVoid(_), _) => Err(Rejection::OutOfPlace("RecordVoid")),
            (Command::RecordCapture(_), _) => Err(Rejection::OutOfPlace("RecordCapture")),
            (Command::RecordCaptureDecline(_), _) => Err(Rejection::OutOfPlace("RecordCaptureDecline")),
        }
    }

    fn evolve(payment: &mut Payment, event: &PaymentEvent) {
        *payment = match event {
            PaymentEvent::PaymentAuthorized(e) => Payment::Authorized(Authorization {
                id: e.authorization_id.clone(),
                amount: e.amount,
                expires_at: e.expires_at,
            }),
            PaymentEvent::PaymentDeclined(e) => Payment::Declined { code: e.code.clone() },
            PaymentEvent::AuthorizationVoided(_) => Payment::Voided { authorized: payment.authorized() },
            PaymentEvent::PaymentCaptured(e) => match payment.authorization() {
                Some(authorization) => Payment::Captured {
                    authorization: authorization.clone(),
                    capture_id: e.capture_id.clone(),
                    captured: payment.captured() + e.amount,
                    refunded: payment.refunded(),
                },
                None => return,
            },
            PaymentEvent::PaymentRefunded(e) => {
                if let Payment::Captured { refunded, .. } = payment {
                    *refunded = *refunded + e.amount;
                }
                return;
            }
            PaymentEvent::CaptureDeclined(e) => match payment.authorization() {
                Some(authorization) => {
                    Payment::CaptureDeclined { authorization: authorization.clone(), code: e.code.clone() }
                }
                None => return,
            },
        };
    }
}

fn one(event: impl Into<PaymentEvent>) -> Result<Vec<PaymentEvent>, Rejection> {
    Ok(vec![event.into()])
}
