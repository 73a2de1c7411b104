//! The lives of a log. One that was restored, or failed over to an older state, begins a new life: a new incarnation. Its events follow
//! the last one that both lives share; what the life before wrote after that is abandoned: the world may know it, the store does not.
//!
//! Order in the world is (incarnation, position). An event belongs to the latest life that began before its position.
use crate::{Incarnation, Position};
use chrono::{DateTime, Utc};

/// One life of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    pub incarnation: Incarnation,
    /// The last position that it shares with the lives before.
    pub after: Position,
    pub began_at: DateTime<Utc>,
    pub reason: String,
}

/// What an earlier life told the world and the store has lost, as somebody has looked at it and settled it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// The life that wrote it.
    pub incarnation: Incarnation,
    pub from: Position,
    pub to: Position,
    pub events: i64,
    pub streams: i64,
    pub recorded_at: DateTime<Utc>,
    /// Where every one of the events was written down.
    pub file: String,
}

/// All lives of a log, the earliest first, and what was settled of those that ended early. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lives {
    lives: Vec<Life>,
    abandoned: Vec<Abandoned>,
}

impl Lives {
    /// `None`: without a life there is no log.
    pub fn new(mut lives: Vec<Life>, abandoned: Vec<Abandoned>) -> Option<Lives> {
        lives.sort_by_key(|life| life.incarnation);
        (!lives.is_empty()).then_some(Lives { lives, abandoned })
    }

    /// Of a log that was never restored.
    pub fn first() -> Lives {
        let (after, began_at) = (Position::ZERO, DateTime::UNIX_EPOCH);
        let life = Life { incarnation: Incarnation(1), after, began_at, reason: "the beginning".to_owned() };
        Lives { lives: vec![life], abandoned: Vec::new() }
    }

    /// As another copy of the log tells of those after the first: when and why they began isn't known.
    pub fn told(later: impl IntoIterator<Item = (Incarnation, Position)>) -> Lives {
        let mut told = Lives::first();
        told.lives.extend(later.into_iter().map(|(incarnation, after)| Life {
            incarnation,
            after,
            began_at: DateTime::UNIX_EPOCH,
            reason: String::new(),
        }));
        told.lives.sort_by_key(|life| life.incarnation);
        told
    }

    /// As they were if another life began.
    #[must_use]
    pub fn with(&self, life: Life) -> Lives {
        let mut lives = self.clone();
        lives.lives.push(life);
        lives.lives.sort_by_key(|life| life.incarnation);
        lives
    }

    pub fn all(&self) -> &[Life] {
        &self.lives
    }

    pub fn abandoned(&self) -> &[Abandoned] {
        &self.abandoned
    }

    pub fn get(&self, incarnation: Incarnation) -> Option<&Life> {
        self.lives.iter().find(|life| life.incarnation == incarnation)
    }

    pub fn current(&self) -> Incarnation {
        self.lives.last().map_or(Incarnation(1), |life| life.incarnation)
    }

    /// The life that an event of the store at this position belongs to.
    pub fn of(&self, position: Position) -> Incarnation {
        let begun = self.lives.iter().rev().find(|life| life.after < position);
        begun.or(self.lives.first()).map_or(Incarnation(1), |life| life.incarnation)
    }

    /// Up to where what this life wrote still counts; `None`: no later life has begun.
    pub fn end_of(&self, incarnation: Incarnation) -> Option<Position> {
        self.lives.iter().filter(|life| life.incarnation > incarnation).map(|life| life.after).min()
    }

    /// Whether what this life wrote at this position has been lost: a later one began before it, or this store never lived that life.
    pub fn has_abandoned(&self, incarnation: Incarnation, position: Position) -> bool {
        incarnation <= self.current()
            && (self.get(incarnation).is_none() || self.end_of(incarnation).is_some_and(|end| position > end))
    }

    /// Whether this loss was looked at and written down.
    pub fn has_settled(&self, incarnation: Incarnation, position: Position) -> bool {
        self.abandoned
            .iter()
            .any(|range| range.incarnation == incarnation && (range.from..=range.to).contains(&position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(begun: &[(i32, i64)]) -> Lives {
        let life = |(incarnation, after): &(i32, i64)| Life {
            incarnation: Incarnation(*incarnation),
            after: Position(*after),
            began_at: DateTime::UNIX_EPOCH,
            reason: String::new(),
        };
        Lives::new(begun.iter().map(life).collect(), vec![]).unwrap()
    }

    #[test]
    fn an_event_belongs_to_the_latest_life_that_began_before_it() {
        let lives = lives(&[(1, 0), (2, 100), (4, 60), (5, 70)]);
        let of = |position| lives.of(Position(position)).0;
        assert_eq!([1, 60, 61, 70, 71, 100, 101].map(of), [1, 1, 4, 4, 5, 5, 5]);
        assert_eq!(lives.current(), Incarnation(5));
    }

    #[test]
    fn what_lies_beyond_the_beginning_of_a_later_life_is_abandoned() {
        let lives = lives(&[(1, 0), (2, 100), (4, 60)]);
        let gone = |incarnation, position| lives.has_abandoned(Incarnation(incarnation), Position(position));
        assert!(!gone(1, 60) && gone(1, 61) && gone(2, 101) && gone(2, 61));
        assert!(gone(3, 1), "a life that this store never lived");
        assert!(!gone(4, 1_000), "the current one");
        assert!(!gone(5, 1_000), "one that is still to come is not abandoned: the store is behind it");
    }
}
