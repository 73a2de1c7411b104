//! What can happen to a person. No personal data: the shop's own name for the customer is all there is.
use crate::event::events;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// The stream of one person.
    PersonEvent in Person {
        ErasureRequested = 1,
        PersonErased = 1,
    }
}

/// From here on the shop's ref stands for someone else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErasureRequested {
    /// The shop's own name for the customer.
    pub customer_ref: String,
    /// The vault's entry of the reason as it was typed; it is erased with the person.
    pub note_id: Option<Uuid>,
}

/// The person's key was destroyed before this was written: what was sealed under it opens nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PersonErased {
    /// The shop's own name for the customer who is erased.
    pub customer_ref: String,
    /// How many orders' histories say so.
    pub orders: u64,
}
