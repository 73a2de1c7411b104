//! Every event there is, its name, and how it is read back.
//!
//! An event is written as its type name, its schema version and its payload. `decode` is the only way back: through it a shape of
//! years ago becomes what it means today (see `upcast`). A type or a version that this build does not know is an error, never skipped.
//!
//! To change an event's shape: docs/evolution.md. A golden file that has been released stays for ever.
use crate::{
    fulfillment::SagaEvent, location::LocationEvent, order::OrderEvent, payment::PaymentEvent, person::PersonEvent,
    returns::ReturnEvent, shipment::ShipmentEvent, stock::StockEvent, upcast::Decoded,
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
    Return(ReturnEvent),
}

/// Which stream an event belongs to. The first four, and the returns', share the order's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamKind {
    Order,
    Payment,
    Shipment,
    Saga,
    Stock,
    Location,
    Person,
    Return,
}

impl StreamKind {
    /// The streams of one order.
    pub const OF_ORDER: [StreamKind; 5] =
        [StreamKind::Order, StreamKind::Payment, StreamKind::Shipment, StreamKind::Saga, StreamKind::Return];

    pub const fn name(self) -> &'static str {
        match self {
            StreamKind::Order => "order",
            StreamKind::Payment => "payment",
            StreamKind::Shipment => "shipment",
            StreamKind::Saga => "saga",
            StreamKind::Stock => "stock",
            StreamKind::Location => "location",
            StreamKind::Person => "person",
            StreamKind::Return => "return",
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
            "return" => StreamKind::Return,
            _ => return None,
        })
    }
}

#[derive(Debug, Error)]
pub enum DecodeError<E> {
    #[error(
        "the event type {event_type} in version {schema_version} is not known here: a newer version of Waybill wrote it, and only \
         that one can read on"
    )]
    Unknown { event_type: String, schema_version: i16 },
    #[error("the payload of {event_type} in version {schema_version} can't be read: {source}")]
    Payload { event_type: String, schema_version: i16, source: E },
}

impl<E> DecodeError<E> {
    pub(crate) fn payload(event_type: &str, schema_version: i16, source: E) -> Self {
        DecodeError::Payload { event_type: event_type.to_owned(), schema_version, source }
    }
}

/// One stream's events: an enum of payload structs, each with the version in which it is written, or in which it will be
/// (`from the next release on`: it is read already, and must not be written while the last release may still run). After `reads`,
/// what else may lie in the log: shapes that are written no more, or not yet. Each becomes what it means today (see `upcast`):
///
/// ```text
/// Old 1: OldV1 => OldV2 => New,      From each into the next, and the last is one of the enum's
/// Old 1: OldV1 => several,           From<OldV1> for Vec<the enum>
/// Old 1: retired,                    nothing; it keeps its place in the stream and in the log
/// ```
macro_rules! events {
    (
        $(#[$doc:meta])* $name:ident in $umbrella:ident {
            $($variant:ident = $version:literal $(from the $next:ident release on)?),+ $(,)?
        }
        $(reads { $($old:ident $old_version:literal: $shape:ident $(=> $to:ident)*),+ $(,)? })?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name { $($variant($variant)),+ }

        impl $name {
            /// Each type in the version that belongs to its struct, and whether it is written by this release.
            pub const TYPES: &'static [(&'static str, i16, bool)] = &[
                $((stringify!($variant), $version, $crate::event::written!($($next)?))),+
            ];
            /// What is read besides.
            pub const OTHERS: &'static [(&'static str, i16)] = &[$($((stringify!($old), $old_version)),+)?];

            pub fn event_type(&self) -> &'static str {
                match self { $($name::$variant(_) => stringify!($variant)),+ }
            }

            pub fn schema_version(&self) -> i16 {
                match self { $($name::$variant(_) => $version),+ }
            }

            /// Every release that may be running can read it.
            pub fn is_written(&self) -> bool {
                match self { $($name::$variant(_) => $crate::event::written!($($next)?)),+ }
            }

            pub(crate) fn decode<'de, D: serde::Deserializer<'de>>(
                event_type: &str, schema_version: i16, payload: D,
            ) -> Result<$crate::upcast::Decoded<Self>, $crate::event::DecodeError<D::Error>> {
                use $crate::upcast::Decoded;
                let decoded = match (event_type, schema_version) {
                    $((stringify!($variant), $version) => {
                        serde::Deserialize::deserialize(payload).map(|event| Decoded::One($name::$variant(event)))
                    })+
                    $($((stringify!($old), $old_version) => $crate::upcast::upcast!(payload, $shape $(=> $to)*),)+)?
                    _ => {
                        let event_type = event_type.to_owned();
                        return Err($crate::event::DecodeError::Unknown { event_type, schema_version });
                    }
                };
                decoded.map_err(|source| $crate::event::DecodeError::payload(event_type, schema_version, source))
            }
        }

        #[cfg(test)]
        impl $name {
            /// The JSON Schema of each shape that is read; none of a type that is retired, whose struct is gone.
            pub(crate) fn schemas() -> Vec<(&'static str, i16, Option<schemars::Schema>)> {
                vec![
                    $((stringify!($variant), $version, $crate::contracts::schema_of!($variant)),)+
                    $($((stringify!($old), $old_version, $crate::contracts::schema_of!($shape)),)+)?
                ]
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
        })+

        $crate::event::in_umbrella!($umbrella, $name, $($variant)+);
    };
}
pub(crate) use events;

/// The way into `Event`; the examples of `upcast` stand alone.
macro_rules! in_umbrella {
    (Nothing, $name:ident, $($variant:ident)+) => {};
    ($umbrella:ident, $name:ident, $($variant:ident)+) => {
        $(impl From<$variant> for $crate::Event {
            fn from(payload: $variant) -> Self { $crate::Event::$umbrella(payload.into()) }
        })+

        impl From<$name> for $crate::Event {
            fn from(event: $name) -> Self { $crate::Event::$umbrella(event) }
        }
    };
}
pub(crate) use in_umbrella;

macro_rules! written {
    () => {
        true
    };
    (next) => {
        false
    };
}
pub(crate) use written;

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
            Event::Return($inner) => $body,
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

    /// This release may write it: the one before can read it.
    pub fn is_written(&self) -> bool {
        each!(self, event => event.is_written())
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
            Event::Return(_) => StreamKind::Return,
        }
    }

    /// Reads an event back from the kind of its stream, its type, its schema version and its payload. All that it becomes belongs
    /// to the same stream.
    pub fn decode<'de, D: Deserializer<'de>>(
        kind: &str,
        event_type: &str,
        schema_version: i16,
        payload: D,
    ) -> Result<Decoded, DecodeError<D::Error>> {
        macro_rules! of {
            ($events:ident) => {
                $events::decode(event_type, schema_version, payload).map(Decoded::into_events)
            };
        }
        match StreamKind::from_name(kind) {
            Some(StreamKind::Order) => of!(OrderEvent),
            Some(StreamKind::Payment) => of!(PaymentEvent),
            Some(StreamKind::Shipment) => of!(ShipmentEvent),
            Some(StreamKind::Saga) => of!(SagaEvent),
            Some(StreamKind::Stock) => of!(StockEvent),
            Some(StreamKind::Location) => of!(LocationEvent),
            Some(StreamKind::Person) => of!(PersonEvent),
            Some(StreamKind::Return) => of!(ReturnEvent),
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
