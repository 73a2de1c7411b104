//! The command side: load, decide, append; and the HTTP that shops and staff reach it by.
//!
//! Answers are given after the commit. The business's rules are the domain's; this crate brings ids, time, keys and the store together.
pub mod handler;
pub mod history;
pub mod http;
pub mod ids;
pub mod locations;
pub mod outcomes;
pub mod patience;
pub mod people;
pub mod personal;
mod stock;

pub use history::{Change, History, HistoryError};
pub use http::{AppState, Follower, Placed, router};
pub use locations::LocationModes;
pub use outcomes::{OutcomeView, Outcomes};

/// Whether this is an IANA time zone that a shop's times can be read in.
pub fn is_time_zone(name: &str) -> bool {
    name.parse::<chrono_tz::Tz>().is_ok()
}
