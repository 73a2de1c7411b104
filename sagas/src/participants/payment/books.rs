//! What the simulated payment provider remembers, and the rules that guard it.
//!
//! An authorization is captured up to its amount, in parts; once captured it is not voided, once voided or expired not
//! captured; a capture is refunded up to its amount. All rules are here, pure: the ledger calls them under its lock.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::token::Token;
use super::{
    Authorization, AuthorizeRequest, Capture, CaptureRequest, HeldAuthorization, HeldCapture, PaymentOutcome, Refund,
    RefundRequest, VoidRequest, Voided,
};
use crate::participants::ledger::{Books, Deed, Fact, Kind, Refusal, View};
use crate::participants::{Amount, Forgotten};

/// How long money stays set aside.
const AUTHORIZATION_LIFETIME: TimeDelta = TimeDelta::days(7);

/// Authorizations of one answer; more than anyone asks about.
const MAX_HELD: usize = 100;

/// What a call brought about; a line of the provider's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PaymentFact {
    Authorized {
        authorization: Authorization,
        capture_declines: bool,
    },
    Captured {
        authorization_id: String,
        capture: Capture,
    },
    Voided {
        authorization_id: String,
        amount: Amount,
    },
    Blocked {
        forward_key: String,
    },
    /// What these references' person was is no longer known here.
    Forgotten {
        orders: Vec<String>,
    },
    Refunded {
        capture_id: String,
        refund: Refund,
    },
}

impl Fact for PaymentFact {
    fn acted(&self) -> Option<(Kind, &Amount)> {
        match self {
            Self::Authorized { authorization, .. } => Some((Kind::Authorize, &authorization.amount)),
            Self::Captured { capture, .. } => Some((Kind::Capture, &capture.amount)),
            Self::Voided { amount, .. } => Some((Kind::Void, amount)),
            Self::Refunded { refund, .. } => Some((Kind::Refund, &refund.amount)),
            Self::Blocked { .. } | Self::Forgotten { .. } => None,
        }
    }

    fn blocks(&self) -> Option<&str> {
        match self {
            Self::Blocked { forward_key } => Some(forward_key),
            _ => None,
        }
    }
}

impl From<PaymentFact> for PaymentOutcome {
    fn from(fact: PaymentFact) -> Self {
        match fact {
            PaymentFact::Authorized { authorization, .. } => Self::Authorized(authorization),
            PaymentFact::Captured { capture, .. } => Self::Captured(capture),
            PaymentFact::Voided { authorization_id, .. } => {
                Self::Voided(Voided { authorization_id: Some(authorization_id) })
            }
            PaymentFact::Blocked { .. } => Self::Voided(Voided { authorization_id: None }),
            PaymentFact::Refunded { refund, .. } => Self::Refunded(refund),
            PaymentFact::Forgotten { orders } => Self::Forgotten(Forgotten { orders: orders.len() as u64 }),
        }
    }
}

#[derive(Debug)]
struct Held {
    key: String,
    amount: Amount,
    expires_at: DateTime<Utc>,
    capture_declines: bool,
    captured_minor: i64,
    voided: bool,
}

#[derive(Debug)]
struct Taken {
    amount: Amount,
    refunded_minor: i64,
}

/// All authorizations and captures.
#[derive(Debug, Default)]
pub(super) struct PaymentBooks {
    held: HashMap<String, Held>,
    taken: HashMap<String, Taken>,
}

impl Books for PaymentBooks {
    type Fact = PaymentFact;

    fn apply(&mut self, key: &str, fact: &PaymentFact) {
        match fact {
            PaymentFact::Authorized { authorization, capture_declines } => {
                let held = Held {
                    key: key.to_owned(),
                    amount: authorization.amount.clone(),
                    expires_at: authorization.expires_at,
                    capture_declines: *capture_declines,
                    captured_minor: 0,
                    voided: false,
                };
                self.held.insert(authorization.authorization_id.clone(), held);
            }
            PaymentFact::Captured { authorization_id, capture } => {
                if let Some(held) = self.held.get_mut(authorization_id) {
                    held.captured_minor += capture.amount.minor;
                }
                self.taken
                    .insert(capture.capture_id.clone(), Taken { amount: capture.amount.clone(), refunded_minor: 0 });
            }
            PaymentFact::Voided { authorization_id, .. } => {
                if let Some(held) = self.held.get_mut(authorization_id) {
                    held.voided = true;
                }
            }
            PaymentFact::Refunded { capture_id, refund } => {
                if let Some(taken) = self.taken.get_mut(capture_id) {
                    taken.refunded_minor += refund.amount.minor;
                }
            }
            // The books hold amounts and ids; they never held more.
            PaymentFact::Blocked { .. } | PaymentFact::Forgotten { .. } => {}
        }
    }
}

type Decision = Result<PaymentFact, Refusal>;

pub(super) fn authorize(view: &View<'_, PaymentBooks>, request: &AuthorizeRequest, token: Option<Token>) -> Decision {
    let token = token.ok_or_else(|| Refusal::new("invalid_token", "the token is unknown"))?;
    above_zero(&request.amount)?;
    if token == Token::Decline {
        return Err(Refusal::new("declined", "the card was declined"));
    }
    let authorization = Authorization {
        authorization_id: new_id("pay"),
        amount: request.amount.clone(),
        expires_at: view.now + AUTHORIZATION_LIFETIME,
    };
    Ok(PaymentFact::Authorized { authorization, capture_declines: token == Token::DeclineOnCapture })
}

