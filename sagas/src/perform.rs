//! One action as one participant's call, and its answer as a reply of the saga's.
//!
//! Done and refused are definite. Anything else is none: nothing is assumed, and the same request goes out again under the same
//! key, after a question when the last one may have arrived. A key that the participant may have forgotten is not sent again: then only
//! what it holds under our reference counts (`lookup`).
use crate::limits::Participant;
use crate::lookup::LookUp;
use crate::metrics;
use crate::participants::payment::{
    self, AuthorizeRequest, CaptureRequest, PaymentOutcome, PaymentPort, RefundRequest, VoidRequest,
};
use crate::participants::shipping::{self, LabelRequest, ShippingOutcome, ShippingPort, VoidLabelRequest};
use crate::participants::{Amount, StepError};
use crate::ports::{SecretError, Secrets};
use commands::History;
use domain::fulfillment::Fulfillment;
use domain::order::OrderPlaced;
use domain::saga::{Action, Reply};
use domain::{Currency, shipment};
use std::time::Duration;
use tokio::time::Instant;

/// What a participant is sent. Every try of an action sends the same.
#[derive(Debug)]
pub(crate) enum Request {
    Authorize(AuthorizeRequest),
    Void(VoidRequest),
    Capture(CaptureRequest),
    /// And the refunds of the order that are known to be others.
    Refund(RefundRequest, Vec<String>),
    /// And the tracking numbers of the order's labels that are known to be others.
    Label(LabelRequest, Vec<String>),
    VoidLabel(VoidLabelRequest),
}

/// Whether the participant is asked what became of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    No,
    /// The last try may have arrived.
    First,
    /// The call may have been made in a life of the log that is lost, at any time.
    LostLife,
    /// The participant may have forgotten the key: it may not be sent again, so what is held under our reference must tell.
    Only,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Definite(Reply),
    /// None. `unsure`: it may have acted.
    Missing {
        unsure: bool,
        retry_after: Option<Duration>,
        message: String,
    },
    /// Only asked, and what is there is no answer: nothing, or several, or not what was asked for.
    Forgotten,
}

impl Answer {
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Answer::Definite(Reply::Refused { .. }) => "refused",
            Answer::Definite(_) => "done",
            Answer::Missing { unsure: true, .. } => "unknown",
            Answer::Missing { .. } => "unavailable",
            Answer::Forgotten => "forgotten",
        }
    }
}

impl Request {
    /// `None` for what needs no participant.
    pub(crate) async fn prepare(
        action: &Action,
        history: &History,
        placed: &OrderPlaced,
        secrets: &dyn Secrets,
    ) -> Result<Option<Request>, SecretError> {
        let (order, shop, state) = (history.order, &history.shop, &history.fulfillment);
        let reference = order.to_string();
        Ok(Some(match action.clone() {
            Action::Reserve { .. } => return Ok(None),
            Action::Authorize { key, amount, currency } => {
                let token = secrets.payment_token(order, shop, placed).await?;
                Request::Authorize(AuthorizeRequest { key, reference, amount: theirs(amount, &currency), token })
            }
            Action::VoidAuthorization { key, forward_key, authorization_id } => {
                Request::Void(VoidRequest { key, reference, forward_key, authorization_id })
            }
            Action::Capture { key, authorization_id, amount, currency } => {
                let amount = theirs(amount, &currency);
                Request::Capture(CaptureRequest { key, reference, authorization_id, amount })
            }
            Action::Refund { key, capture_id, amount, currency } => {
                let amount = theirs(amount, &currency);
                let known = state.returns.iter().filter_map(|other| other.refund_id.clone());
                Request::Refund(RefundRequest { key, reference, capture_id, amount }, known.collect())
            }
            Action::BuyReturnLabel { key, lines, pieces } => {
                let from = secrets.ship_to(order, shop, placed).await?;
                Request::Label(
                    LabelRequest {
                        key,
                        reference,
                        method: RETURN.to_owned(),
                        country: from.country,
                        postal_code: from.postal_code,
                        parcels: 1,
                        weight_grams: None,
                        lines,
                        pieces: u64::try_from(pieces).unwrap_or(0),
                    },
                    known_labels(state),
                )
            }
            Action::BuyLabel { key } => {
                let to = secrets.ship_to(order, shop, placed).await?;
                Request::Label(
                    LabelRequest {
                        key,
                        reference,
                        method: placed.shipping_method.clone().unwrap_or_else(|| "standard".to_owned()),
                        country: to.country,
                        postal_code: to.postal_code,
                        parcels: 1,
                        weight_grams: None,
                        lines: u32::try_from(placed.lines.len()).unwrap_or(u32::MAX),
                        pieces: placed.lines.iter().map(|line| u64::try_from(line.quantity).unwrap_or(0)).sum(),
                    },
                    known_labels(state),
                )
            }
            Action::VoidLabel { key, forward_key, label_id } => {
                Request::VoidLabel(VoidLabelRequest { key, reference, forward_key, label_id })
            }
        }))
    }

