//! What can happen to an order's money. Amounts are in minor units of the currency beside them.
use crate::{Amount, Currency, LineId, event::events, returns::RefundedLine};
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
        PaymentRefunded = 1,
    }
}

/// The provider holds the money for us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PaymentAuthorized {
    /// The idempotency key it was asked for with.
    pub key: String,
    /// The provider's own reference.
    pub authorization_id: String,
    /// What it holds.
    pub amount: Amount,
    /// Of `amount`.
    pub currency: Currency,
    /// When the provider lets go of the money.
    pub expires_at: DateTime<Utc>,
}

/// The provider has refused to authorize.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PaymentDeclined {
    /// The idempotency key it was asked for with.
    pub key: String,
    /// The provider's code, for example `card_declined`.
    pub code: String,
}

/// The authorization is given back: no money is held any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AuthorizationVoided {
    /// The idempotency key of the void.
    pub key: String,
    /// Absent when the authorization was never known to be: the provider now refuses it, should it still arrive.
    pub authorization_id: Option<String>,
}

/// The money is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PaymentCaptured {
    /// The idempotency key it was asked for with.
    pub key: String,
    /// The provider's own reference of the capture.
    pub capture_id: String,
    /// The provider's own reference of what was captured.
    pub authorization_id: String,
    /// What was taken.
    pub amount: Amount,
    /// Of all amounts here.
    pub currency: Currency,
    /// What was captured for which line, and for which charge; they sum to `amount`.
    pub lines: Vec<CapturedLine>,
    /// What was captured for which charge.
    pub charges: Vec<CapturedCharge>,
}

/// What was captured for a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CapturedLine {
    /// The line of the order.
    pub line_id: LineId,
    /// What was captured for it.
    pub amount: Amount,
}

/// What was captured for a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CapturedCharge {
    /// The charge's number within the order.
    pub charge_id: u32,
    /// Negative for what lowers the total.
    pub amount: Amount,
}

/// The provider has refused to take what it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CaptureDeclined {
    /// The idempotency key it was asked for with.
    pub key: String,
    /// The provider's code, for example `authorization_expired`.
    pub code: String,
}

/// Money that was taken is given back, in part or whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PaymentRefunded {
    /// The idempotency key it was asked for with.
    pub key: String,
    /// The provider's own reference of the refund.
    pub refund_id: String,
    /// The provider's own reference of what was captured.
    pub capture_id: String,
    /// What was given back.
    pub amount: Amount,
    /// Of all amounts here.
    pub currency: Currency,
    /// Which return of the order it is for, from 1.
    pub return_number: u16,
    /// What was given back for which line; they sum to `amount`.
    pub lines: Vec<RefundedLine>,
}
