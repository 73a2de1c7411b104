//! What any participant is told when a person is erased; the same for all. Also the wire format of `POST /v1/erasures`.

use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// References in one call; a person with more orders takes several.
pub const MAX_REFERENCES: usize = 500;

/// Forget whatever is held of the person behind these references. What the law wants kept of money and parcels stays,
/// without the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// The idempotency key.
    #[serde(skip)]
    pub key: String,
    /// Whose erasure it is, `per_…`: says nothing to anyone but us.
    pub reference: String,
    /// The ids of the person's orders, `ord_…`, as other calls named them; at least one, at most [`MAX_REFERENCES`].
    pub orders: Vec<String>,
}

/// Forgotten, and on record as such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Of how many references.
    pub orders: u64,
}

impl ForgetRequest {
    /// The parts of the call's fingerprint.
    pub(super) fn parts(&self) -> Vec<&str> {
        ["forget", self.reference.as_str()].into_iter().chain(self.orders.iter().map(String::as_str)).collect()
    }

    pub(super) fn check(&self) -> Result<Forgotten, Fault> {
        if self.orders.is_empty() || self.orders.len() > MAX_REFERENCES {
            return Err(Fault::refused("invalid_orders", "an erasure names 1 to 500 orders"));
        }
        Ok(Forgotten { orders: self.orders.len() as u64 })
    }
}
