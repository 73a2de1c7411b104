//! What happened to the goods, in words.
use super::Count;
use domain::{
    fulfillment::Fulfillment,
    location::LocationMode,
    shipment::{FulfillmentShipped, LineQuantity, Parcel, ShipmentEvent},
};
use std::fmt::Write;

pub(super) fn sentence(event: &ShipmentEvent, before: &Fulfillment) -> String {
    match event {
        ShipmentEvent::FulfillmentReleased(event) => {
            let lines = Count(event.lines.len(), "line");
            match event.mode {
                LocationMode::Auto => {
                    format!("Released to warehouse {}, which picks, packs and ships by itself: {lines}", event.location)
                }
                LocationMode::Manual => format!("Released to warehouse {}: {lines} to pick", event.location),
            }
        }
        ShipmentEvent::FulfillmentPicked(event) => format!("The warehouse picked {}", units(&event.lines)),
        ShipmentEvent::FulfillmentPacked(event) => match event.parcels.len() {
            0 => format!("The warehouse packed {}", units(&event.lines)),
            n => format!("The warehouse packed {} into {}", units(&event.lines), Count(n, "parcel")),
        },
        ShipmentEvent::LabelPurchased(event) => format!(
            "A shipping label of {} was bought ({}), but the order was being cancelled: it is not used",
            event.label.carrier, event.label.tracking_number
        ),
        ShipmentEvent::LabelVoided(_) => "The shipping label was given back".to_owned(),
        ShipmentEvent::FulfillmentShipped(event) => shipped(event, before),
        ShipmentEvent::FulfillmentRecalled(_) => "The warehouse gave the goods back before they left".to_owned(),
    }
}

fn shipped(event: &FulfillmentShipped, before: &Fulfillment) -> String {
    let released = before.shipment.released.as_ref();
    let remaining: i64 = released.iter().flat_map(|r| &r.lines).map(|line| line.quantity - line.shipped).sum();
    let leaves: i64 = event.lines.iter().map(|line| line.quantity).sum();
    let mut text = match () {
        () if leaves < remaining => format!("Part of the order was shipped: {}", units(&event.lines)),
        () if before.shipment.has_left() => "The rest of the order was shipped".to_owned(),
        () => "Shipped".to_owned(),
    };
    for (n, parcel) in event.parcels.iter().filter(|parcel| parcel.carrier.is_some()).enumerate() {
        let Parcel { carrier, tracking_number, .. } = parcel;
        let joint = if n == 0 { " by" } else { " and by" };
        // Writing to a String never fails.
        let _ = write!(text, "{joint} {}", carrier.as_deref().unwrap_or_default());
        if let Some(number) = tracking_number {
            let _ = write!(text, " with tracking number {number}");
        }
    }
    text
}

fn units(lines: &[LineQuantity]) -> String {
    let units: i64 = lines.iter().map(|line| line.quantity).sum();
    format!("{} of {}", Count(units, "unit"), Count(lines.len(), "line"))
}
