//! The rules of the business, pure: given what happened and a command, what happens next.
//!
//! No clock, no randomness, no I/O, no async: time and ids arrive in the command. Every aggregate has the same skeleton:
//! `command`, `event`, `state`, `decide`. `fulfillment` is the saga: it folds an order's whole history and says what to do next.
#[cfg(test)]
mod contracts;
pub mod decider;
pub mod event;
pub mod fulfillment;
#[cfg(test)]
mod golden;
pub mod ids;
pub mod location;
pub mod money;
pub mod order;
pub mod payment;
pub mod person;
pub mod returns;
pub mod saga;
pub mod shipment;
pub mod stock;
#[cfg(test)]
mod testing;
pub mod upcast;

pub use decider::{Decider, fold};
pub use event::{DecodeError, Event, StreamKind};
pub use ids::{FulfillmentId, LineId, LocationCode, OrderId, ReturnId, SagaId, Sku};
pub use money::{Amount, Currency};
pub use upcast::Decoded;