    pub(crate) fn participant(&self) -> Participant {
        match self {
            Request::Authorize(_) | Request::Void(_) | Request::Capture(_) | Request::Refund(..) => {
                Participant::Payment
            }
            Request::Label(..) | Request::VoidLabel(_) => Participant::Shipping,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Request::Authorize(_) => "authorize",
            Request::Void(_) => "void",
            Request::Capture(_) => "capture",
            Request::Refund(..) => "refund",
            Request::Label(..) => "label",
            Request::VoidLabel(_) => "void_label",
        }
    }

    /// What became of it, where that is to be asked; or how it may be sent.
    pub(crate) async fn ask(&self, payment: &dyn PaymentPort, shipping: &dyn ShippingPort, ask: Ask) -> LookUp {
        if ask != Ask::No {
            let begun = Instant::now();
            let asked = match self {
                Request::Authorize(AuthorizeRequest { key, .. })
                | Request::Void(VoidRequest { key, .. })
                | Request::Capture(CaptureRequest { key, .. })
                | Request::Refund(RefundRequest { key, .. }, _) => self.found(payment.query(key).await),
                Request::Label(LabelRequest { key, .. }, _) | Request::VoidLabel(VoidLabelRequest { key, .. }) => {
                    self.found_label(shipping.query(key).await)
                }
            };
            let outcome = asked.as_ref().map_or("nothing", Answer::outcome);
            metrics::call(self.participant(), "query", outcome, begun.elapsed());
            if let Some(answer) = asked {
                return LookUp::Answered(answer);
            }
        }
        // The forward call may be older than this one: its key says nothing where keys are forgotten.
        let keys = match self.participant() {
            Participant::Payment => payment.key_lifetime(),
            Participant::Shipping => shipping.key_lifetime(),
        };
        if ask == Ask::Only || (keys.is_some() && (ask == Ask::LostLife || self.is_nameless_undo())) {
            return match self.look_up(payment, shipping).await {
                LookUp::Nothing if ask == Ask::Only => LookUp::Answered(Answer::Forgotten),
                // Where there is nothing, whoever may have called is long gone.
                found => found,
            };
        }
        LookUp::Nothing
    }

    /// Sends it once.
    pub(crate) async fn send(&self, payment: &dyn PaymentPort, shipping: &dyn ShippingPort) -> Answer {
        let begun = Instant::now();
        let answer = match self {
            Request::Authorize(request) => self.answer(payment.authorize(request).await, |done| self.authorized(done)),
            Request::Void(request) => self.answer(payment.void(request).await, |_| Ok(Reply::AuthorizationVoided)),
            Request::Capture(request) => self.answer(payment.capture(request).await, |done| self.captured(done)),
            Request::Refund(request, _) => self.answer(payment.refund(request).await, |done| self.refunded(done)),
            Request::Label(request, _) => {
                self.answer(shipping.label(request).await, |done| Ok(labelled(request, done)))
            }
            Request::VoidLabel(request) => self.answer(shipping.void_label(request).await, |_| Ok(Reply::LabelVoided)),
        };
        metrics::call(self.participant(), self.name(), answer.outcome(), begun.elapsed());
        answer
    }

