//! The fulfillment saga, a pure state machine over an order's whole history. Its table is [`DEFINITION`].
//!
//! Nothing to pay: `authorize_payment` and `capture_payment` are not there. Before the pivot a definite no, or a cancel, starts
//! compensation, which undoes in reverse; after it the saga only goes forward, and a definite no pauses it for a person. So
//! does a no to an undo, and a budget of retries that is used up.
//!
//! A step that a cancel interrupts may have acted unseen, so compensation blocks it under its forward key before anything
//! earlier is undone. Where a part of the history is lost ([`Fulfillment::has_lost_life`]), that holds for later steps too. An
//! answer counts only while its action's key is the current one: a late or repeated one changes nothing.
//! Nothing here calls anyone: `next` says what to do, `react` turns the answer into events.
use crate::{
    Decider, Event, OrderId,
    order::{CancelReason, Order, Outcome},
    payment::Payment,
    returns::Returns,
    saga::{Definition, Direction, Paused, Progress, Retry, Retrying, StepRow, Wait, WaitingOn, key},
    shipment::Shipment,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is done, in order; how it is undone, in reverse; who is waited for, and for how long when all is well.
///
/// AUTO and MANUAL are the ways in which a location works: in an AUTO one a bought label is a shipment.
pub const DEFINITION: Definition = Definition {
    saga: "fulfillment",
    version: 1,
    steps: &[
        StepRow {
            step: Step::ReserveStock.name(),
            action: "Reserve: take the balances",
            undo: "StockReleased",
            is_pivot: false,
            waits: &[Wait::of(WaitingOn::Inventory, SECOND.saturating_mul(10))],
            retry: Retry::APPEND,
        },
        StepRow {
            step: Step::AuthorizePayment.name(),
            action: "Authorize the total",
            undo: "VoidAuthorization, by id or forward key",
            is_pivot: false,
            waits: &[Wait::of(WaitingOn::Payment, SECOND.saturating_mul(30))],
            retry: Retry::CALL,
        },
        StepRow {
            step: Step::ReleaseToWarehouse.name(),
            action: "",
            undo: "FulfillmentRecalled",
            is_pivot: false,
            waits: &[],
            retry: Retry::APPEND,
        },
        StepRow {
            step: Step::Ship.name(),
            action: "AUTO: BuyLabel; MANUAL: staff report it",
            undo: "AUTO: VoidLabel, by id or forward key",
            is_pivot: true,
            waits: &[Wait::of(WaitingOn::Shipping, SECOND.saturating_mul(30)), Wait::of(WaitingOn::Warehouse, DAY)],
            retry: Retry::CALL,
        },
        StepRow {
            step: Step::CapturePayment.name(),
            action: "Capture the total",
            undo: "",
            is_pivot: false,
            waits: &[Wait::of(WaitingOn::Payment, SECOND.saturating_mul(30))],
            retry: Retry::CALL,
        },
        StepRow {
            step: Step::Complete.name(),
            action: "",
            undo: "",
            is_pivot: false,
            waits: &[],
            retry: Retry::APPEND,
        },
    ],
};

mod event;
mod forecast;
mod machine;
#[cfg(test)]
mod model;
mod next;
mod operate;
mod react;
mod request;
mod status;
mod step;
#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;

pub use event::*;
pub use forecast::Forecast;
pub use machine::FulfillmentSaga;
pub use status::OrderStatus;
pub use step::Step;

/// An order's whole history, folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fulfillment {
    pub order: Order,
    pub payment: Payment,
    pub shipment: Shipment,
    pub saga: Saga,
    pub returns: Returns,
    has_lost_life: bool,
}

/// What the saga's own events amount to.
pub type Saga = Progress<Step, CancelReason>;

impl Fulfillment {
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Fulfillment {
        let mut fulfillment = Fulfillment::default();
        for event in events {
            fulfillment.evolve(event);
        }
        fulfillment
    }

    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Order(event) => Order::evolve(&mut self.order, event),
            Event::Payment(event) => Payment::evolve(&mut self.payment, event),
            Event::Shipment(event) => Shipment::evolve(&mut self.shipment, event),
            Event::Saga(event) => evolve(&mut self.saga, event),
            Event::Return(_) | Event::Stock(_) | Event::Location(_) | Event::Person(_) => {}
        }
        self.returns.evolve(event, self.order.placed.as_deref(), self.payment.captured(), self.has_lost_life);
        // Whatever moved the order on has ended the wait, for an answer or for a person.
        if !matches!(event, Event::Saga(_)) {
            let step = self.step();
            self.saga.is_at(step);
        }
    }

    /// The log goes on in a later life than the one that it was placed in.
    pub fn lose_a_life(&mut self) {
        self.has_lost_life = true;
        self.returns.lose_a_life();
    }

    /// It was placed in a life of the log that is lost: steps may have been taken that no event tells of, beyond the current one too.
    pub fn has_lost_life(&self) -> bool {
        self.has_lost_life
    }

    /// The key of an action: the same for every retry, so that a participant acts once.
    pub fn key(&self, order: OrderId, step: Step, direction: Direction) -> String {
        key(order.saga(), step.name(), direction, self.saga.attempt(step, direction))
    }

    /// It is being undone, or will be as soon as the saga hears of the cancel: nothing new may be begun.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.saga.compensating.is_some() || (self.is_cancel_wanted() && !self.shipment.has_left())
    }

    /// By the shop, by support, or by an operator.
    fn is_cancel_wanted(&self) -> bool {
        self.order.cancel_requested || self.saga.compensation_forced
    }

    pub fn has_ended(&self) -> bool {
        self.order.outcome.is_some()
    }

    pub fn is_completed(&self) -> bool {
        self.order.outcome == Some(Outcome::Completed)
    }
}

fn evolve(saga: &mut Saga, event: &SagaEvent) {
    match event {
        SagaEvent::SagaStarted(event) => saga.definition_version = Some(event.definition_version),
        SagaEvent::StepRetrying(StepRetrying { step, direction, attempt, cause, since }) => {
            let (step, direction, attempt, since) = (*step, *direction, *attempt, *since);
            saga.retrying = Some(Retrying { step, direction, attempt, cause: cause.clone(), since });
        }
        SagaEvent::SagaPaused(SagaPaused { step, direction, attempt, cause, definite }) => {
            let (step, direction, attempt, definite) = (*step, *direction, *attempt, *definite);
            saga.pause(Paused { step, direction, attempt, cause: cause.clone(), definite });
        }
        SagaEvent::RetryRequested(_) => saga.retry(),
        SagaEvent::StepSkipped(event) => saga.skip(event.step, event.direction),
        // What was done stands in the events beside it, and they move the saga on.
        SagaEvent::StepMarkedDone(_) => {}
        SagaEvent::CompensationForced(_) => saga.compensation_forced = true,
        SagaEvent::PauseRequested(_) => saga.held = true,
        SagaEvent::ResumeRequested(_) => saga.held = false,
        SagaEvent::CompensationStarted(event) => saga.compensate(event.reason),
        SagaEvent::SagaCompleted(_) | SagaEvent::SagaCompensated(_) => saga.end(),
    }
}
