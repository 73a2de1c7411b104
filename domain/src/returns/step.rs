//! The steps of a return, in order.
use crate::saga::StepName;
use serde::{Deserialize, Serialize};

/// A step of a return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReturnStep {
    Approve,
    BuyLabel,
    /// The pivot.
    Receive,
    Inspect,
    Refund,
    PutAway,
}

impl ReturnStep {
    pub const ALL: [ReturnStep; 6] = [
        ReturnStep::Approve,
        ReturnStep::BuyLabel,
        ReturnStep::Receive,
        ReturnStep::Inspect,
        ReturnStep::Refund,
        ReturnStep::PutAway,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            ReturnStep::Approve => "approve",
            ReturnStep::BuyLabel => "buy_label",
            ReturnStep::Receive => "receive",
            ReturnStep::Inspect => "inspect",
            ReturnStep::Refund => "refund",
            ReturnStep::PutAway => "put_away",
        }
    }
}

impl StepName for ReturnStep {
    fn name(self) -> &'static str {
        ReturnStep::name(self)
    }
}
