//! What a return's events amount to.
use super::{
    CloseReason, InspectedLine, RefundedLine, ReturnEvent, ReturnLine, ReturnProgress, ReturnRequested, ReturnStep,
};
use crate::{
    Amount, Event, LineId,
    payment::PaymentEvent,
    saga::{Direction, Paused, Retrying, SagaState},
    shipment::Label,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    pub number: u16,
    pub wanted: Vec<ReturnLine>,
    pub approved: bool,
    pub rejected: bool,
    pub cancel_requested: bool,
    /// Bought, and not voided.
    pub label: Option<Label>,
    pub label_voided: bool,
    pub received: Option<Vec<ReturnLine>>,
    pub inspected: Option<Vec<InspectedLine>>,
    /// What is to be given back for which line, since it was inspected.
    pub to_refund: Vec<RefundedLine>,
    pub refunded: Option<Amount>,
    /// The provider's own reference of that.
    pub refund_id: Option<String>,
    pub closed: Option<CloseReason>,
    pub completed: bool,
    pub saga: ReturnProgress,
    /// It may have been approved, and a label bought, where no event tells of it: see [`has_lost_life`](crate::fulfillment::Fulfillment::has_lost_life).
    pub(super) has_lost_life: bool,
}

/// How far a return has come, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Requested,
    Approved,
    /// The customer can send it.
    InTransit,
    Received,
    Inspected,
    Refunded,
    Completed,
    Closing,
    Closed,
}

impl Stage {
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Requested => "REQUESTED",
            Stage::Approved => "APPROVED",
            Stage::InTransit => "IN_TRANSIT",
            Stage::Received => "RECEIVED",
            Stage::Inspected => "INSPECTED",
            Stage::Refunded => "REFUNDED",
            Stage::Completed => "COMPLETED",
            Stage::Closing => "CLOSING",
            Stage::Closed => "CLOSED",
        }
    }
}

impl Return {
    pub(super) fn requested(event: &ReturnRequested, has_lost_life: bool) -> Return {
        let saga = ReturnProgress::begun(event.definition_version);
        Return {
            number: event.number,
            wanted: event.lines.clone(),
            approved: false,
            rejected: false,
            cancel_requested: false,
            label: None,
            label_voided: false,
            received: None,
            inspected: None,
            to_refund: vec![],
            refunded: None,
            refund_id: None,
            closed: None,
            completed: false,
            saga,
            has_lost_life,
        }
    }

    pub(super) fn evolve(&mut self, event: &Event) {
        match event {
            Event::Payment(PaymentEvent::PaymentRefunded(event)) => {
                self.refunded = Some(event.amount);
                self.refund_id = Some(event.refund_id.clone());
            }
            Event::Return(event) => self.take_in(event),
            _ => {}
        }
        self.saga.is_at(self.step());
    }

    fn take_in(&mut self, event: &ReturnEvent) {
        match event {
            ReturnEvent::ReturnRequested(_) => {}
            ReturnEvent::ReturnApproved(_) => self.approved = true,
            ReturnEvent::ReturnRejected(_) => self.rejected = true,
            ReturnEvent::ReturnCancelRequested(_) => self.cancel_requested = true,
            ReturnEvent::ReturnLabelPurchased(event) => self.label = Some(event.label.clone()),
            ReturnEvent::ReturnLabelVoided(_) => {
                self.label = None;
                self.label_voided = true;
            }
            ReturnEvent::ReturnReceived(event) => self.received = Some(event.lines.clone()),
            ReturnEvent::ReturnInspected(event) => self.inspected = Some(event.lines.clone()),
            ReturnEvent::ReturnRestocked(_) | ReturnEvent::ReturnWrittenOff(_) => {}
            ReturnEvent::ReturnCompleted(_) => {
                self.completed = true;
                self.saga.end();
            }
            ReturnEvent::ReturnCompensationStarted(event) => self.saga.compensate(event.reason),
            ReturnEvent::ReturnClosed(event) => {
                self.closed = Some(event.reason);
                self.saga.end();
            }
            ReturnEvent::ReturnStepRetrying(event) => {
                let (step, direction, attempt, since) = (event.step, event.direction, event.attempt, event.since);
                self.saga.retrying = Some(Retrying { step, direction, attempt, cause: event.cause.clone(), since });
            }
            ReturnEvent::ReturnPaused(event) => {
                let (step, direction, attempt, definite) = (event.step, event.direction, event.attempt, event.definite);
                self.saga.pause(Paused { step, direction, attempt, cause: event.cause.clone(), definite });
            }
            ReturnEvent::ReturnRetryRequested(_) => self.saga.retry(),
            ReturnEvent::ReturnStepSkipped(event) => self.saga.skip(event.step, event.direction),
            // What was done stands in the events beside it.
            ReturnEvent::ReturnStepMarkedDone(_) => {}
            ReturnEvent::ReturnPauseRequested(_) => self.saga.held = true,
            ReturnEvent::ReturnResumeRequested(_) => self.saga.held = false,
        }
    }

