//! An order's goods at a warehouse: released, picked, packed, shipped, or recalled before they leave.
//!
//! No more leaves than was released; after the first parcel has left nothing is recalled. Later stages imply the earlier:
//! staff may report `ship` alone.
mod command;
mod decide;
mod event;
mod state;
#[cfg(test)]
mod tests;

pub use command::Command;
pub use decide::Rejection;
pub use event::*;
pub use state::{Line, Released, Shipment, Stage};
