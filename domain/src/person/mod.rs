//! A person whose data the vault keeps: asked to be erased, then erased.
//!
//! The stream begins with the request, and that is what it is for: whoever places an order for the person expects that there is none.
//! So a ref that comes back is someone new. A person is erased once, and only on request; nobody comes back from it.
mod command;
mod decide;
mod event;
mod state;
#[cfg(test)]
mod tests;

pub use command::Command;
pub use decide::Rejection;
pub use event::*;
pub use state::Person;
