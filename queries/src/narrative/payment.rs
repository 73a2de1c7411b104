//! What happened to the money, in words.
use super::{in_currency, money};
use domain::{Amount, fulfillment::Fulfillment, payment::PaymentEvent};

pub(super) fn sentence(event: &PaymentEvent, before: &Fulfillment) -> String {
    match event {
        PaymentEvent::PaymentAuthorized(event) => {
            let amount = in_currency(event.amount, &event.currency);
            format!("Payment of {amount} was authorized; it is taken once the goods have left")
        }
        PaymentEvent::PaymentDeclined(event) => match event.code.as_str() {
            "declined" => format!("The {} was declined", method(before)),
            code => format!("The {} was declined ({code})", method(before)),
        },
        PaymentEvent::AuthorizationVoided(_) => match before.payment.authorized() {
            Amount::ZERO => "The payment was stopped: nothing can be charged any more".to_owned(),
            amount => format!("The authorization of {} was given back; nothing was charged", money(amount, before)),
        },
        PaymentEvent::PaymentCaptured(event) => {
            format!("Payment of {} was captured: the customer is charged", in_currency(event.amount, &event.currency))
        }
        PaymentEvent::PaymentRefunded(event) => {
            let amount = in_currency(event.amount, &event.currency);
            format!("{amount} was given back to the customer for return {}", event.return_number)
        }
        PaymentEvent::CaptureDeclined(event) => {
            let amount = money(before.payment.authorized(), before);
            format!("The payment provider refused to capture {amount} ({}), though the goods have left", event.code)
        }
    }
}

/// `card`, as the order says it is paid; `payment` when that is not a plain word.
fn method(order: &Fulfillment) -> &str {
    let payment = order.order.placed.as_ref().and_then(|placed| placed.payment.as_ref());
    match payment {
        Some(payment) if payment.method == "card" => "card",
        _ => "payment",
    }
}
