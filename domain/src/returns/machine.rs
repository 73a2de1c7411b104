//! One return as whoever drives sagas sees it: where it stands, and what it asks for next.
use super::{CloseReason, DEFINITION, Return, ReturnEvent, ReturnStep};
use crate::{
    Event, OrderId,
    fulfillment::Fulfillment,
    order::OrderPlaced,
    saga::{
        Action, Context, Definition, Direction, Misfit, Move, Next, Notice, Reply, Saga, SagaState, WaitingOn, key,
        operator::{Command, Notes, Refused, Verb},
    },
};
use chrono::{DateTime, Utc};

/// One return of an order.
#[derive(Clone, Copy, Debug)]
pub struct ReturnSaga<'a> {
    pub order: OrderId,
    /// The order's whole history.
    pub state: &'a Fulfillment,
    pub this: &'a Return,
}

/// A move that needs no participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Internal {
    StartCompensation(CloseReason),
    PutAway,
    Close(CloseReason),
}

/// An action that is not made yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call<'a> {
    BuyLabel,
    VoidLabel,
    /// Of this capture.
    Refund(&'a OrderPlaced, &'a str),
}

impl Call<'_> {
    fn waiting_on(self) -> WaitingOn {
        match self {
            Call::BuyLabel | Call::VoidLabel => WaitingOn::Shipping,
            Call::Refund(..) => WaitingOn::Payment,
        }
    }
}

impl<'a> ReturnSaga<'a> {
    /// The key of an action: the same for every retry, so that a participant acts once.
    pub(super) fn key(&self, step: ReturnStep, direction: Direction) -> String {
        let id = self.order.returned(self.this.number);
        key(id, step.name(), direction, self.this.saga.attempt(step, direction))
    }

    pub(super) fn next_move(&self) -> Move<Internal, Call<'a>> {
        let (this, saga) = (self.this, &self.this.saga);
        let wait = |on| Move::External(Next::Wait(on));
        match () {
            () if this.has_ended() => Move::External(Next::Ended),
            () if !this.is_of_this_build() => wait(WaitingOn::Definition),
            () if saga.held => wait(WaitingOn::Operator),
            () if saga.compensating.is_none() && this.is_interrupted() => {
                let reason = if this.rejected { CloseReason::Rejected } else { CloseReason::Requested };
                Move::Internal(Internal::StartCompensation(reason))
            }
            () if saga.paused.is_some() => wait(WaitingOn::Operator),
            () => match saga.compensating {
                Some(reason) => self.next_undo(reason),
                None => self.next_forward(),
            },
        }
    }

    fn next_forward(&self) -> Move<Internal, Call<'a>> {
        Move::External(match self.this.step() {
            ReturnStep::Approve => Next::Wait(WaitingOn::Support),
            ReturnStep::BuyLabel => Next::Act(Call::BuyLabel),
            ReturnStep::Receive | ReturnStep::Inspect => Next::Wait(WaitingOn::Warehouse),
            ReturnStep::Refund => match (self.state.payment.capture_id(), &self.state.order.placed) {
                (Some(capture_id), Some(placed)) => Next::Act(Call::Refund(placed, capture_id)),
                // More than nothing is due only of what was captured.
                _ => Next::Wait(WaitingOn::Operator),
            },
            ReturnStep::PutAway => return Move::Internal(Internal::PutAway),
        })
    }

    fn next_undo(&self, reason: CloseReason) -> Move<Internal, Call<'a>> {
        if !self.this.label_may_be_bought() {
            return Move::Internal(Internal::Close(reason));
        }
        Move::External(Next::Act(Call::VoidLabel))
    }

    fn action(&self, call: Call<'_>) -> Action {
        match call {
            Call::BuyLabel => Action::BuyReturnLabel {
                key: self.key(ReturnStep::BuyLabel, Direction::Forward),
                lines: u32::try_from(self.this.wanted.len()).unwrap_or(u32::MAX),
                pieces: self.this.wanted.iter().map(|line| line.quantity).sum(),
            },
            Call::VoidLabel => Action::VoidLabel {
                key: self.key(ReturnStep::BuyLabel, Direction::Compensate),
                forward_key: self.key(ReturnStep::BuyLabel, Direction::Forward),
                label_id: self.this.label.as_ref().map(|label| label.label_id.clone()),
            },
            Call::Refund(placed, capture_id) => Action::Refund {
                key: self.key(ReturnStep::Refund, Direction::Forward),
                capture_id: capture_id.to_owned(),
                amount: self.this.due(),
                currency: placed.currency.clone(),
            },
        }
    }
}

impl ReturnEvent {
    pub(crate) fn notice(&self) -> Option<Notice<'_>> {
        Some(match self {
            ReturnEvent::ReturnStepRetrying(event) => Notice::Retrying { step: event.step.name(), cause: &event.cause },
            ReturnEvent::ReturnPaused(event) => Notice::Paused { step: event.step.name(), cause: &event.cause },
            ReturnEvent::ReturnCompleted(_) | ReturnEvent::ReturnClosed(_) => Notice::Ended,
            _ => return None,
        })
    }
}

impl Saga for ReturnSaga<'_> {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn next(&self) -> Next {
        self.next_move().next().map(|call| self.action(call))
    }

    fn plan(&self) -> Next<WaitingOn> {
        self.next_move().next().map(Call::waiting_on)
    }

    fn react(&self, answered: Option<&Action>, reply: Reply, context: &Context) -> Result<Vec<Event>, Misfit> {
        self.answered(answered, reply, context)
    }

    fn at(&self) -> (&'static str, Direction, u32) {
        let step = self.this.step();
        let (direction, attempt) = self.this.saga.current(step);
        (step.name(), direction, attempt)
    }

    fn state(&self) -> SagaState {
        self.this.saga_state()
    }

    fn retrying(&self) -> Option<(&str, DateTime<Utc>)> {
        self.this.saga.retrying.as_ref().map(|retrying| (retrying.cause.as_str(), retrying.since))
    }

    fn cause(&self) -> Option<&str> {
        self.this.saga.cause()
    }

    fn remaining_steps(&self) -> Vec<&'static str> {
        self.this.remaining_steps().into_iter().map(ReturnStep::name).collect()
    }

    fn undone_by(&self, action: &Action) -> Vec<(WaitingOn, String)> {
        match action {
            Action::BuyReturnLabel { .. } => {
                vec![(WaitingOn::Shipping, self.key(ReturnStep::BuyLabel, Direction::Compensate))]
            }
            _ => vec![],
        }
    }

    fn operate(&self, command: Command, notes: Notes, now: DateTime<Utc>) -> Result<Vec<Event>, Refused> {
        self.operated(command, notes, now)
    }

    fn supported(&self) -> Vec<Verb> {
        self.verbs()
    }
}
