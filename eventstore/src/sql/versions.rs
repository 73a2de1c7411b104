//! What a connection knows of the versions of streams, so that the database need not look them up.
//!
//! They are as its own last batch has found or left them, and hold where nobody else has appended since: the log stands where that batch left
//! it, which the database sees for itself (`p_s_as_of` of `append_batch`). It ends with the connection, as every certainty about a batch.
use crate::cache::Generations;
use crate::group_commit::Written;
use crate::prepared::Prepared;
use crate::{Expected, Position, StreamAppend, StreamId, Version};

/// Of each of two generations. An order has four streams, and appends again within a second.
const CAPACITY: usize = 8_192;
/// A stream that begins: whether it may is for the unique index to say.
const BEGINS: i64 = i64::MAX;

#[derive(Debug)]
pub(super) struct Versions {
    known: Generations<StreamId, Version>,
    /// Where the last batch left the log.
    as_of: Position,
}

impl Versions {
    pub(super) fn new() -> Versions {
        Versions { known: Generations::new(CAPACITY), as_of: Position::ZERO }
    }

    /// Where the log stood when the stream was at the version expected; `None`: not known.
    pub(super) fn as_of(&mut self, part: &StreamAppend) -> Option<i64> {
        match part.expected {
            Expected::Any => None,
            Expected::Exact(Version::NONE) if !part.events.is_empty() => Some(BEGINS),
            Expected::Exact(version) => (self.known.get(&part.stream) == Some(&version)).then_some(self.as_of.0),
        }
    }

    /// `base`: where the batch found the log.
    pub(super) fn committed(&mut self, batch: &[&Prepared], base: Position, written: &Written) {
        if base != self.as_of {
            // Others have appended.
            self.known.clear();
        }
        self.as_of = base;
        for (prepared, outcome) in batch.iter().zip(&written.outcomes) {
            let Ok(appended) = outcome else { continue };
            self.as_of = self.as_of.max(appended.last);
            for part in &prepared.append.streams {
                match part.expected {
                    Expected::Exact(Version(before)) => {
                        self.known.insert(part.stream.clone(), Version(before + part.events.len() as i32));
                    }
                    // Its version is the store's alone to know.
                    Expected::Any => self.known.remove(&part.stream),
                }
            }
        }
    }
}
