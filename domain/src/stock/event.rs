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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReceived {
    pub location: LocationCode,
    pub sku: Sku,
    pub lot: Option<String>,
    pub quantity: i64,
    pub receipt_ref: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAdjusted {
    pub location: LocationCode,
    pub sku: Sku,
    pub lot: Option<String>,
    /// Positive: found; negative: lost or broken.
    pub delta: i64,
    pub adjustment_ref: String,
    /// The vault's entry of the reason as it was typed, if one was given.
    pub note_id: Option<Uuid>,
}
