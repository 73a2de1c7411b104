//! The command side: load, decide, append; and the HTTP that shops and staff reach it by.
//!
//! Answers are given after the commit. The business's rules are the domain's; this crate brings ids, time, keys and the store together.
pub mod history;

pub use history::{Change, History, HistoryError};
