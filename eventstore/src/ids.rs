//! Where an event is: its log, position, stream and version; and the slot its owner is found by.
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};
use uuid::Uuid;

/// A log: its own counter row, positions and relay. One today, `main`; split by shop group or region past one writer's reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Log(pub i16);

impl Log {
    pub const MAIN: Log = Log(0);

    /// The name in topics and headers.
    pub fn name(self) -> Cow<'static, str> {
        match self.0 {
            0 => Cow::Borrowed("main"),
            n => Cow::Owned(format!("log-{n}")),
        }
    }
}

/// Which life of the log: a log restored or failed over to an older state starts a new one. Order in the world is (incarnation, position).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub i32);

/// A place in the log: dense, from 1, in commit order. `Position::ZERO` is before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub i64);

impl Position {
    pub const ZERO: Position = Position(0);
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Position {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse::<u32>().map(i64::from).or_else(|_| s.parse::<i64>()).map(Position)
    }
}

/// How many events a stream holds; the first event has version 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub i32);

impl Version {
    pub const NONE: Version = Version(0);

    #[must_use]
    pub fn next(self) -> Version {
        Version(self.0 + 1)
    }
}

/// One aggregate's events. All streams of one order share its id and differ in `kind`, so that one range read gives the order's history.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId {
    pub id: Uuid,
    pub kind: Cow<'static, str>,
}

impl StreamId {
    pub const fn new(id: Uuid, kind: &'static str) -> Self {
        StreamId { id, kind: Cow::Borrowed(kind) }
    }
}

/// `order-0192…`: the kind and the id in simple form.
impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind, self.id.simple())
    }
}

/// How many slots the work is dealt into. Fixed for a log's life.
pub const SLOTS: usize = 256;

/// The unit of ownership: whoever holds a slot's lease drives the sagas of its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u8);

/// The slot of a stream id: its last byte, which is random in a UUIDv7 and in a UUIDv5.
pub fn slot_of(id: Uuid) -> Slot {
    Slot(id.as_bytes()[15])
}
