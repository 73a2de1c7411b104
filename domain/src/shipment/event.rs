//! What can happen to an order's goods once they are released to a warehouse.
use crate::{FulfillmentId, LineId, LocationCode, Sku, event::events, location::LocationMode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

events! {
    /// The order's shipment stream: its fulfillment.
    ShipmentEvent in Shipment {
        FulfillmentReleased = 1,
        FulfillmentPicked = 1,
        FulfillmentPacked = 1,
        LabelPurchased = 1,
        LabelVoided = 1,
        FulfillmentShipped = 1,
        FulfillmentRecalled = 1,
    }
}

/// The warehouse may begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FulfillmentReleased {
    /// The goods of this order at this location.
    pub fulfillment_id: FulfillmentId,
    /// Where they lie.
    pub location: LocationCode,
    /// AUTO ships by itself; MANUAL waits for the staff's reports.
    pub mode: LocationMode,
    /// What is to go out.
    pub lines: Vec<FulfillmentLine>,
    /// Goods should leave by then.
    pub ship_by: Option<DateTime<Utc>>,
    /// The order's.
    pub priority: i32,
}

/// What is to go out for a line of the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FulfillmentLine {
    /// The line of the order.
    pub line_id: LineId,
    /// What goes out.
    pub sku: Sku,
    /// Pieces.
    pub quantity: i64,
}

/// Goods were taken from the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FulfillmentPicked {
    /// How many of each line.
    pub lines: Vec<LineQuantity>,
}

/// So many pieces of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LineQuantity {
    /// The line of the order.
    pub line_id: LineId,
    /// Pieces.
    pub quantity: i64,
}

/// Goods were packed into parcels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FulfillmentPacked {
    /// How many of each line.
    pub lines: Vec<LineQuantity>,
    /// What they were packed into.
    pub parcels: Vec<PackedParcel>,
}

/// A parcel that is packed and has no label yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PackedParcel {
    /// Grams.
    pub weight_grams: Option<i64>,
}

/// A label was bought but the goods did not go out under it: a cancel came between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LabelPurchased {
    /// The label that was bought.
    pub label: Label,
}

/// A shipping label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Label {
    /// The idempotency key it was bought with.
    pub key: String,
    /// The carrier's own reference.
    pub label_id: String,
    /// Who carries it.
    pub carrier: String,
    /// The carrier's number to follow it by.
    pub tracking_number: String,
}

/// A label is given back: nothing goes out under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LabelVoided {
    /// The idempotency key of the void.
    pub key: String,
    /// Absent when the label was never known to be: the carrier now refuses it, should the call still arrive.
    pub label_id: Option<String>,
}

/// Goods have left: the pivot. A fulfillment may leave in several parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FulfillmentShipped {
    /// How many of each line have left.
    pub lines: Vec<LineQuantity>,
    /// In which parcels.
    pub parcels: Vec<Parcel>,
}

/// A parcel that has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Parcel {
    /// Grams.
    pub weight_grams: Option<i64>,
    /// Who carries it.
    pub carrier: Option<String>,
    /// The carrier's number to follow it by.
    pub tracking_number: Option<String>,
    /// The label bought for it by us, if any.
    pub label_id: Option<String>,
}

/// The warehouse gave it back before it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FulfillmentRecalled {}
