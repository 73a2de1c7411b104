//! What every saga is made of: the words in which it asks the world and is answered, how far it has come, and its table.
//!
//! A saga is a pure machine over an order's whole history: [`Saga::next`] says what is to be done, [`Saga::react`] turns the answer into
//! events, for one append. Two there are: `fulfillment`, and `returns` for each return of an order. Whoever drives them (the crate `sagas`)
//! knows this trait, and neither of the two.
mod action;
mod definition;
mod effect;
pub mod operator;
mod progress;

pub(crate) use action::Move;
pub use action::{Action, Context, Next, Reply, WaitingOn};
pub use definition::{Definition, Retry, StepRow, Wait};
pub use effect::Effect;
pub use progress::{Direction, Paused, Progress, Retrying, SagaState, StepName};

use crate::{
    Event, OrderId, ReturnId, SagaId,
    fulfillment::{self, FulfillmentSaga},
    ids::InvalidId,
    order, payment,
    returns::{self, ReturnSaga},
    shipment,
};
use chrono::{DateTime, Utc};
use std::{fmt, ops::Deref, str::FromStr, time::Duration};
use thiserror::Error;

/// A move that needs nobody is made by whoever drives the saga, in the next append.
const OWN_MOVE: Duration = Duration::from_secs(10);
/// A build that knows the definition: as long as an upgrade may take.
const NEWER_BUILD: Duration = Duration::from_secs(10 * 60);

/// One saga of an order, as whoever drives it sees it.
pub trait Saga: fmt::Debug {
    /// Its table.
    fn definition(&self) -> &'static Definition;

    /// What to do now. Pure: asked twice, it answers the same.
    fn next(&self) -> Next;

    /// The same in short: whom a call goes to, not what it says. Nothing is made for it.
    fn plan(&self) -> Next<WaitingOn>;

    /// The events that an answer to an action causes, in order; none when nothing changes. The action is absent for [`Reply::Nothing`].
    ///
    /// An answer may come late, or twice: one to an action that is no longer waited for counts as [`Reply::Nothing`].
    fn react(&self, answered: Option<&Action>, reply: Reply, context: &Context) -> Result<Vec<Event>, Misfit>;

    /// The step it is at, whether that is done or undone, and in which attempt, from 1. A new attempt follows a definite answer only: while
    /// these three stay the same, so does the key.
    fn at(&self) -> (&'static str, Direction, u32);

    fn state(&self) -> SagaState;

    /// The current step is being tried without an answer: why, and since when. Its budget runs from there.
    fn retrying(&self) -> Option<(&str, DateTime<Utc>)>;

    /// Why it is stopped or tries again: a code.
    fn cause(&self) -> Option<&str>;

    /// The steps still to be taken (or, while it is undone, still to be undone), the current one first; none once it has ended.
    fn remaining_steps(&self) -> Vec<&'static str>;

    /// Where it would be known, had what this action builds on been undone in a life of the log that is lost: whom to ask, and for which key.
    fn undone_by(&self, action: &Action) -> Vec<(WaitingOn, String)>;

    /// Who is waited for; `None` when nobody outside is, and once it has ended.
    fn waiting_on(&self) -> Option<WaitingOn> {
        self.plan().waiting_on()
    }

    /// How its current step is tried again.
    fn retry(&self) -> Retry {
        self.definition().row(self.at().0).map_or(Retry::CALL, |row| row.retry)
    }

    /// How long the current wait takes when all is well; one that waits longer is flagged. `None` when nothing can be expected: it has
    /// ended, or a person has to look.
    fn expected(&self) -> Option<Duration> {
        match self.plan() {
            Next::Ended | Next::Wait(WaitingOn::Operator) => None,
            Next::Advance => Some(OWN_MOVE),
            Next::Wait(WaitingOn::Definition) => Some(NEWER_BUILD),
            Next::Act(on) | Next::Wait(on) => self.definition().expected(self.at().0, on),
        }
    }

    /// What an operator asks for, as events; none when it is so already.
    fn operate(
        &self,
        command: operator::Command,
        notes: operator::Notes,
        now: DateTime<Utc>,
    ) -> Result<Vec<Event>, operator::Refused>;

    /// What an operator may ask for now.
    fn supported(&self) -> Vec<operator::Verb>;
}

/// What a saga's own event tells whoever watches over sagas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    Retrying {
        step: &'static str,
        cause: &'a str,
    },
    /// An incident.
    Paused {
        step: &'static str,
        cause: &'a str,
    },
    Ended,
}

impl Event {
    pub fn notice(&self) -> Option<Notice<'_>> {
        match self {
            Event::Saga(event) => event.notice(),
            Event::Return(event) => event.notice(),
            _ => None,
        }
    }
}

/// The answer does not fit what has happened: a fault of ours, and nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Misfit {
    #[error("the order is not placed")]
    NotPlaced,
    #[error(transparent)]
    Order(#[from] order::Rejection),
    #[error(transparent)]
    Payment(#[from] payment::Rejection),
    #[error(transparent)]
    Shipment(#[from] shipment::Rejection),
    #[error(transparent)]
    Return(#[from] returns::Rejection),
    #[error("nothing waits for this answer at step {0}")]
    Unexpected(&'static str),
}

/// Which saga of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Which {
    Fulfillment,
    /// By its number, from 1.
    Return(u16),
}

/// A saga's id: `sag_…` of an order's fulfillment, `ret_…_N` of a return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SagaRef {
    pub order: OrderId,
    pub which: Which,
}

impl fmt::Display for SagaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.which {
            Which::Fulfillment => self.order.saga().fmt(f),
            Which::Return(number) => self.order.returned(number).fmt(f),
        }
    }
}

impl FromStr for SagaRef {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let of_return = |id: ReturnId| SagaRef { order: OrderId(id.order), which: Which::Return(id.number) };
        let of_order = |id: SagaId| SagaRef { order: id.order(), which: Which::Fulfillment };
        text.parse().map(of_order).or_else(|_| text.parse().map(of_return))
    }
}

/// Any of the sagas there are.
#[derive(Debug)]
pub enum AnySaga<'a> {
    Fulfillment(FulfillmentSaga<'a>),
    Return(ReturnSaga<'a>),
}

impl<'a> Deref for AnySaga<'a> {
    type Target = dyn Saga + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            AnySaga::Fulfillment(saga) => saga,
            AnySaga::Return(saga) => saga,
        }
    }
}

/// All there are: rendered into docs/sagas.md.
pub const DEFINITIONS: [&Definition; 2] = [&fulfillment::DEFINITION, &returns::DEFINITION];

/// The key of an action: the same for every retry, so that a participant acts once.
pub(crate) fn key(saga: impl fmt::Display, step: &str, direction: Direction, attempt: u32) -> String {
    format!("{saga}/{step}/{}/1/{attempt}", direction.name())
}

#[cfg(test)]
mod rendered;
