//! What the runner asks of the rest of the process, besides the store and the participants.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{LocationCode, OrderId, location::LocationMode, order::OrderPlaced};
use eventstore::RecordedEvent;
use std::fmt;
use thiserror::Error;

/// Personal data that a step needs and no event holds. Nothing of it is logged.
#[async_trait]
pub trait Secrets: Send + Sync + fmt::Debug {
    /// The means of payment, as the provider takes it. Asked again, it answers the same.
    async fn payment_token(&self, order: OrderId, shop: &str, placed: &OrderPlaced) -> Result<String, SecretError>;

    /// Where the parcel goes. Asked again, it answers the same.
    async fn ship_to(&self, order: OrderId, shop: &str, placed: &OrderPlaced) -> Result<ShipTo, SecretError>;
}

/// Where the parcel goes, as far as the carrier needs it for a label.
#[derive(Clone, PartialEq, Eq)]
pub struct ShipTo {
    /// ISO 3166-1 alpha-2.
    pub country: String,
    pub postal_code: Option<String>,
}

impl fmt::Debug for ShipTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShipTo").field("country", &self.country).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Error)]
pub enum SecretError {
    #[error("personal data can't be read now: {0}")]
    Unavailable(String),
    /// Erased, or never given: the saga pauses for a person. The text is a code, for example `no_payment_token`.
    #[error("{0}")]
    Missing(&'static str),
}

/// How a shop's locations work today.
#[async_trait]
pub trait Locations: Send + Sync + fmt::Debug {
    async fn mode(&self, shop: &str, code: &LocationCode) -> Result<LocationMode, LocationError>;

    /// Told of every event of a location, in order, from the runner's start on: what is kept in memory can follow.
    fn observe(&self, _event: &RecordedEvent) {}
}

#[derive(Clone, Debug, Error)]
#[error("the location's mode can't be read now: {0}")]
pub struct LocationError(pub String);

/// The wall clock, for what is written down; waits are measured by the monotonic one.
pub trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
