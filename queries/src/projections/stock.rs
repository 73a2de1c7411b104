//! What an event does to the shelves: a sum of changes a batch, one a shelf.
use domain::{
    Event, LocationCode, Sku,
    fulfillment::Fulfillment,
    order::{OrderEvent, Reservation},
    returns::ReturnEvent,
    shipment::{FulfillmentShipped, ShipmentEvent},
    stock::StockEvent,
};
use std::collections::BTreeMap;

/// Shop, SKU, location.
pub(crate) type Shelf = (String, String, String);

/// By how much a shelf's counts change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) shelves: BTreeMap<Shelf, Change>,
}

impl Changes {
    /// `before` is the order as it was just before the event; it does not matter for events of stock.
    pub(crate) fn add(&mut self, shop: &str, event: &Event, before: &Fulfillment) {
        match event {
            Event::Stock(StockEvent::StockReceived(event)) => {
                self.change(shop, &event.sku, &event.location, event.quantity, 0);
            }
            Event::Stock(StockEvent::StockAdjusted(event)) => {
                self.change(shop, &event.sku, &event.location, event.delta, 0);
            }
            Event::Order(OrderEvent::StockReserved(event)) => self.reserve(shop, &event.lines, 1),
            Event::Order(OrderEvent::StockReleased(event)) => self.reserve(shop, &event.lines, -1),
            Event::Shipment(ShipmentEvent::FulfillmentShipped(event)) => self.ship(shop, event, before),
            Event::Return(ReturnEvent::ReturnRestocked(event)) => {
                for line in &event.lines {
                    self.change(shop, &line.sku, &line.location, line.quantity, 0);
                }
            }
            Event::Order(_)
            | Event::Return(_)
            | Event::Payment(_)
            | Event::Shipment(_)
            | Event::Saga(_)
            | Event::Location(_)
            | Event::Person(_) => {}
        }
    }

    fn reserve(&mut self, shop: &str, lines: &[Reservation], sign: i64) {
        for line in lines {
            self.change(shop, &line.sku, &line.location, 0, sign * line.quantity);
        }
    }

    /// What leaves is gone from the shelf, and no longer set aside.
    fn ship(&mut self, shop: &str, event: &FulfillmentShipped, before: &Fulfillment) {
        let Some(released) = &before.shipment.released else { return };
        for (n, line) in event.lines.iter().enumerate() {
            // In the same order as a rule: the look-up finds its line at once.
            let at_once = released.lines.get(n).filter(|other| other.line_id == line.line_id);
            if let Some(goods) = at_once.or_else(|| released.lines.iter().find(|other| other.line_id == line.line_id)) {
                self.change(shop, &goods.sku, &released.location, -line.quantity, -line.quantity);
            }
        }
    }

    fn change(&mut self, shop: &str, sku: &Sku, location: &LocationCode, on_hand: i64, reserved: i64) {
        let shelf = (shop.to_owned(), sku.0.clone(), location.0.clone());
        let change = self.shelves.entry(shelf).or_default();
        change.on_hand += on_hand;
        change.reserved += reserved;
    }
}
