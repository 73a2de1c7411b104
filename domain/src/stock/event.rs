//! What can happen to goods on a shelf besides orders: receipts and adjustments.
use crate::{LocationCode, Sku, event::events};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// The stream of one SKU at one location of a shop.
    StockEvent in Stock {
        StockReceived = 1,
        StockAdjusted = 1,
    }
}

/// Goods have come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StockReceived {
    /// Where they lie.
    pub location: LocationCode,
    /// What came.
    pub sku: Sku,
    /// Of which lot, where lots are kept apart.
    pub lot: Option<String>,
    /// Pieces.
    pub quantity: i64,
    /// The shop's own name for the receipt; unique within the shop.
    pub receipt_ref: String,
}

/// A count was set right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StockAdjusted {
    /// Where the goods lie.
    pub location: LocationCode,
    /// What was counted.
    pub sku: Sku,
    /// Of which lot, where lots are kept apart.
    pub lot: Option<String>,
    /// Positive: found; negative: lost or broken. Pieces.
    pub delta: i64,
    /// The shop's own name for the adjustment; unique within the shop.
    pub adjustment_ref: String,
    /// The vault's entry of the reason as it was typed, if one was given.
    pub note_id: Option<Uuid>,
}
