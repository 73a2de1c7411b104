//! What can happen to a location.
use crate::{LocationCode, event::events};
use serde::{Deserialize, Serialize};

events! {
    /// The stream of one location of a shop.
    LocationEvent in Location {
        LocationModeSet = 1,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationModeSet {
    pub location: LocationCode,
    pub mode: LocationMode,
}

/// How work at a location is done; it affects later releases only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LocationMode {
    /// Picks, packs and ships by itself.
    Auto,
    /// Staff report what they did.
    Manual,
}
