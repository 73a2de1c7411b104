//! What can happen to an order's money. Amounts are in minor units of the currency beside them.
use crate::{Amount, Currency, LineId, event::events};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

events! {
    /// The order's payment stream.
    PaymentEvent in Payment {
        PaymentAuthorized = 1,
        PaymentDeclined = 1,
        AuthorizationVoided = 1,
        PaymentCaptured = 1,
        CaptureDeclined = 1,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAuthorized {
    /// The idempotency key it was asked for with.
    pub key: String,
    /// The provider's own reference.
    pub authorization_id: String,
    pub amount: Amount,
    pub currency: Currency,
    /// When the provider lets go of the money.
    pub expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDeclined {
    pub key: String,
    /// The provider's code, for example `card_declined`.
    pub code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationVoided {
    pub key: String,
    /// Absent when the authorization was never known to be: the provider now refuses it, should it still arrive.
    pub authorization_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCaptured {
    pub key: String,
    pub capture_id: String,
    pub authorization_id: String,
    pub amount: Amount,
    pub currency: Currency,
    /// What was captured for which line, and for which charge; they sum to `amount`.
    pub lines: Vec<CapturedLine>,
    pub charges: Vec<CapturedCharge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedLine {
    pub line_id: LineId,
    pub amount: Amount,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedCharge {
    pub charge_id: u32,
    /// Negative for what lowers the total.
    pub amount: Amount,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureDeclined {
    pub key: String,
    pub code: String,
}
