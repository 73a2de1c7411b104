//! What an order's shipment events amount to.
use super::{FulfillmentReleased, Label};
use crate::{FulfillmentId, LineId, LocationCode, Sku, location::LocationMode};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shipment {
    pub released: Option<Released>,
    pub recalled: bool,
    /// Bought and not yet used up by a shipment or voided.
    pub label: Option<Label>,
    pub label_voided: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    pub fulfillment_id: FulfillmentId,
    pub location: LocationCode,
    pub mode: LocationMode,
    pub lines: Vec<Line>,
    pub carrier: Option<String>,
    pub tracking_number: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub line_id: LineId,
    pub sku: Sku,
    pub quantity: i64,
    pub picked: i64,
    pub packed: i64,
    pub shipped: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    ToPick,
    Picking,
    Picked,
    Packed,
    Shipped,
    Cancelled,
}

impl Shipment {
    /// `None` before it is released.
    pub fn stage(&self) -> Option<Stage> {
        let lines = &self.released.as_ref()?.lines;
        let all = |done: fn(&Line) -> i64| lines.iter().all(|line| done(line) >= line.quantity);
        Some(match () {
            () if self.recalled => Stage::Cancelled,
            () if all(|line| line.shipped) => Stage::Shipped,
            () if all(|line| line.packed) => Stage::Packed,
            () if all(|line| line.picked) => Stage::Picked,
            () if lines.iter().any(|line| line.picked > 0) => Stage::Picking,
            () => Stage::ToPick,
        })
    }

    /// Goods have left, in part or whole: the pivot is passed.
    pub fn has_left(&self) -> bool {
        self.released.as_ref().is_some_and(|released| released.lines.iter().any(|line| line.shipped > 0))
    }

    pub fn is_shipped(&self) -> bool {
        self.stage() == Some(Stage::Shipped)
    }
}

impl From<&FulfillmentReleased> for Released {
    fn from(event: &FulfillmentReleased) -> Self {
        let lines = event.lines.iter().map(|line| Line {
            line_id: line.line_id.clone(),
            sku: line.sku.clone(),
            quantity: line.quantity,
            picked: 0,
            packed: 0,
            shipped: 0,
        });
        Released {
            fulfillment_id: event.fulfillment_id,
            location: event.location.clone(),
            mode: event.mode,
            lines: lines.collect(),
            carrier: None,
            tracking_number: None,
        }
    }
}
