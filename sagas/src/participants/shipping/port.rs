//! The shipping port. Its types are also the wire format of the HTTP adapter; the key travels in `Idempotency-Key`.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::participants::{Amount, ForgetRequest, Forgotten, StepError};

/// What a saga needs of whoever carries the parcels. Keys behave as in the payment port.
#[async_trait]
pub trait ShippingPort: Send + Sync {
    /// How long the provider remembers a key; `None`: as long as its ledger exists. Past it an unknown may not be
    /// repeated.
    fn key_lifetime(&self) -> Option<Duration>;

    /// What each service would cost; buys nothing. Refusals: `unserviceable`, `invalid_parcels`.
    async fn rate(&self, request: &RateRequest) -> Result<Vec<Rate>, StepError>;

    /// Buys a label. Refusals: `unserviceable` (nobody delivers to that country), `invalid_parcels`, `voided`
    /// (blocked by [`Self::void_label`]).
    async fn label(&self, request: &LabelRequest) -> Result<Label, StepError>;

    /// Gives a label back, or makes sure that it is never bought.
    ///
    /// Without a `label_id` (the outcome of the forward call is unknown) whatever the forward key bought is given
    /// back; and if it bought nothing so far, the key is blocked: a forward call that arrives later, or still runs,
    /// is refused with `voided` and never acts. Refusals: `already_voided` (by another key), `unknown_label`.
    async fn void_label(&self, request: &VoidLabelRequest) -> Result<LabelVoided, StepError>;

    /// Where a parcel is. `None`: the carrier knows no such label. Never answers `Refused`.
    async fn track(&self, label_id: &str) -> Result<Option<Tracking>, StepError>;

    /// Forgets what is held of a person. No ledger entry: nothing acted; but the key is kept like any other.
    /// Refusals: `invalid_orders`.
    async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, StepError>;

    /// All labels bought under a reference of ours, in order, 100 at most: what is left to ask about once keys are
    /// forgotten. Complete: whatever has acted is in it. Never answers `Refused`.
    async fn find(&self, reference: &str) -> Result<Vec<HeldLabel>, StepError>;

    /// What the provider knows of a key. `None`: nothing *now*; a call on its way may still arrive, so `None` alone
    /// is no reason to compensate (block the key with [`Self::void_label`]). Never answers `Refused`.
    async fn query(&self, key: &str) -> Result<Option<ShippingOutcome>, StepError>;
}

/// `GET /v1/rates?country=…&postal_code=…&parcels=…&weight_grams=…`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateRequest {
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Where in the country, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// 1 or more.
    pub parcels: u32,
    /// Of all parcels together, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_grams: Option<u32>,
}

/// One service's price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// As `standard`.
    pub method: String,
    /// Who carries it.
    pub carrier: String,
    /// What it costs.
    pub cost: Amount,
    /// Days until delivery, as a rule.
    pub days: u8,
}

/// `POST /v1/labels`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelRequest {
    /// The idempotency key.
    #[serde(skip)]
    pub key: String,
    /// The order's id, `ord_…`.
    pub reference: String,
    /// The service wished for; the carrier takes a name that it does not know as `standard`.
    pub method: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Where in the country, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// 1 or more.
    pub parcels: u32,
    /// Of all parcels together, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_grams: Option<u32>,
    /// How many lines of the order are inside.
    pub lines: u32,
    /// How many pieces they add up to.
    pub pieces: u64,
}

/// A label bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The provider's name for it, `lbl_…`.
    pub label_id: String,
    /// Who carries it.
    pub carrier: String,
    /// What the customer follows the parcel by.
    pub tracking_number: String,
    /// What the carrier charges us, in the carrier's currency.
    pub cost: Amount,
}

/// `POST /v1/voids`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoidLabelRequest {
    /// The void's own idempotency key.
    #[serde(skip)]
    pub key: String,
    /// The order's id.
    pub reference: String,
    /// The key of the label call that is undone.
    pub forward_key: String,
    /// The label's id, when its answer is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_id: Option<String>,
}

/// A label no longer ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelVoided {
    /// What was given back; `None`: nothing had been bought, and under the forward key nothing will be.
    pub label_id: Option<String>,
}

/// `GET /v1/labels/{id}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// The label.
    pub label_id: String,
    /// Who carries it.
    pub carrier: String,
    /// What the customer follows the parcel by.
    pub tracking_number: String,
    /// As far as the carrier knows.
    pub status: TrackingStatus,
}

/// Where a parcel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackingStatus {
    /// The label was bought; the parcel has not been scanned.
    LabelCreated,
    /// The label was given back.
    Voided,
}

/// One of `GET /v1/labels?reference=…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLabel {
    /// The key that it came under; `None`: forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// As it was bought.
    #[serde(flatten)]
    pub label: Label,
    /// It was given back.
    pub voided: bool,
}

/// What the provider knows of a key: `GET /v1/operations/{key}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ShippingOutcome {
    /// A call with this key is running; it may yet act.
    InProgress,
    /// It bought a label.
    Labelled(Label),
    /// It gave a label back, or blocked a key.
    Voided(LabelVoided),
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
