//! What a verification says of what it found.
use crate::Gone;
use eventstore::Position;
use std::fmt;

/// What was compared, and what was found wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainReport {
    /// The first position that was compared: the range's, or a later one on a broker that began at the head.
    pub from: Position,
    pub upto: Position,
    /// Records that were read.
    pub records: u64,
    /// Events of the store that lie before the first record which a partition still holds. Not a fault: trimmed by retention.
    pub trimmed: u64,
    /// How many faults there are of every kind.
    pub faults: u64,
    /// The first of them.
    pub broken: Vec<ChainFault>,
    /// What the store has lost by being restored, by the life that wrote it.
    pub gone: Vec<Gone>,
}

impl ChainReport {
    pub fn is_whole(&self) -> bool {
        self.faults == 0
    }

    pub fn count(&self, kind: FaultKind) -> usize {
        self.broken.iter().filter(|fault| fault.kind == kind).count()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFault {
    pub kind: FaultKind,
    pub topic: String,
    pub partition: i32,
    /// `None` for what isn't there.
    pub offset: Option<i64>,
    pub position: Position,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// The store has it, Kafka doesn't.
    Missing,
    /// Kafka has it a second time.
    Doubled,
    /// Kafka has it after a later one.
    Reordered,
    /// It isn't what the store has.
    Altered,
    /// It lies in a partition where it doesn't belong.
    Misplaced,
    /// It names another record as the one before it than the one that is.
    ChainBroken,
    /// It isn't a record of ours, or its headers can't be read.
    Unreadable,
    /// The store doesn't have it.
    Unknown,
}

impl FaultKind {
    pub const ALL: [FaultKind; 8] = [
        FaultKind::Missing,
        FaultKind::Doubled,
        FaultKind::Reordered,
        FaultKind::Altered,
        FaultKind::Misplaced,
        FaultKind::ChainBroken,
        FaultKind::Unreadable,
        FaultKind::Unknown,
    ];

    /// A word for it, as metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Missing => "missing",
            FaultKind::Doubled => "doubled",
            FaultKind::Reordered => "reordered",
            FaultKind::Altered => "altered",
            FaultKind::Misplaced => "misplaced",
            FaultKind::ChainBroken => "chain_broken",
            FaultKind::Unreadable => "unreadable",
            FaultKind::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Missing => "is missing",
            FaultKind::Doubled => "is there twice",
            FaultKind::Reordered => "comes too late",
            FaultKind::Altered => "is altered",
            FaultKind::Misplaced => "is in the wrong partition",
            FaultKind::ChainBroken => "doesn't follow the record before it",
            FaultKind::Unreadable => "can't be read",
            FaultKind::Unknown => "is not in the store",
        };
        write!(f, "{}/{}", self.topic, self.partition)?;
        if let Some(offset) = self.offset {
            write!(f, "@{offset}")?;
        }
        write!(f, ": position {} {what}", self.position)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}
