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
pub struct FulfillmentReleased {
    pub fulfillment_id: FulfillmentId,
    pub location: LocationCode,
    /// AUTO ships by itself; MANUAL waits for the staff's reports.
    pub mode: LocationMode,
    pub lines: Vec<FulfillmentLine>,
    pub ship_by: Option<DateTime<Utc>>,
    pub priority: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FulfillmentLine {
    pub line_id: LineId,
    pub sku: Sku,
    pub quantity: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FulfillmentPicked {
    pub lines: Vec<LineQuantity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineQuantity {
    pub line_id: LineId,
    pub quantity: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FulfillmentPacked {
    pub lines: Vec<LineQuantity>,
    pub parcels: Vec<PackedParcel>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedParcel {
    pub weight_grams: Option<i64>,
}

/// A label was bought but the goods did not go out under it: a cancel came between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelPurchased {
    pub label: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub key: String,
    pub label_id: String,
    pub carrier: String,
    pub tracking_number: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelVoided {
    pub key: String,
    /// Absent when the label was never known to be: the carrier now refuses it, should the call still arrive.
    pub label_id: Option<String>,
}

/// Goods have left: the pivot. A fulfillment may leave in several parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FulfillmentShipped {
    pub lines: Vec<LineQuantity>,
    pub parcels: Vec<Parcel>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    pub weight_grams: Option<i64>,
    pub carrier: Option<String>,
    pub tracking_number: Option<String>,
    /// The label bought for it by us, if any.
    pub label_id: Option<String>,
}

/// The warehouse gave it back before it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FulfillmentRecalled {}
