//! What people ask of an order under way, decided with its whole history in view.
//!
//! A cancel and a shipment exclude each other: whichever is appended first, the other is rejected.
use super::Fulfillment;
use crate::{
    Decider, Event,
    location::LocationMode,
    order::{self, Order},
    shipment::{self, Shipment},
};
use uuid::Uuid;

impl Fulfillment {
    /// A shop or support wants it undone. No event when it is being cancelled already.
    pub fn request_cancel(&self, note_id: Option<Uuid>) -> Result<Vec<Event>, order::Rejection> {
        let command = order::Command::RequestCancel { note_id, shipped: self.shipment.has_left() };
        Ok(Order::decide(&self.order, command)?.into_iter().map(Event::from).collect())
    }

    /// Staff report what they picked, packed or shipped. No event when it was all reported before.
    pub fn report(&self, command: shipment::Command) -> Result<Vec<Event>, shipment::Rejection> {
        let events = Shipment::decide(&self.shipment, command)?;
        let is_auto = self.shipment.released.as_ref().is_some_and(|released| released.mode == LocationMode::Auto);
        match () {
            () if events.is_empty() => Ok(vec![]),
            () if self.is_interrupted() => Err(shipment::Rejection::Recalled),
            () if self.saga.held => Err(shipment::Rejection::OnHold),
            // A label may be on its way to be bought; goods that left beside it would leave it unused and unknown.
            () if is_auto => Err(shipment::Rejection::ShipsByItself),
            () => Ok(events.into_iter().map(Event::from).collect()),
        }
    }
}
