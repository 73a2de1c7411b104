//! An order as the shop sees it: placed, its stock reserved, cancelled or completed.
//!
//! It is cancelled at most once, completed at most once, never both; stock is reserved at most once and released at most once.
mod command;
mod decide;
mod event;
mod state;
#[cfg(test)]
mod tests;

pub use command::Command;
pub use decide::Rejection;
pub use event::*;
pub use state::{Order, Outcome, Stock};
