//! An order's money: authorized, then captured or voided.
//!
//! Captured only what was authorized; voided or captured, never both; nothing authorized twice.
mod command;
mod decide;
mod event;
mod state;
#[cfg(test)]
mod tests;

pub use command::Command;
pub use decide::Rejection;
pub use event::*;
pub use state::{Authorization, Payment};
