//! A place where goods lie, and whether its work is done by itself or by staff.
mod event;

pub use event::*;

/// The location that every shop has.
pub const MAIN: &str = "main";

/// The name a location stream's UUIDv5 is made from, and the key of its records in Kafka.
pub fn stream_name(shop: &str, location: &str) -> String {
    format!("{shop}/{location}")
}
