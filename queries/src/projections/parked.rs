//! What the projections hold back: from the first event of a key that can't be taken in on, all events of that key.
//!
//! A key is a stream's id: the order's for all streams of an order. A parked key is known by one position alone: events before it are in
//! the rows, those from it on are not, so a replay that is told the position comes to the same rows. An event that was skipped is left out
//! as if it had never been recorded. Pure.
use eventstore::{Incarnation, Position, RecordedEvent, StreamId, Version};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// More keys than these are not parked: so many mean that it is the program that is wrong, and the runner stops.
pub const MAX_PARKED: usize = 10_000;

/// An event that can't be taken in, and by it its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Its id is the key.
    pub stream: StreamId,
    pub version: Version,
    pub event_type: String,
    pub schema_version: i16,
    pub incarnation: Incarnation,
    pub position: Position,
    pub cause: String,
}

impl Parked {
    pub(crate) fn at(event: &RecordedEvent, cause: String) -> Parked {
        Parked {
            stream: event.stream.clone(),
            version: event.version,
            event_type: event.event_type.clone().into_owned(),
            schema_version: event.schema_version,
            incarnation: event.incarnation,
            position: event.position,
            cause,
        }
    }
}

/// An operator's decision to leave an event out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skip<'a> {
    pub(crate) event: &'a Parked,
    pub(crate) reason: &'a str,
    pub(crate) by: &'a str,
}

/// All parked keys, and all skipped events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) parked: HashMap<Uuid, Parked>,
    skipped: HashSet<(Incarnation, Position)>,
}

impl Held {
    pub(crate) fn new(
        parked: impl IntoIterator<Item = Parked>,
        skipped: impl IntoIterator<Item = (Incarnation, Position)>,
    ) -> Held {
        let parked = parked.into_iter().map(|parked| (parked.stream.id, parked)).collect();
        Held { parked, skipped: skipped.into_iter().collect() }
    }

    pub(crate) fn into_skipped(self) -> HashSet<(Incarnation, Position)> {
        self.skipped
    }

    /// It belongs to a key that is parked at it, or before it.
    pub(crate) fn holds_back(&self, event: &RecordedEvent) -> bool {
        self.parked.get(&event.stream.id).is_some_and(|parked| event.position >= parked.position)
    }

    /// It was skipped.
    pub(crate) fn leaves_out(&self, event: &RecordedEvent) -> bool {
        !self.skipped.is_empty() && self.skipped.contains(&(event.incarnation, event.position))
    }

    /// Nothing parked, the same skipped: what one key's history is read by.
    pub(crate) fn clone_skips(&self) -> Held {
        Held { parked: HashMap::new(), skipped: self.skipped.clone() }
    }

    pub(crate) fn skip(&mut self, event: &Parked) {
        self.skipped.insert((event.incarnation, event.position));
    }
}