    /// `None`: nothing is known of the key.
    fn found(&self, asked: Result<Option<PaymentOutcome>, StepError>) -> Option<Answer> {
        let found = match asked {
            Ok(found) => found?,
            Err(error) => return Some(self.missing(error, true)),
        };
        let known = match (self, found) {
            (Request::Authorize(_), PaymentOutcome::Authorized(done)) => self.authorized(done),
            (Request::Capture(_), PaymentOutcome::Captured(done)) => self.captured(done),
            (Request::Refund(..), PaymentOutcome::Refunded(done)) => self.refunded(done),
            (Request::Void(_), PaymentOutcome::Voided(_)) => Ok(Reply::AuthorizationVoided),
            (_, PaymentOutcome::Refused { code, message }) => Err(StepError::Refused { code, message }),
            (_, PaymentOutcome::InProgress) => Err(StepError::unknown("a call with this key is under way")),
            (_, other) => Err(StepError::unknown(format!("the key led to {other:?}"))),
        };
        Some(self.answer(known, Ok))
    }

    fn found_label(&self, asked: Result<Option<ShippingOutcome>, StepError>) -> Option<Answer> {
        let found = match asked {
            Ok(found) => found?,
            Err(error) => return Some(self.missing(error, true)),
        };
        let known = match (self, found) {
            (Request::Label(request, _), ShippingOutcome::Labelled(done)) => Ok(labelled(request, done)),
            (Request::VoidLabel(_), ShippingOutcome::Voided(_)) => Ok(Reply::LabelVoided),
            (_, ShippingOutcome::Refused { code, message }) => Err(StepError::Refused { code, message }),
            (_, ShippingOutcome::InProgress) => Err(StepError::unknown("a call with this key is under way")),
            (_, other) => Err(StepError::unknown(format!("the key led to {other:?}"))),
        };
        Some(self.answer(known, Ok))
    }

    pub(crate) fn answer<T>(
        &self,
        result: Result<T, StepError>,
        done: impl FnOnce(T) -> Result<Reply, StepError>,
    ) -> Answer {
        match result.and_then(done) {
            Ok(reply) => Answer::Definite(reply),
            Err(error) => self.missing(error, false),
        }
    }

    /// `before`: an earlier try may have acted, whatever becomes of this one.
    pub(crate) fn missing(&self, error: StepError, before: bool) -> Answer {
        match error {
            // The first request under this key was another one. Its answer stands, and a question will tell it.
            StepError::Refused { code, message } if code == "key_reused" => {
                Answer::Missing { unsure: true, retry_after: None, message }
            }
            // It is as it should be, whoever did it.
            StepError::Refused { code, .. } if code == "already_voided" => match self {
                Request::Void(_) => Answer::Definite(Reply::AuthorizationVoided),
                Request::VoidLabel(_) => Answer::Definite(Reply::LabelVoided),
                _ => Answer::Definite(Reply::Refused { code }),
            },
            StepError::Refused { code, .. } => Answer::Definite(Reply::Refused { code }),
            StepError::Unknown { message } => Answer::Missing { unsure: true, retry_after: None, message },
            StepError::Retryable { message, retry_after } => Answer::Missing { unsure: before, retry_after, message },
        }
    }

    pub(crate) fn authorized(&self, done: payment::Authorization) -> Result<Reply, StepError> {
        let amount = self.ours(&done.amount)?;
        Ok(Reply::Authorized { authorization_id: done.authorization_id, amount, expires_at: done.expires_at })
    }

