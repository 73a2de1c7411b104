//! Goods on a shelf: one stream for each SKU at each location of a shop.
//!
//! What is free to reserve is a guarded balance of the store, taken in the same append; the account's name is made here alone.
mod event;

pub use event::*;

use crate::{LocationCode, Sku};

/// The balance that guards what is free of an SKU at a location.
pub fn account(shop: &str, location: &LocationCode, sku: &Sku) -> String {
    format!("stock:{shop}/{location}/{sku}")
}

/// The name a stock stream's UUIDv5 is made from, and the key of its records in Kafka.
pub fn stream_name(shop: &str, location: &LocationCode, sku: &Sku) -> String {
    format!("{shop}/{location}/{sku}")
}
