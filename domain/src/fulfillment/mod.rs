//! The fulfillment saga, version 1: a pure state machine over an order's whole history.
//!
//! | step                   | action                       | undo                                      | waits on            | expected |
//! |------------------------|------------------------------|-------------------------------------------|---------------------|----------|
//! | `reserve_stock`        | `Reserve`: take the balances | `StockReleased`                           | inventory           | 10 s     |
//! | `authorize_payment`    | `Authorize` the total        | `VoidAuthorization`, by id or forward key | payment             | 30 s     |
//! | `release_to_warehouse` | – (`FulfillmentReleased`)    | `FulfillmentRecalled`                     | –                   | 10 s     |
//! | `ship` (the pivot)     | AUTO: `BuyLabel`; MANUAL: –  | AUTO: `VoidLabel`, by id or forward key   | shipping, warehouse | a day    |
//! | `capture_payment`      | `Capture` the total          | – (only forward from the pivot)           | payment             | 30 s     |
//! | `complete`             | – (`OrderCompleted`)         | –                                         | –                   | 10 s     |
//!
//! Nothing to pay: `authorize_payment` and `capture_payment` are not there. Before the pivot a definite no, or a cancel, starts
//! compensation, which undoes in reverse; after it the saga only goes forward, and a definite no pauses it for a person. So
//! does a no to an undo, and a budget of retries that is used up.
//!
//! A step that a cancel interrupts may have acted unseen, so compensation blocks it under its forward key before anything
//! earlier is undone. An answer counts only while its action's key is the current one: a late or repeated one changes nothing.
//! Nothing here calls anyone: `next` says what to do, `react` turns the answer into events.
mod action;
mod event;
#[cfg(test)]
mod model;
mod next;
mod react;
mod request;
mod status;
mod step;
#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;

pub use action::{Action, Context, Next, Reply, WaitingOn};
pub use event::*;
pub use react::Misfit;
pub use status::{OrderStatus, SagaState};
pub use step::Step;

use crate::{
    Decider, Event, OrderId,
    order::{CancelReason, Order, Outcome},
    payment::Payment,
    shipment::Shipment,
};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// The definition a new saga begins with.
pub const DEFINITION_VERSION: u32 = 1;

/// An order's whole history, folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fulfillment {
    pub order: Order,
    pub payment: Payment,
    pub shipment: Shipment,
    pub saga: Saga,
}

/// What the saga's own events amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saga {
    pub definition_version: Option<u32>,
    pub compensating: Option<CancelReason>,
    pub paused: Option<SagaPaused>,
    pub retrying: Option<Retrying>,
    /// How often each step was given a new attempt, beyond the first.
    attempts: BTreeMap<(Step, bool), u32>,
    pub ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retrying {
    pub step: Step,
    pub direction: Direction,
    pub attempt: u32,
    pub cause: String,
    pub since: DateTime<Utc>,
}

impl Saga {
    /// The attempt a step is at, from 1. It rises only when a person lets it try again after a definite no.
    pub fn attempt(&self, step: Step, direction: Direction) -> u32 {
        1 + self.attempts.get(&(step, direction == Direction::Compensate)).copied().unwrap_or(0)
    }
}

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
            Event::Saga(event) => self.saga.evolve(event),
            Event::Stock(_) | Event::Location(_) | Event::Person(_) => {}
        }
        // Whatever moved the order on has ended the wait, for an answer or for a person.
        if !matches!(event, Event::Saga(_)) {
            let step = self.step();
            self.saga.retrying.take_if(|retrying| retrying.step != step);
            self.saga.paused.take_if(|paused| paused.step != step);
        }
    }

    /// The key of an action: the same for every retry, so that a participant acts once.
    pub fn key(&self, order: OrderId, step: Step, direction: Direction) -> String {
        let attempt = self.saga.attempt(step, direction);
        format!("{}/{}/{}/1/{attempt}", order.saga(), step.name(), direction.name())
    }

    /// Which way it goes now.
    pub fn direction(&self) -> Direction {
        if self.saga.compensating.is_some() { Direction::Compensate } else { Direction::Forward }
    }

    /// It is being undone, or will be as soon as the saga hears of the cancel: nothing new may be begun.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.saga.compensating.is_some() || (self.order.cancel_requested && !self.shipment.has_left())
    }

    pub fn has_ended(&self) -> bool {
        self.order.outcome.is_some()
    }

    pub fn is_completed(&self) -> bool {
        self.order.outcome == Some(Outcome::Completed)
    }
}

impl Saga {
    fn evolve(&mut self, event: &SagaEvent) {
        match event {
            SagaEvent::SagaStarted(event) => self.definition_version = Some(event.definition_version),
            SagaEvent::StepRetrying(event) => {
                self.retrying = Some(Retrying {
                    step: event.step,
                    direction: event.direction,
                    attempt: event.attempt,
                    cause: event.cause.clone(),
                    since: event.since,
                });
            }
            SagaEvent::SagaPaused(event) => {
                self.retrying = None;
                self.paused = Some(event.clone());
            }
            SagaEvent::RetryRequested(_) => {
                if let Some(paused) = self.paused.take()
                    && paused.definite
                {
                    *self.attempts.entry((paused.step, paused.direction == Direction::Compensate)).or_default() += 1;
                }
            }
            SagaEvent::CompensationStarted(event) => {
                self.compensating = Some(event.reason);
                self.paused = None;
                self.retrying = None;
            }
            SagaEvent::SagaCompleted(_) | SagaEvent::SagaCompensated(_) => {
                self.ended = true;
                self.retrying = None;
                self.paused = None;
            }
        }
    }
}
