//! The return saga, a pure state machine over an order's whole history: goods that have left come back, and money with them. Its table is
//! [`DEFINITION`].
//!
//! An order may have several returns, one after the other or at once; each is a saga of its own, known by its number. Their events lie in
//! one stream of the order, so that two can never take back the same piece, or give back more than was taken.
//!
//! Until goods are received a return can be cancelled: then its label is given back. From there on it goes only forward: what is accepted is
//! refunded, and restocked or written off; what is refused is not. Nothing to refund: `refund` is not there.
use crate::{
    Amount, Event,
    order::OrderPlaced,
    payment::PaymentEvent,
    saga::{Definition, Progress, Retry, StepRow, Wait, WaitingOn},
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is done, in order; how it is undone, in reverse; who is waited for, and for how long when all is well.
pub const DEFINITION: Definition = Definition {
    saga: "return",
    version: 1,
    steps: &[
        StepRow {
            step: ReturnStep::Approve.name(),
            action: "support approves or rejects it",
            undo: "",
            is_pivot: false,
            waits: &[Wait::of(WaitingOn::Support, DAY.saturating_mul(2))],
            retry: Retry::APPEND,
        },
        StepRow {
            step: ReturnStep::BuyLabel.name(),
            action: "BuyLabel, to send it back with",
            undo: "VoidLabel, by id or forward key",
            is_pivot: false,
            waits: &[Wait::of(WaitingOn::Shipping, SECOND.saturating_mul(30))],
            retry: Retry::CALL,
        },
        StepRow {
            step: ReturnStep::Receive.name(),
            action: "staff report it",
            undo: "",
            is_pivot: true,
            waits: &[Wait::of(WaitingOn::Warehouse, DAY.saturating_mul(21))],
            retry: Retry::APPEND,
        },
        StepRow {
            step: ReturnStep::Inspect.name(),
            action: "staff report it",
            undo: "",
            is_pivot: false,
            waits: &[Wait::of(WaitingOn::Warehouse, DAY.saturating_mul(2))],
            retry: Retry::APPEND,
        },
        StepRow {
            step: ReturnStep::Refund.name(),
            action: "Refund what is accepted",
            undo: "",
            is_pivot: false,
            waits: &[Wait::of(WaitingOn::Payment, SECOND.saturating_mul(30))],
            retry: Retry::CALL,
        },
        StepRow {
            step: ReturnStep::PutAway.name(),
            action: "Restock: give the balances back; or write off",
            undo: "",
            is_pivot: false,
            waits: &[],
            retry: Retry::APPEND,
        },
    ],
};

mod event;
mod machine;
mod operate;
mod react;
mod refund;
mod request;
mod state;
mod step;
#[cfg(test)]
mod tests;

pub use event::*;
pub use machine::ReturnSaga;
pub use refund::RefundedLine;
pub use request::{Command, LineFault, Rejection};
pub use state::{Return, Stage};
pub use step::ReturnStep;

/// What the saga's own events of one return amount to.
pub type ReturnProgress = Progress<ReturnStep, CloseReason>;

/// The most returns an order may have.
pub const MAX_RETURNS: u16 = 100;

/// An order's returns, by number from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Returns(Vec<Return>);

impl Returns {
    pub fn iter(&self) -> impl Iterator<Item = &Return> {
        self.0.iter()
    }

    pub fn one(&self, number: u16) -> Option<&Return> {
        self.0.get(usize::from(number.checked_sub(1)?))
    }

    /// Of the one that is asked for next.
    pub fn next_number(&self) -> u16 {
        self.0.iter().map(|other| other.number).max().unwrap_or(0) + 1
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn lose_a_life(&mut self) {
        self.0.iter_mut().for_each(|one| one.has_lost_life = true);
    }

    /// `placed` and `captured`: the order, and what was taken for it.
    pub(crate) fn evolve(
        &mut self,
        event: &Event,
        placed: Option<&OrderPlaced>,
        captured: Amount,
        has_lost_life: bool,
    ) {
        if let Event::Return(ReturnEvent::ReturnRequested(event)) = event {
            self.0.push(Return::requested(event, has_lost_life));
            return;
        }
        let number = match event {
            Event::Return(event) => Some(event.number()),
            Event::Payment(PaymentEvent::PaymentRefunded(event)) => Some(event.return_number),
            _ => None,
        };
        let at = number.and_then(|number| usize::from(number).checked_sub(1));
        if let Some(found) = at.and_then(|at| self.0.get_mut(at)) {
            found.evolve(event);
        }
        if let (Event::Return(ReturnEvent::ReturnInspected(event)), Some(placed)) = (event, placed) {
            let due = refund::refundable(placed, captured, self, event.number);
            if let Some(found) = at.and_then(|at| self.0.get_mut(at)) {
                found.to_refund = due;
            }
        }
    }
}
