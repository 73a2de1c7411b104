//! What Kafka holds and a restored store has lost: told, not counted as a fault.
use eventstore::{Incarnation, Position, RecordedEvent, StreamId};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use uuid::Uuid;

/// What Kafka holds of a life beyond the position where a later one began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    pub incarnation: Incarnation,
    pub from: Position,
    pub to: Position,
    pub events: u64,
    /// How many there are of each stream; all streams of an order share its id.
    pub streams: BTreeMap<StreamId, u64>,
    pub types: BTreeMap<String, u64>,
}

impl Gone {
    /// Adds an event to those of its life.
    pub(crate) fn add(all: &mut Vec<Gone>, event: &RecordedEvent) {
        let (incarnation, position) = (event.incarnation, event.position);
        let at = all.iter().position(|gone| gone.incarnation == incarnation).unwrap_or_else(|| {
            let (streams, types) = (BTreeMap::new(), BTreeMap::new());
            all.push(Gone { incarnation, from: position, to: position, events: 0, streams, types });
            all.sort_by_key(|gone| gone.incarnation);
            all.iter().position(|gone| gone.incarnation == incarnation).unwrap_or_default()
        });
        let gone = &mut all[at];
        (gone.from, gone.to) = (gone.from.min(position), gone.to.max(position));
        gone.events += 1;
        *gone.streams.entry(event.stream.clone()).or_default() += 1;
        *gone.types.entry(event.event_type.clone().into_owned()).or_default() += 1;
    }

    /// The orders among the streams.
    pub fn orders(&self) -> BTreeSet<Uuid> {
        let of_order = |stream: &&StreamId| !matches!(stream.kind.as_ref(), "stock" | "location" | "person");
        self.streams.keys().filter(of_order).map(|stream| stream.id).collect()
    }
}

/// `positions 1201 to 1344 of incarnation 1: 144 events of 31 orders`.
impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (orders, events) = (self.orders().len(), self.events);
        write!(f, "positions {} to {} of incarnation {}: {events} events", self.from, self.to, self.incarnation.0)?;
        write!(f, " of {orders} orders")?;
        let others =
            self.streams.keys().filter(|stream| matches!(stream.kind.as_ref(), "stock" | "location" | "person"));
        match others.count() {
            0 => Ok(()),
            others => write!(f, " and {others} other streams"),
        }
    }
}
