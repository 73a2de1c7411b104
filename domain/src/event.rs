//! Every event there is, its name, and how it is read back.
//!
//! An event is written as its type name, its schema version and its payload. `decode` is the only way back; a type or a version
//! that this build does not know is an error, never skipped.
//!
//! To change an event's shape: raise its version in `events!`, keep the old struct beside the new one in `upcast/` with a
//! `From` into it, read the old version through that in `decode`, and add a golden file; the old golden files stay.
use crate::{
    fulfillment::SagaEvent, location::LocationEvent, order::OrderEvent, payment::PaymentEvent, person::PersonEvent,
    shipment::ShipmentEvent, stock::StockEvent,
};
use serde::{Deserializer, Serialize};
use thiserror::Error;

#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "events are few and short-lived; a box would cost an allocation each")]
pub enum Event {
    Order(OrderEvent),
    Payment(PaymentEvent),
    Shipment(ShipmentEvent),
    Saga(SagaEvent),
    Stock(StockEvent),
    Location(LocationEvent),
    Person(PersonEvent),
}

/// Which stream an event belongs to. The first four share the order's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamKind {
    Order,
    Payment,
    Shipment,
    Saga,
    Stock,
    Location,
    Person,
}

impl StreamKind {
    /// The streams of one order.
    pub const OF_ORDER: [StreamKind; 4] =
        [StreamKind::Order, StreamKind::Payment, StreamKind::Shipment, StreamKind::Saga];

    pub const fn name(self) -> &'static str {
        match self {
            StreamKind::Order => "order",
            StreamKind::Payment => "payment",
            StreamKind::Shipment => "shipment",
            StreamKind::Saga => "saga",
            StreamKind::Stock => "stock",
            StreamKind::Location => "location",
            StreamKind::Person => "person",
        }
    }

    pub fn from_name(name: &str) -> Option<StreamKind> {
        Some(match name {
            "order" => StreamKind::Order,
            "payment" => StreamKind::Payment,
            "shipment" => StreamKind::Shipment,
            "saga" => StreamKind::Saga,
            "stock" => StreamKind::Stock,
            "location" => StreamKind::Location,
            "person" => StreamKind::Person,
            _ => return None,
        })
    }
}

#[derive(Debug, Error)]
pub enum DecodeError<E> {
    #[error("this build does not know the event type {event_type} in version {schema_version}")]
    Unknown { event_type: String, schema_version: i16 },
    #[error("the payload of {event_type} can't be read: {source}")]
    Payload { event_type: String, source: E },
}

/// One aggregate's events: an enum of payload structs, each with its schema version.
macro_rules! events {
    ($(#[$doc:meta])* $name:ident in $umbrella:ident { $($variant:ident = $version:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name { $($variant($variant)),+ }

        impl $name {
            /// Each type and the version in which it is written.
            pub const TYPES: &'static [(&'static str, i16)] = &[$((stringify!($variant), $version)),+];

            pub fn event_type(&self) -> &'static str {
                match self { $($name::$variant(_) => stringify!($variant)),+ }
            }

            pub fn schema_version(&self) -> i16 {
                match self { $($name::$variant(_) => $version),+ }
            }

            pub(crate) fn decode<'de, D: serde::Deserializer<'de>>(
                event_type: &str, schema_version: i16, payload: D,
            ) -> Result<Self, $crate::event::DecodeError<D::Error>> {
                match (event_type, schema_version) {
                    $((stringify!($variant), $version) => serde::Deserialize::deserialize(payload)
                        .map($name::$variant)
                        .map_err(|source| $crate::event::DecodeError::Payload { event_type: event_type.to_owned(), source }),)+
                    _ => Err($crate::event::DecodeError::Unknown { event_type: event_type.to_owned(), schema_version }),
                }
            }
        }

        /// The payload alone, as it is recorded.
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $($name::$variant(payload) => payload.serialize(serializer)),+ }
            }
        }

        $(impl From<$variant> for $name {
            fn from(payload: $variant) -> Self { $name::$variant(payload) }
        }
        impl From<$variant> for $crate::Event {
            fn from(payload: $variant) -> Self { $crate::Event::$umbrella(payload.into()) }
        })+

        impl From<$name> for $crate::Event {
            fn from(event: $name) -> Self { $crate::Event::$umbrella(event) }
        }
    };
}
pub(crate) use events;

macro_rules! each {
    ($event:expr, $inner:ident => $body:expr) => {
        match $event {
            Event::Order($inner) => $body,
            Event::Payment($inner) => $body,
            Event::Shipment($inner) => $body,
            Event::Saga($inner) => $body,
            Event::Stock($inner) => $body,
            Event::Location($inner) => $body,
            Event::Person($inner) => $body,
        }
    };
}

impl Event {
    /// For example `OrderPlaced`.
    pub fn event_type(&self) -> &'static str {
        each!(self, event => event.event_type())
    }

    pub fn schema_version(&self) -> i16 {
        each!(self, event => event.schema_version())
    }

    pub fn stream_kind(&self) -> StreamKind {
        match self {
            Event::Order(_) => StreamKind::Order,
            Event::Payment(_) => StreamKind::Payment,
            Event::Shipment(_) => StreamKind::Shipment,
            Event::Saga(_) => StreamKind::Saga,
            Event::Stock(_) => StreamKind::Stock,
            Event::Location(_) => StreamKind::Location,
            Event::Person(_) => StreamKind::Person,
        }
    }

    /// Reads an event back from the kind of its stream, its type, its schema version and its payload.
    pub fn decode<'de, D: Deserializer<'de>>(
        kind: &str,
        event_type: &str,
        schema_version: i16,
        payload: D,
    ) -> Result<Event, DecodeError<D::Error>> {
        match StreamKind::from_name(kind) {
            Some(StreamKind::Order) => OrderEvent::decode(event_type, schema_version, payload).map(Event::Order),
            Some(StreamKind::Payment) => PaymentEvent::decode(event_type, schema_version, payload).map(Event::Payment),
            Some(StreamKind::Shipment) => {
                ShipmentEvent::decode(event_type, schema_version, payload).map(Event::Shipment)
            }
            Some(StreamKind::Saga) => SagaEvent::decode(event_type, schema_version, payload).map(Event::Saga),
            Some(StreamKind::Stock) => StockEvent::decode(event_type, schema_version, payload).map(Event::Stock),
            Some(StreamKind::Location) => {
                LocationEvent::decode(event_type, schema_version, payload).map(Event::Location)
            }
            Some(StreamKind::Person) => PersonEvent::decode(event_type, schema_version, payload).map(Event::Person),
            None => Err(DecodeError::Unknown { event_type: format!("{kind}/{event_type}"), schema_version }),
        }
    }
}

/// The payload alone, as it is recorded.
impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        each!(self, event => event.serialize(serializer))
    }
}
