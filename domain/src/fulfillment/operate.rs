//! What operators may do to a fulfillment, decided with its whole history in view.
use super::{
    CompensationForced, Fulfillment, PauseRequested, ResumeRequested, RetryRequested, Step, StepMarkedDone,
    StepSkipped, react::Run,
};
use crate::{
    Event, OrderId,
    location::{self, LocationMode},
    order::OrderPlaced,
    saga::{
        Context, Direction, Misfit, Reply,
        operator::{Command, Done, Notes, Refused, Verb},
    },
    shipment::{self, Parcel},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;

/// What is written down of an authorization that was made elsewhere: nobody told us how long it lasts.
const AUTHORIZATION_LASTS: TimeDelta = TimeDelta::days(7);

impl Fulfillment {
    /// The verbs that [`Fulfillment::operate`] takes now.
    pub fn supported(&self) -> Vec<Verb> {
        let is_there = self.order.placed.is_some() && !self.has_ended() && self.is_of_this_build();
        let allows = |verb: &Verb| match verb {
            Verb::Retry => self.saga.paused.is_some(),
            Verb::Skip => self.saga.is_stuck() && self.may_be_skipped(),
            Verb::MarkDone => self.saga.is_stuck() && self.may_be_done_elsewhere(),
            Verb::Compensate => !self.is_interrupted() && !self.shipment.has_left(),
            Verb::Pause => !self.saga.held,
            Verb::Resume => self.saga.held,
        };
        Verb::ALL.into_iter().filter(|verb| is_there && allows(verb)).collect()
    }

    /// The events of a verb; none when it is so already.
    pub fn operate(
        &self,
        order: OrderId,
        command: Command,
        notes: Notes,
        now: DateTime<Utc>,
    ) -> Result<Vec<Event>, Refused> {
        let verb = command.verb();
        let is_so = match verb {
            Verb::Compensate => self.is_interrupted(),
            Verb::Pause => self.saga.held,
            Verb::Retry | Verb::Skip | Verb::MarkDone | Verb::Resume => false,
        };
        if is_so && !self.has_ended() {
            return Ok(vec![]);
        }
        if verb == Verb::Compensate && self.shipment.has_left() {
            return Err(Refused::AlreadyShipped);
        }
        let placed = match &self.order.placed {
            Some(placed) if self.supported().contains(&verb) => Arc::clone(placed),
            _ => return Err(self.refused(verb)),
        };
        let (note_id, step) = (notes.reason, self.step());
        let (direction, attempt) = self.saga.current(step);
        Ok(match command {
            Command::Retry => vec![RetryRequested { note_id }.into()],
            Command::Skip => {
                vec![StepSkipped { step, direction, attempt, note_id, evidence_id: notes.evidence }.into()]
            }
            Command::MarkDone(done) => self.marked_done(order, placed, done, note_id, now)?,
            Command::Compensate => vec![CompensationForced { note_id }.into()],
            Command::Pause => vec![PauseRequested { note_id }.into()],
            Command::Resume => vec![ResumeRequested { note_id }.into()],
        })
    }

    /// Nothing that comes later needs it.
    fn may_be_skipped(&self) -> bool {
        use Direction::{Compensate, Forward};
        matches!(
            (self.step(), self.saga.direction()),
            (Step::CapturePayment, Forward) | (Step::AuthorizePayment | Step::Ship, Compensate)
        )
    }

    /// A participant does it, so that someone else may have done it. What is about to be undone is not done any more.
    fn may_be_done_elsewhere(&self) -> bool {
        let is_call = matches!(self.step(), Step::AuthorizePayment | Step::Ship | Step::CapturePayment);
        is_call && (self.saga.compensating.is_some() || !self.is_interrupted())
    }

    fn refused(&self, verb: Verb) -> Refused {
        let (step, state) = (self.step().name(), self.saga_state().name());
        Refused::NotAllowed(match verb {
            _ if self.has_ended() => format!("the saga has ended: it is {state}"),
            _ if !self.is_of_this_build() => {
                "the saga began under a definition that this build does not know".to_owned()
            }
            Verb::Retry => format!("the saga is {state}; only one that an incident has paused waits to be tried again"),
            Verb::Resume => format!("the saga is {state}; only one that an operator has paused can be resumed"),
            Verb::Skip if self.saga.is_stuck() => format!("{step} can't be passed over: what comes later needs it"),
            Verb::MarkDone if self.saga.is_stuck() => format!("{step} can't have been done elsewhere"),
            Verb::Skip | Verb::MarkDone => format!("the saga is {state}: no step of it has stopped"),
            Verb::Compensate | Verb::Pause => format!("the saga is {state}"),
        })
    }

    fn marked_done(
        &self,
        order: OrderId,
        placed: Arc<OrderPlaced>,
        done: Done,
        note_id: Option<uuid::Uuid>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Event>, Refused> {
        let step = self.step();
        let (direction, attempt) = self.saga.current(step);
        let Done { reference, carrier } = done;
        // Nothing is released here, so the location is not looked at.
        let context = Context { now, location: location::MAIN.into(), location_mode: LocationMode::Manual };
        let total = placed.total;
        let mut run = Run::new(order, placed, &context, self.clone());
        run.emit(StepMarkedDone { step, direction, attempt, reference: reference.clone(), note_id });
        let told: Result<(), Misfit> = match (step, direction) {
            (Step::AuthorizePayment, Direction::Forward) => run.answer(Reply::Authorized {
                authorization_id: reference,
                amount: total,
                expires_at: now + AUTHORIZATION_LASTS,
            }),
            (Step::AuthorizePayment, Direction::Compensate) => run.answer(Reply::AuthorizationVoided),
            (Step::Ship, Direction::Forward) => {
                let parcel = Parcel { weight_grams: None, carrier, tracking_number: Some(reference), label_id: None };
                run.shipment(shipment::Command::Ship { lines: None, parcels: vec![parcel] })
            }
            (Step::Ship, Direction::Compensate) => run.answer(Reply::LabelVoided),
            (Step::CapturePayment, _) => run.answer(Reply::Captured { capture_id: reference, amount: total }),
            (other, _) => Err(Misfit::Unexpected(other.name())),
        };
        told.map_err(|misfit| Refused::NotAllowed(misfit.to_string()))?;
        Ok(run.into_events())
    }
}
