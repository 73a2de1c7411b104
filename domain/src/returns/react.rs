//! Turns an answer into events: what the answer means, and every move after it that needs nobody, for one append.
use super::{
    CloseReason, PutAway, ReturnClosed, ReturnCompensationStarted, ReturnCompleted, ReturnLabelPurchased,
    ReturnLabelVoided, ReturnPaused, ReturnRestocked, ReturnSaga, ReturnStep, ReturnStepRetrying, ReturnWrittenOff,
    machine::Internal,
};
use crate::{
    Amount, Decider, Event, OrderId,
    fulfillment::Fulfillment,
    payment::{self, Payment, PaymentRefunded},
    saga::{Action, Context, Direction, Misfit, Move, Paused, Reply},
};
use chrono::{DateTime, Utc};

impl ReturnSaga<'_> {
    pub(super) fn answered(
        &self,
        answered: Option<&Action>,
        reply: Reply,
        context: &Context,
    ) -> Result<Vec<Event>, Misfit> {
        if self.this.has_ended() {
            return Ok(vec![]);
        }
        let current = self.key(self.this.step(), self.this.saga.direction());
        let is_awaited = answered.is_some_and(|action| action.key() == Some(&current));
        let mut run = self.run(context.now);
        run.answer(if is_awaited { reply } else { Reply::Nothing })?;
        run.advance()?;
        Ok(run.events)
    }

    pub(super) fn run(&self, now: DateTime<Utc>) -> Run {
        Run { order: self.order, number: self.this.number, now, state: self.state.clone(), events: vec![] }
    }
}

pub(super) struct Run {
    order: OrderId,
    number: u16,
    now: DateTime<Utc>,
    state: Fulfillment,
    pub(super) events: Vec<Event>,
}

impl Run {
    pub(super) fn emit(&mut self, event: impl Into<Event>) {
        let event = event.into();
        self.state.evolve(&event);
        self.events.push(event);
    }

    fn saga(&self) -> Result<ReturnSaga<'_>, Misfit> {
        self.state.return_saga(self.order, self.number).ok_or(Misfit::NotPlaced)
    }

    pub(super) fn answer(&mut self, reply: Reply) -> Result<(), Misfit> {
        let saga = self.saga()?;
        let (number, step, progress) = (self.number, saga.this.step(), &saga.this.saga);
        match (reply, progress.direction(), step) {
            (Reply::Nothing, ..) => {}
            (Reply::LabelBought(label), ..) => self.emit(ReturnLabelPurchased { number, label }),
            (Reply::LabelVoided, Direction::Compensate, _) => {
                let key = saga.key(ReturnStep::BuyLabel, Direction::Compensate);
                let label_id = saga.this.label.as_ref().map(|label| label.label_id.clone());
                self.emit(ReturnLabelVoided { number, key, label_id });
            }
            (Reply::Refunded { refund_id, amount }, _, ReturnStep::Refund) => self.refunded(refund_id, amount)?,
            (Reply::Refused { .. }, Direction::Forward, ReturnStep::BuyLabel) => {
                self.emit(ReturnCompensationStarted { number, reason: CloseReason::Undeliverable });
            }
            (Reply::Refused { .. }, ..) if progress.is_refused() => {}
            (Reply::Refused { code }, ..) => self.emit(ReturnPaused::of(number, progress.refused(step, code))),
            (Reply::Unanswered { cause }, ..) => {
                if let Some(retrying) = progress.unanswered(step, cause, self.now) {
                    self.emit(ReturnStepRetrying::of(number, retrying));
                }
            }
            (Reply::Exhausted, ..) => self.pause(progress.exhausted(step)),
            (Reply::Stuck { cause }, ..) => self.pause(progress.stuck(step, cause)),
            _ => return Err(Misfit::Unexpected(step.name())),
        }
        Ok(())
    }

    fn pause(&mut self, paused: Option<Paused<ReturnStep>>) {
        if let Some(paused) = paused {
            self.emit(ReturnPaused::of(self.number, paused));
        }
    }

    fn refunded(&mut self, refund_id: String, amount: Amount) -> Result<(), Misfit> {
        let saga = self.saga()?;
        let (Some(placed), Some(capture_id)) = (&saga.state.order.placed, saga.state.payment.capture_id()) else {
            return Err(Misfit::Unexpected(ReturnStep::Refund.name()));
        };
        let event = PaymentRefunded {
            key: saga.key(ReturnStep::Refund, Direction::Forward),
            refund_id,
            capture_id: capture_id.to_owned(),
            amount,
            currency: placed.currency.clone(),
            return_number: self.number,
            lines: saga.this.to_refund.clone(),
        };
        let events = Payment::decide(&self.state.payment, payment::Command::RecordRefund(event))?;
        events.into_iter().for_each(|event| self.emit(event));
        Ok(())
    }

    /// Every move that needs nobody.
    fn advance(&mut self) -> Result<(), Misfit> {
        while let Move::Internal(internal) = self.saga()?.next_move() {
            let number = self.number;
            match internal {
                Internal::StartCompensation(reason) => self.emit(ReturnCompensationStarted { number, reason }),
                Internal::Close(reason) => self.emit(ReturnClosed { number, reason }),
                Internal::PutAway => {
                    let (restocked, written_off) =
                        (self.put_away(|line| line.restock)?, self.put_away(|line| line.write_off)?);
                    if !restocked.is_empty() {
                        self.emit(ReturnRestocked { number, lines: restocked });
                    }
                    if !written_off.is_empty() {
                        self.emit(ReturnWrittenOff { number, lines: written_off });
                    }
                    self.emit(ReturnCompleted { number });
                }
            }
        }
        Ok(())
    }

    /// So many pieces of each line, where its goods came from.
    fn put_away(&self, pieces: impl Fn(&super::InspectedLine) -> i64) -> Result<Vec<PutAway>, Misfit> {
        let saga = self.saga()?;
        let released = self.state.shipment.released.as_ref().ok_or(Misfit::Unexpected(ReturnStep::PutAway.name()))?;
        let line = |found: &super::InspectedLine| {
            let sku = released.lines.iter().find(|line| line.line_id == found.line_id)?.sku.clone();
            let (line_id, location, quantity) = (found.line_id.clone(), released.location.clone(), pieces(found));
            (quantity > 0).then_some(PutAway { line_id, sku, location, quantity })
        };
        Ok(saga.this.inspected.iter().flatten().filter_map(line).collect())
    }
}
