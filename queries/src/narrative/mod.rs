//! Says what happened in sentences that a support person understands who never saw the code.
//!
//! Pure: an event, and the order as it was just before it, to one sentence. The timeline and `waybill trace` tell the same story.
mod actor;
mod order;
mod payment;
mod person;
mod returned;
mod saga;
mod shipment;
mod stock;
#[cfg(test)]
mod tests;

pub use actor::{actor_kind_name, actor_name, author};

use chrono::{DateTime, Utc};
use domain::{Amount, Event, fulfillment::Fulfillment};
use eventstore::{Actor, Position, RecordedEvent};
use std::fmt;

/// One event in one sentence, without a full stop. `before` is the order as it was just before the event; for events of stock and
/// locations it does not matter.
pub fn sentence(event: &Event, actor: &Actor, before: &Fulfillment) -> String {
    match event {
        Event::Order(event) => order::sentence(event, actor, before),
        Event::Payment(event) => payment::sentence(event, before),
        Event::Shipment(event) => shipment::sentence(event, before),
        Event::Saga(event) => saga::sentence(event, actor),
        Event::Stock(event) => stock::sentence(event),
        Event::Location(event) => stock::location_sentence(event),
        Event::Person(event) => person::sentence(event, actor),
        Event::Return(event) => returned::sentence(event, actor),
    }
}

/// A line of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub position: Position,
    pub at: DateTime<Utc>,
    pub event_type: String,
    pub sentence: String,
    /// In words, for example `shop dev`.
    pub actor: String,
}

/// A whole order's story, from its events in position order.
pub fn story<'a>(history: impl IntoIterator<Item = (&'a RecordedEvent, &'a Event)>) -> Vec<Entry> {
    let mut state = Fulfillment::default();
    let tell = |(recorded, event): (&RecordedEvent, &Event)| {
        let actor = author(event, &recorded.metadata.actor);
        let entry = Entry {
            position: recorded.position,
            at: recorded.recorded_at,
            event_type: recorded.event_type.to_string(),
            sentence: sentence(event, &actor, &state),
            actor: actor_name(&actor),
        };
        state.evolve(event);
        entry
    };
    history.into_iter().map(tell).collect()
}

/// `5.80 USD`, in the order's own currency.
fn money(amount: Amount, order: &Fulfillment) -> String {
    match &order.order.placed {
        Some(placed) => in_currency(amount, &placed.currency),
        None => amount.0.to_string(),
    }
}

fn in_currency(amount: Amount, currency: &domain::Currency) -> String {
    format!("{} {}", amount.display(currency.digits), currency.code)
}

/// `1 line`, `3 lines`.
struct Count<N>(N, &'static str);

impl<N: fmt::Display> fmt::Display for Count<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.to_string();
        let plural = if number == "1" { "" } else { "s" };
        write!(f, "{number} {}{plural}", self.1)
    }
}
