//! What happened on a shelf and to a location, in words.
use domain::{
    location::{LocationEvent, LocationMode},
    stock::StockEvent,
};

pub(super) fn sentence(event: &StockEvent) -> String {
    match event {
        StockEvent::StockReceived(event) => {
            format!("{} of {} came in at {} (receipt {})", event.quantity, event.sku, event.location, event.receipt_ref)
        }
        StockEvent::StockAdjusted(event) => {
            let what = if event.delta < 0 { "lost or broken" } else { "found" };
            let quantity = event.delta.unsigned_abs();
            format!("{quantity} of {} {what} at {} (adjustment {})", event.sku, event.location, event.adjustment_ref)
        }
    }
}

pub(super) fn location_sentence(event: &LocationEvent) -> String {
    let LocationEvent::LocationModeSet(event) = event;
    match event.mode {
        LocationMode::Auto => format!("Warehouse {} picks, packs and ships by itself from now on", event.location),
        LocationMode::Manual => format!("At warehouse {} staff report what they did from now on", event.location),
    }
}