    pub fn has_ended(&self) -> bool {
        self.saga.ended
    }

    /// Nothing comes back, or will as soon as the saga hears of it.
    pub fn is_interrupted(&self) -> bool {
        self.saga.compensating.is_some() || ((self.cancel_requested || self.rejected) && self.received.is_none())
    }

    /// A label may have been bought for it, and is not given back.
    pub(super) fn label_may_be_bought(&self) -> bool {
        (self.approved || self.has_lost_life)
            && !self.label_voided
            && !self.saga.is_skipped(ReturnStep::BuyLabel, Direction::Compensate)
    }

    /// The step it is at; while it is undone, the step that it undoes.
    pub fn step(&self) -> ReturnStep {
        if self.saga.compensating.is_some() && !self.has_ended() {
            return if self.label_may_be_bought() { ReturnStep::BuyLabel } else { ReturnStep::Approve };
        }
        let has_label = self.label.is_some() || self.saga.is_skipped(ReturnStep::BuyLabel, Direction::Forward);
        match () {
            () if self.has_ended() => ReturnStep::PutAway,
            () if !self.approved => ReturnStep::Approve,
            () if self.inspected.is_some() => match self.refunded {
                None if self.must_refund() => ReturnStep::Refund,
                _ => ReturnStep::PutAway,
            },
            () if self.received.is_some() => ReturnStep::Inspect,
            () if !has_label => ReturnStep::BuyLabel,
            () => ReturnStep::Receive,
        }
    }

    fn must_refund(&self) -> bool {
        !self.to_refund.is_empty() && !self.saga.is_skipped(ReturnStep::Refund, Direction::Forward)
    }

    /// What is to be given back in all.
    pub fn due(&self) -> Amount {
        self.to_refund.iter().map(|line| line.amount).sum()
    }

    /// What the customer gets, or got, back for it; known once it is inspected.
    pub fn refund(&self) -> Option<Amount> {
        let is_due = self.step() == ReturnStep::Refund;
        self.refunded.or_else(|| self.inspected.as_ref().map(|_| if is_due { self.due() } else { Amount::ZERO }))
    }

    /// Pieces of a line that were taken back.
    pub(super) fn accepted(&self, line_id: &LineId) -> i64 {
        let lines = self.inspected.iter().flatten().filter(|line| line.line_id == *line_id);
        lines.map(InspectedLine::accepted).sum()
    }

    /// Pieces of a line that this return keeps from being returned again.
    pub(super) fn taken(&self, line_id: &LineId) -> i64 {
        match (&self.inspected, &self.received) {
            _ if self.closed.is_some() => 0,
            (Some(_), _) => self.accepted(line_id),
            (None, Some(received)) => pieces(received, line_id),
            (None, None) => pieces(&self.wanted, line_id),
        }
    }

    pub fn stage(&self) -> Stage {
        match () {
            () if self.closed.is_some() => Stage::Closed,
            () if self.completed => Stage::Completed,
            () if self.is_interrupted() => Stage::Closing,
            () if self.refunded.is_some() => Stage::Refunded,
            () if self.inspected.is_some() => Stage::Inspected,
            () if self.received.is_some() => Stage::Received,
            () if self.step() == ReturnStep::Receive => Stage::InTransit,
            () if self.approved => Stage::Approved,
            () => Stage::Requested,
        }
    }

    pub fn saga_state(&self) -> SagaState {
        let waits = matches!(self.step(), ReturnStep::Approve | ReturnStep::Receive | ReturnStep::Inspect);
        match () {
            () if self.completed => SagaState::Completed,
            () if self.closed.is_some() => SagaState::Compensated,
            () if self.saga.is_stopped() => SagaState::Paused,
            () if !self.is_of_this_build() => SagaState::Waiting,
            () if self.saga.compensating.is_some() => SagaState::Compensating,
            () if self.saga.retrying.is_some() || waits => SagaState::Waiting,
            () => SagaState::Running,
        }
    }

    pub(super) fn is_of_this_build(&self) -> bool {
        self.saga.definition_version == Some(super::DEFINITION.version)
    }

    /// The steps still to be taken (or, while it is undone, still to be undone), the current one first.
    pub fn remaining_steps(&self) -> Vec<ReturnStep> {
        let current = self.step();
        let left = |step: &ReturnStep| *step != ReturnStep::Refund || self.inspected.is_none() || self.must_refund();
        match () {
            () if self.has_ended() => vec![],
            () if self.saga.compensating.is_some() => vec![current],
            () => ReturnStep::ALL.into_iter().filter(|step| *step >= current).filter(left).collect(),
        }
    }
}

impl InspectedLine {
    /// Pieces that are taken back.
    pub fn accepted(&self) -> i64 {
        self.restock + self.write_off
    }
}

pub(super) fn pieces(lines: &[ReturnLine], line_id: &LineId) -> i64 {
    lines.iter().filter(|line| line.line_id == *line_id).map(|line| line.quantity).sum()
}