pub(super) fn capture(view: &View<'_, PaymentBooks>, request: &CaptureRequest) -> Decision {
    let held = held(view, &request.authorization_id)?;
    above_zero(&request.amount)?;
    if held.voided {
        return Err(Refusal::new("authorization_voided", "the authorization was voided"));
    }
    if view.now >= held.expires_at {
        return Err(Refusal::new("authorization_expired", format!("the authorization expired at {}", held.expires_at)));
    }
    if !fits(&request.amount, &held.amount, held.captured_minor) {
        return Err(Refusal::new(
            "exceeds_authorized",
            format!("{} is more than is left of {}", request.amount, held.amount),
        ));
    }
    if held.capture_declines {
        return Err(Refusal::new("capture_declined", "the card's bank declined the capture"));
    }
    let capture = Capture { capture_id: new_id("cap"), amount: request.amount.clone() };
    Ok(PaymentFact::Captured { authorization_id: request.authorization_id.clone(), capture })
}

pub(super) fn void(view: &View<'_, PaymentBooks>, request: &VoidRequest) -> Decision {
    let authorization_id = match &request.authorization_id {
        Some(id) => id,
        None => match view.fact_of(&request.forward_key) {
            Some(PaymentFact::Authorized { authorization, .. }) => &authorization.authorization_id,
            Some(_) => return Err(Refusal::new("unknown_authorization", "the forward key did something else")),
            None => return Ok(PaymentFact::Blocked { forward_key: request.forward_key.clone() }),
        },
    };
    let held = held(view, authorization_id)?;
    let stands_for = |key| match view.fact_of(key) {
        Some(PaymentFact::Authorized { authorization, .. }) => authorization.authorization_id == *authorization_id,
        _ => false,
    };
    // Whose key is forgotten is told by its id alone.
    if held.key != request.forward_key && stands_for(&held.key) {
        return Err(Refusal::new("unknown_authorization", "the authorization is of another forward key"));
    }
    if held.captured_minor > 0 {
        return Err(Refusal::new("already_captured", "captured money can only be refunded"));
    }
    if held.voided {
        return Err(Refusal::new("already_voided", "the authorization was voided by another key"));
    }
    Ok(PaymentFact::Voided { authorization_id: authorization_id.clone(), amount: held.amount.clone() })
}

pub(super) fn refund(view: &View<'_, PaymentBooks>, request: &RefundRequest) -> Decision {
    let taken = view.books.taken.get(&request.capture_id);
    let taken = taken.ok_or_else(|| Refusal::new("unknown_capture", "there is no such capture"))?;
    above_zero(&request.amount)?;
    if !fits(&request.amount, &taken.amount, taken.refunded_minor) {
        return Err(Refusal::new(
            "exceeds_captured",
            format!("{} is more than is left of {}", request.amount, taken.amount),
        ));
    }
    let refund = Refund { refund_id: new_id("ref"), amount: request.amount.clone() };
    Ok(PaymentFact::Refunded { capture_id: request.capture_id.clone(), refund })
}

/// What is held of what was done under one reference.
pub(super) fn held_under(deeds: &[Deed<'_, PaymentFact>]) -> Vec<HeldAuthorization> {
    let mut held: Vec<HeldAuthorization> = Vec::new();
    for deed in deeds {
        let key = deed.key.map(str::to_owned);
        let of = |held: &mut Vec<HeldAuthorization>, id: &str| {
            held.iter().position(|known| known.authorization.authorization_id == id)
        };
        match deed.fact {
            PaymentFact::Authorized { authorization, .. } => held.push(HeldAuthorization {
                key,
                authorization: authorization.clone(),
                voided: false,
                captures: Vec::new(),
            }),
            PaymentFact::Captured { authorization_id, capture } => {
                if let Some(known) = of(&mut held, authorization_id).and_then(|at| held.get_mut(at)) {
                    known.captures.push(HeldCapture { key, capture: capture.clone(), refunds: Vec::new() });
                }
            }
            PaymentFact::Voided { authorization_id, .. } => {
                if let Some(known) = of(&mut held, authorization_id).and_then(|at| held.get_mut(at)) {
                    known.voided = true;
                }
            }
            PaymentFact::Refunded { capture_id, refund } => {
                let mut captures = held.iter_mut().flat_map(|known| &mut known.captures);
                if let Some(known) = captures.find(|known| known.capture.capture_id == *capture_id) {
                    known.refunds.push(refund.clone());
                }
            }
            PaymentFact::Blocked { .. } | PaymentFact::Forgotten { .. } => {}
        }
    }
    held.truncate(MAX_HELD);
    held
}

fn held<'a>(view: &View<'a, PaymentBooks>, authorization_id: &str) -> Result<&'a Held, Refusal> {
    let held = view.books.held.get(authorization_id);
    held.ok_or_else(|| Refusal::new("unknown_authorization", "there is no such authorization"))
}

fn above_zero(amount: &Amount) -> Result<(), Refusal> {
    if amount.minor > 0 { Ok(()) } else { Err(Refusal::new("invalid_amount", "the amount must be above zero")) }
}

/// Whether `part` may still be taken from `whole`, of which `used_minor` is gone.
fn fits(part: &Amount, whole: &Amount, used_minor: i64) -> bool {
    part.same_unit(whole) && part.minor <= whole.minor - used_minor
}

fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}
