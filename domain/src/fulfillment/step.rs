//! The steps, in order.
use crate::saga::StepName;
use serde::{Deserialize, Serialize};

/// A step of the fulfillment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Step {
    ReserveStock,
    AuthorizePayment,
    ReleaseToWarehouse,
    /// The pivot.
    Ship,
    CapturePayment,
    Complete,
}

impl Step {
    pub const ALL: [Step; 6] = [
        Step::ReserveStock,
        Step::AuthorizePayment,
        Step::ReleaseToWarehouse,
        Step::Ship,
        Step::CapturePayment,
        Step::Complete,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Step::ReserveStock => "reserve_stock",
            Step::AuthorizePayment => "authorize_payment",
            Step::ReleaseToWarehouse => "release_to_warehouse",
            Step::Ship => "ship",
            Step::CapturePayment => "capture_payment",
            Step::Complete => "complete",
        }
    }

    pub fn from_name(name: &str) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.name() == name)
    }

    /// There only when there is something to pay.
    pub const fn needs_payment(self) -> bool {
        matches!(self, Step::AuthorizePayment | Step::CapturePayment)
    }
}

impl StepName for Step {
    fn name(self) -> &'static str {
        Step::name(self)
    }
}