    pub(crate) fn captured(&self, done: payment::Capture) -> Result<Reply, StepError> {
        Ok(Reply::Captured { capture_id: done.capture_id, amount: self.ours(&done.amount)? })
    }

    pub(crate) fn refunded(&self, done: payment::Refund) -> Result<Reply, StepError> {
        Ok(Reply::Refunded { refund_id: done.refund_id, amount: self.ours(&done.amount)? })
    }

    /// An amount in another unit than was asked for is not understood.
    fn ours(&self, amount: &Amount) -> Result<domain::Amount, StepError> {
        let asked = match self {
            Request::Authorize(request) => Some(&request.amount),
            Request::Capture(request) => Some(&request.amount),
            Request::Refund(request, _) => Some(&request.amount),
            _ => None,
        };
        match asked {
            Some(asked) if asked.same_unit(amount) => Ok(domain::Amount(amount.minor)),
            _ => Err(StepError::unknown(format!("an amount in another unit: {amount}"))),
        }
    }
}

/// Asks for the key of a step's undoing, and where keys are forgotten for what is held. `None`: nothing was undone.
pub(crate) async fn undone(
    key: &str,
    reference: &str,
    participant: Participant,
    payment: &dyn PaymentPort,
    shipping: &dyn ShippingPort,
) -> Option<Answer> {
    let begun = Instant::now();
    let found = match participant {
        Participant::Shipping => match shipping.query(key).await {
            Ok(None) if shipping.key_lifetime().is_some() => {
                shipping.find(reference).await.map(|held| (held.iter().any(|held| held.voided), false))
            }
            found => found.map(|found| {
                let voided = matches!(found, Some(ShippingOutcome::Voided(_)));
                (voided, matches!(found, Some(ShippingOutcome::InProgress)))
            }),
        },
        Participant::Payment => match payment.query(key).await {
            Ok(None) if payment.key_lifetime().is_some() => {
                payment.find(reference).await.map(|held| (held.iter().any(|held| held.voided), false))
            }
            found => found.map(|found| {
                let voided = matches!(found, Some(PaymentOutcome::Voided(_)));
                (voided, matches!(found, Some(PaymentOutcome::InProgress)))
            }),
        },
    };
    let answer = match found {
        Ok((true, _)) => Some(Answer::Definite(Reply::Stuck { cause: UNDONE.to_owned() })),
        Ok((_, true)) => {
            Some(Answer::Missing { unsure: true, retry_after: None, message: "it is being undone".to_owned() })
        }
        Ok(_) => None,
        Err(StepError::Retryable { message, retry_after }) => {
            Some(Answer::Missing { unsure: true, retry_after, message })
        }
        Err(error) => Some(Answer::Missing { unsure: true, retry_after: None, message: error.to_string() }),
    };
    metrics::call(participant, "query", answer.as_ref().map_or("nothing", Answer::outcome), begun.elapsed());
    answer
}

/// The labels that the order's history knows: of what was sent, and of what comes back.
fn known_labels(state: &Fulfillment) -> Vec<String> {
    let sent = state.shipment.released.as_ref().and_then(|released| released.tracking_number.clone());
    let labels = state.returns.iter().filter_map(|other| other.label.as_ref());
    sent.into_iter().chain(labels.map(|label| label.tracking_number.clone())).collect()
}

/// The method of a label to send goods back with.
const RETURN: &str = "return";

/// Why a saga pauses whose step was undone in a life of the log that is lost.
const UNDONE: &str = "undone_before_restore";

pub(crate) fn labelled(request: &LabelRequest, done: shipping::Label) -> Reply {
    let shipping::Label { label_id, carrier, tracking_number, cost: _ } = done;
    Reply::LabelBought(shipment::Label { key: request.key.clone(), label_id, carrier, tracking_number })
}

fn theirs(amount: domain::Amount, currency: &Currency) -> Amount {
    Amount::new(amount.0, currency.digits, currency.code.clone())
}
