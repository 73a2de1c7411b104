//! A place in the order of the world: (incarnation, position).
use eventstore::{Incarnation, Lives, Position, RecordedEvent};
use std::fmt;

/// Where an event is, in the order in which the world hears of it. Positions are used again by a log's next life; places never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub incarnation: Incarnation,
    pub position: Position,
}

impl Place {
    /// Before all.
    pub const START: Place = Place { incarnation: Incarnation(0), position: Position::ZERO };

    pub fn of(event: &RecordedEvent) -> Place {
        Place { incarnation: event.incarnation, position: event.position }
    }

    /// Whether a later life began before it: the store doesn't have it any more.
    pub fn is_abandoned(self, lives: &Lives) -> bool {
        self != Place::START && lives.has_abandoned(self.incarnation, self.position)
    }
}

/// `1:42`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.incarnation.0, self.position)
    }
}
