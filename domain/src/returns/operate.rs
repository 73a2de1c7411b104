//! What operators may do to a return.
use super::{
    ReturnCancelRequested, ReturnPauseRequested, ReturnResumeRequested, ReturnRetryRequested, ReturnSaga, ReturnStep,
    ReturnStepMarkedDone, ReturnStepSkipped,
};
use crate::{
    Event,
    saga::{
        Direction, Reply,
        operator::{Command, Done, Notes, Refused, Verb},
    },
    shipment::Label,
};
use chrono::{DateTime, Utc};

impl ReturnSaga<'_> {
    pub(super) fn verbs(&self) -> Vec<Verb> {
        let (this, saga) = (self.this, &self.this.saga);
        let is_call = matches!(this.step(), ReturnStep::BuyLabel | ReturnStep::Refund);
        let may_go_on = saga.compensating.is_some() || !this.is_interrupted();
        let allows = |verb: &Verb| match verb {
            Verb::Retry => saga.paused.is_some(),
            Verb::Skip | Verb::MarkDone => saga.is_stuck() && is_call && may_go_on,
            Verb::Compensate => !this.is_interrupted() && this.received.is_none(),
            Verb::Pause => !saga.held,
            Verb::Resume => saga.held,
        };
        let is_there = !this.has_ended() && this.is_of_this_build();
        Verb::ALL.into_iter().filter(|verb| is_there && allows(verb)).collect()
    }

    pub(super) fn operated(&self, command: Command, notes: Notes, now: DateTime<Utc>) -> Result<Vec<Event>, Refused> {
        let (this, verb) = (self.this, command.verb());
        let is_so = match verb {
            Verb::Compensate => this.is_interrupted(),
            Verb::Pause => this.saga.held,
            Verb::Retry | Verb::Skip | Verb::MarkDone | Verb::Resume => false,
        };
        if is_so && !this.has_ended() {
            return Ok(vec![]);
        }
        if !self.verbs().contains(&verb) {
            let (step, state) = (this.step().name(), this.saga_state().name());
            return Err(Refused::NotAllowed(format!("the return is {state} at {step}, which does not allow {verb}")));
        }
        let (number, note_id, step) = (this.number, notes.reason, this.step());
        let (direction, attempt) = this.saga.current(step);
        Ok(match command {
            Command::Retry => vec![ReturnRetryRequested { number, note_id }.into()],
            Command::Skip => {
                let evidence_id = notes.evidence;
                vec![ReturnStepSkipped { number, step, direction, attempt, note_id, evidence_id }.into()]
            }
            Command::Compensate => vec![ReturnCancelRequested { number, note_id }.into()],
            Command::Pause => vec![ReturnPauseRequested { number, note_id }.into()],
            Command::Resume => vec![ReturnResumeRequested { number, note_id }.into()],
            Command::MarkDone(Done { reference, carrier }) => {
                let mut run = self.run(now);
                let told = reference.clone();
                run.emit(ReturnStepMarkedDone { number, step, direction, attempt, reference: told, note_id });
                let reply = match (step, direction) {
                    (ReturnStep::Refund, _) => Reply::Refunded { refund_id: reference, amount: this.due() },
                    (_, Direction::Compensate) => Reply::LabelVoided,
                    (_, Direction::Forward) => Reply::LabelBought(Label {
                        key: self.key(step, direction),
                        label_id: reference.clone(),
                        carrier: carrier.unwrap_or_default(),
                        tracking_number: reference,
                    }),
                };
                run.answer(reply).map_err(|misfit| Refused::NotAllowed(misfit.to_string()))?;
                run.events
            }
        })
    }
}
