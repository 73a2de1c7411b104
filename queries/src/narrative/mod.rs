//! Says what happened in sentences that a support person understands who never saw the code.
//!
//! Pure: an event, and the order as it was just before it, to one sentence. The timeline and `waybill trace` tell the same story, from the
//! log: it is kept nowhere else.
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

use crate::projections::Decoded;
use chrono::{DateTime, Utc};
use domain::{Amount, Event, fulfillment::Fulfillment};
use eventstore::{Actor, Position, RecordedEvent};
use std::fmt;
use uuid::Uuid;

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

/// A line of the story: one recorded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) order_id: Uuid,
    pub(crate) position: Position,
    pub(crate) at: DateTime<Utc>,
    pub(crate) event_type: &'static str,
    pub(crate) summary: String,
    /// In words, for example `shop dev`.
    pub(crate) actor: String,
    pub(crate) actor_kind: &'static str,
}

/// An order's whole story up to a moment, from all of its events by then, in position order.
pub(crate) fn story(history: &[Decoded]) -> Vec<Entry> {
    let mut state = Fulfillment::default();
    let mut told = Vec::with_capacity(history.len());
    for Decoded { recorded, events } in history.iter().filter(|decoded| decoded.order().is_some()) {
        let mut entry: Option<Entry> = None;
        for event in events {
            let actor = author(event, &recorded.metadata.actor);
            let summary = sentence(event, &actor, &state);
            match &mut entry {
                None => entry = Some(Entry::of(recorded, event, summary, &actor)),
                // The same recorded event is this one today, too.
                Some(entry) => {
                    entry.summary.push_str("; ");
                    entry.summary.push_str(&summary);
                }
            }
            state.evolve(event);
        }
        told.extend(entry);
    }
    told
}

impl Entry {
    fn of(recorded: &RecordedEvent, event: &Event, summary: String, actor: &Actor) -> Entry {
        Entry {
            order_id: recorded.stream.id,
            position: recorded.position,
            at: recorded.recorded_at,
            event_type: event.event_type(),
            summary,
            actor: actor_name(actor),
            actor_kind: actor_kind_name(actor.kind),
        }
    }
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
