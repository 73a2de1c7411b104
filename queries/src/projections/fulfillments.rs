//! A fulfillment's row: goods released to a location, and how far they have come.
use super::history::History;
use domain::shipment::Stage;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct FulfillmentRow {
    pub(crate) fulfillment_id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) shop: String,
    pub(crate) location: String,
    pub(crate) stage: &'static str,
    pub(crate) carrier: Option<String>,
    pub(crate) tracking_number: Option<String>,
    /// JSON of [`Line`]s.
    pub(crate) lines: String,
}

/// A line as it lies in `fulfillments.lines`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) line_id: String,
    pub(crate) sku: String,
    pub(crate) quantity: i64,
    pub(crate) picked: i64,
    pub(crate) packed: i64,
    pub(crate) shipped: i64,
}

impl FulfillmentRow {
    /// `None` before the release.
    pub(crate) fn of(history: &History) -> Result<Option<FulfillmentRow>, serde_json::Error> {
        let shipment = &history.fulfillment.shipment;
        let (Some(released), Some(stage)) = (&shipment.released, shipment.stage()) else { return Ok(None) };
        let line = |line: &domain::shipment::Line| Line {
            line_id: line.line_id.0.clone(),
            sku: line.sku.0.clone(),
            quantity: line.quantity,
            picked: line.picked,
            packed: line.packed,
            shipped: line.shipped,
        };
        Ok(Some(FulfillmentRow {
            fulfillment_id: released.fulfillment_id.0,
            order_id: history.order_id.0,
            shop: history.shop.clone(),
            location: released.location.0.clone(),
            stage: stage_name(stage),
            carrier: released.carrier.clone(),
            tracking_number: released.tracking_number.clone(),
            lines: serde_json::to_string(&released.lines.iter().map(line).collect::<Vec<_>>())?,
        }))
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::ToPick => "TO_PICK",
        Stage::Picking => "PICKING",
        Stage::Picked => "PICKED",
        Stage::Packed => "PACKED",
        Stage::Shipped => "SHIPPED",
        Stage::Cancelled => "CANCELLED",
    }
}
