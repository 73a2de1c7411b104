//! What an operator may ask of a saga. Each verb is an event in the order's own history; its reason, and what was shown for it, lie in the vault.
//!
//! None of them undoes on a guess: a step that is passed over or done elsewhere is one that the operator knows about, and says how.
use std::fmt;
use thiserror::Error;
use uuid::Uuid;

/// The verbs, as they stand in paths and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// A step that has stopped is tried again.
    Retry,
    /// A step that has stopped is passed over, on evidence that it needn't be done.
    Skip,
    /// A step that has stopped was done elsewhere.
    MarkDone,
    /// Whatever was done is undone.
    Compensate,
    /// Nothing more is begun.
    Pause,
    /// It goes on.
    Resume,
}

impl Verb {
    pub const ALL: [Verb; 6] = [Verb::Retry, Verb::Skip, Verb::MarkDone, Verb::Compensate, Verb::Pause, Verb::Resume];

    pub const fn name(self) -> &'static str {
        match self {
            Verb::Retry => "retry",
            Verb::Skip => "skip",
            Verb::MarkDone => "mark-done",
            Verb::Compensate => "compensate",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A verb with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Retry,
    Skip,
    MarkDone(Done),
    Compensate,
    Pause,
    Resume,
}

impl Command {
    pub const fn verb(&self) -> Verb {
        match self {
            Command::Retry => Verb::Retry,
            Command::Skip => Verb::Skip,
            Command::MarkDone(_) => Verb::MarkDone,
            Command::Compensate => Verb::Compensate,
            Command::Pause => Verb::Pause,
            Command::Resume => Verb::Resume,
        }
    }
}

/// How a step was done elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The participant's own reference: of the authorization, the capture, the refund, the void; of a parcel its tracking number.
    pub reference: String,
    /// Of a parcel: who carries it.
    pub carrier: Option<String>,
}

/// Where in the vault lies what the operator wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    pub reason: Option<Uuid>,
    pub evidence: Option<Uuid>,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("{0}")]
    NotAllowed(String),
    #[error("the goods have left; what comes back is a return")]
    AlreadyShipped,
}
