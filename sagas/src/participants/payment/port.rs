//! The payment port. Its types are also the wire format of the HTTP adapter; the key travels in `Idempotency-Key`.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::participants::{Amount, ForgetRequest, Forgotten, StepError};

/// What a saga needs of whoever holds the customer's money.
///
/// Keys are 1 to 255 visible ASCII characters. A call repeated with its key and the same request gets the first
/// definite answer again and never acts twice; with another request it is refused with `key_reused`, and the first
/// answer stands.
#[async_trait]
pub trait PaymentPort: Send + Sync {
    /// How long the provider remembers a key; `None`: as long as its ledger exists. Past it an unknown may not be
    /// repeated.
    fn key_lifetime(&self) -> Option<Duration>;

    /// Sets money aside. Refusals: `declined`, `invalid_token`, `invalid_amount`, `voided` (blocked by [`Self::void`]).
    async fn authorize(&self, request: &AuthorizeRequest) -> Result<Authorization, StepError>;

    /// Takes money that was set aside, all or part of it; several parts may not exceed it. Refusals:
    /// `capture_declined`, `unknown_authorization`, `authorization_voided`, `authorization_expired`,
    /// `exceeds_authorized`, `invalid_amount`.
    async fn capture(&self, request: &CaptureRequest) -> Result<Capture, StepError>;

    /// Gives back what was set aside, or makes sure that it never will be.
    ///
    /// With an `authorization_id`, that authorization is released. Without one (the outcome of the forward call is
    /// unknown) whatever the forward key did is released; and if it did nothing so far, the key is blocked: a forward
    /// call that arrives later, or still runs, is refused with `voided` and never acts. Refusals: `already_captured`,
    /// `already_voided` (by another key), `unknown_authorization`.
    async fn void(&self, request: &VoidRequest) -> Result<Voided, StepError>;

    /// Gives captured money back, all or part of it. Refusals: `unknown_capture`, `exceeds_captured`, `invalid_amount`.
    async fn refund(&self, request: &RefundRequest) -> Result<Refund, StepError>;

    /// Forgets what is held of a person. No ledger entry: nothing acted; but the key is kept like any other.
    /// Refusals: `invalid_orders`.
    async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, StepError>;

    /// All that the provider holds under a reference of ours, in the order in which it was set aside, 100 at most: what is
    /// left to ask about once keys are forgotten. Complete: whatever has acted is in it. Never answers `Refused`.
    async fn find(&self, reference: &str) -> Result<Vec<HeldAuthorization>, StepError>;

    /// What the provider knows of a key. `None`: nothing *now*; a call on its way may still arrive, so `None` alone
    /// is no reason to compensate (block the key with [`Self::void`]). Never answers `Refused`.
    async fn query(&self, key: &str) -> Result<Option<PaymentOutcome>, StepError>;
}

/// `POST /v1/authorizations`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizeRequest {
    /// The idempotency key.
    #[serde(skip)]
    pub key: String,
    /// The order's id, `ord_…`.
    pub reference: String,
    /// Above zero.
    pub amount: Amount,
    /// The means of payment, as the shop got it.
    pub token: String,
}

/// Money set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// The provider's name for it, `pay_…`.
    pub authorization_id: String,
    /// As asked for.
    pub amount: Amount,
    /// It can be captured until then.
    pub expires_at: DateTime<Utc>,
}

/// `POST /v1/captures`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    /// The idempotency key.
    #[serde(skip)]
    pub key: String,
    /// The order's id.
    pub reference: String,
    /// Which authorization to take from.
    pub authorization_id: String,
    /// Above zero, at most what is left of the authorization.
    pub amount: Amount,
}

/// Money taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The provider's name for it, `cap_…`.
    pub capture_id: String,
    /// As asked for.
    pub amount: Amount,
}

/// `POST /v1/voids`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoidRequest {
    /// The void's own idempotency key.
    #[serde(skip)]
    pub key: String,
    /// The order's id.
    pub reference: String,
    /// The key of the authorization that is undone.
    pub forward_key: String,
    /// Its id, when its answer is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_id: Option<String>,
}

/// Money no longer set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voided {
    /// What was released; `None`: nothing had been set aside, and under the forward key nothing will be.
    pub authorization_id: Option<String>,
}

/// `POST /v1/refunds`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundRequest {
    /// The idempotency key.
    #[serde(skip)]
    pub key: String,
    /// The order's id.
    pub reference: String,
    /// Which capture to give back from.
    pub capture_id: String,
    /// Above zero, at most what is left of the capture.
    pub amount: Amount,
}

/// Money given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The provider's name for it, `ref_…`.
    pub refund_id: String,
    /// As asked for.
    pub amount: Amount,
}

/// One of `GET /v1/authorizations?reference=…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAuthorization {
    /// The key that it came under; `None`: forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its id, its amount and how long it is good for.
    #[serde(flatten)]
    pub authorization: Authorization,
    /// It was given back.
    pub voided: bool,
    /// What was taken of it, in order.
    #[serde(default)]
    pub captures: Vec<HeldCapture>,
}

/// What was taken of an authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCapture {
    /// The key that it came under; `None`: forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its id and its amount.
    #[serde(flatten)]
    pub capture: Capture,
    /// What was given back of it, in order.
    #[serde(default)]
    pub refunds: Vec<Refund>,
}

/// What the provider knows of a key: `GET /v1/operations/{key}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PaymentOutcome {
    /// A call with this key is running; it may yet act.
    InProgress,
    /// It set money aside.
    Authorized(Authorization),
    /// It took money.
    Captured(Capture),
    /// It released money, or blocked a key.
    Voided(Voided),
    /// It gave money back.
    Refunded(Refund),
    /// It forgot a person.
    Forgotten(Forgotten),
    /// It was refused and will always be; `voided` when the key is blocked.
    Refused {
        /// Stable and machine-readable.
        code: String,
        /// For people.
        message: String,
    },
}
