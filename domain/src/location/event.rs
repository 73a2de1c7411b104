//! What can happen to a location.
use crate::{LocationCode, event::events};
use serde::{Deserialize, Serialize};

events! {
    /// The stream of one location of a shop.
    LocationEvent in Location {
        LocationModeSet = 1,
    }
}

/// How work at a location is done from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LocationModeSet {
    /// Which location.
    pub location: LocationCode,
    /// How it works.
    pub mode: LocationMode,
}

/// How work at a location is done; it affects later releases only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LocationMode {
    /// Picks, packs and ships by itself.
    Auto,
    /// Staff report what they did.
    Manual,
}
