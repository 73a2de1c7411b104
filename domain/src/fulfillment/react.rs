//! Turns an answer into events: what the answer means, and every move after it that needs nobody, for one append.
use super::next::Internal;
use super::{CompensationStarted, DEFINITION, Fulfillment, SagaCompensated, SagaCompleted, SagaStarted, Step};
use crate::{
    Amount, Decider, Event, OrderId,
    order::{self, CancelReason, Order, OrderPlaced, Stock},
    payment::{
        self, AuthorizationVoided, CaptureDeclined, CapturedCharge, CapturedLine, Payment, PaymentAuthorized,
        PaymentCaptured, PaymentDeclined,
    },
    saga::{Action, Context, Direction, Misfit, Move, Next, Reply},
    shipment::{self, FulfillmentLine, FulfillmentReleased, LabelVoided, Parcel, Shipment},
};
use std::{iter, sync::Arc};

impl Fulfillment {
    /// The events that an answer to an action causes, in order; none when nothing changes. The action is absent for
    /// [`Reply::Nothing`].
    ///
    /// An answer may come late, or twice: one to an action that is no longer waited for counts as [`Reply::Nothing`].
    pub fn react(
        &self,
        id: OrderId,
        answered: Option<&Action>,
        reply: Reply,
        context: &Context,
    ) -> Result<Vec<Event>, Misfit> {
        let placed = self.order.placed.clone().ok_or(Misfit::NotPlaced)?;
        if self.has_ended() {
            return Ok(vec![]);
        }
        let mut run = Run::new(id, placed, context, self.clone());
        if self.saga.definition_version.is_none() {
            run.emit(started());
        }
        run.answer(if answered.is_some_and(|action| self.awaits(id, action)) { reply } else { Reply::Nothing })?;
        run.advance()?;
        // Having started is worth writing down only beside something that happened.
        let only_started = run.events.len() == 1 && self.saga.definition_version.is_none();
        Ok(if only_started { vec![] } else { run.events })
    }

    /// The beginning of the saga of an order that was just placed, for the placement's own append: its first step needs nobody but the store, which
    /// refuses that append where there is not enough. Then the order is placed without, and the saga finds out what is short.
    pub fn begin(&self, id: OrderId) -> Result<Vec<Event>, Misfit> {
        let Next::Act(Action::Reserve { lines }) = self.next(id) else { return Ok(vec![]) };
        let reserved = Order::decide(&self.order, order::Command::RecordReservation { lines })?;
        Ok(iter::once(started().into()).chain(reserved.into_iter().map(Event::from)).collect())
    }

    /// The action belongs to the current step, direction and attempt. What an earlier one did is known by now, or its undo
    /// settles it under the forward key; to record it beside that would count it twice.
    fn awaits(&self, id: OrderId, action: &Action) -> bool {
        match action.key() {
            Some(key) => key == self.key(id, self.step(), self.saga.direction()),
            // Stock is taken by the append of the answer itself, so that nothing is taken yet.
            None => self.order.stock == Stock::Unreserved && !self.is_interrupted(),
        }
    }
}

fn started() -> SagaStarted {
    SagaStarted { saga: DEFINITION.saga.to_owned(), definition_version: DEFINITION.version }
}

pub(super) struct Run<'a> {
    id: OrderId,
    placed: Arc<OrderPlaced>,
    context: &'a Context,
    state: Fulfillment,
    events: Vec<Event>,
}

impl<'a> Run<'a> {
    pub(super) fn new(id: OrderId, placed: Arc<OrderPlaced>, context: &'a Context, state: Fulfillment) -> Run<'a> {
        Run { id, placed, context, state, events: Vec::with_capacity(4) }
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    pub(super) fn emit(&mut self, event: impl Into<Event>) {
        let event = event.into();
        self.state.evolve(&event);
        self.events.push(event);
    }

    fn emit_all(&mut self, events: impl IntoIterator<Item = impl Into<Event>>) {
        events.into_iter().for_each(|event| self.emit(event));
    }

    fn order(&mut self, command: order::Command) -> Result<(), Misfit> {
        self.emit_all(Order::decide(&self.state.order, command)?);
        Ok(())
    }

    fn payment(&mut self, command: payment::Command) -> Result<(), Misfit> {
        self.emit_all(Payment::decide(&self.state.payment, command)?);
        Ok(())
    }

    pub(super) fn shipment(&mut self, command: shipment::Command) -> Result<(), Misfit> {
        self.emit_all(Shipment::decide(&self.state.shipment, command)?);
        Ok(())
    }

    fn key(&self, step: Step, direction: Direction) -> String {
        self.state.key(self.id, step, direction)
    }

    pub(super) fn answer(&mut self, reply: Reply) -> Result<(), Misfit> {
        match reply {
            Reply::Nothing => Ok(()),
            Reply::Reserved => {
                let lines = super::next::reservations(&self.placed);
                self.order(order::Command::RecordReservation { lines })
            }
            Reply::OutOfStock { shortages } => {
                self.order(order::Command::RecordShortage { shortages })?;
                self.compensate(CancelReason::OutOfStock);
                Ok(())
            }
            Reply::Authorized { authorization_id, amount, expires_at } => {
                let key = self.key(Step::AuthorizePayment, Direction::Forward);
                let currency = self.placed.currency.clone();
                self.payment(payment::Command::RecordAuthorization(PaymentAuthorized {
                    key,
                    authorization_id,
                    amount,
                    currency,
                    expires_at,
                }))
            }
            Reply::AuthorizationVoided => {
                let key = self.key(Step::AuthorizePayment, Direction::Compensate);
                let authorization_id = self.state.payment.authorization().map(|authorization| authorization.id.clone());
                self.payment(payment::Command::RecordVoid(AuthorizationVoided { key, authorization_id }))
            }
            Reply::LabelBought(label) if self.state.is_interrupted() => {
                self.shipment(shipment::Command::RecordLabel(label))
            }
            Reply::LabelBought(label) => {
                let parcel = Parcel {
                    weight_grams: None,
                    carrier: Some(label.carrier),
                    tracking_number: Some(label.tracking_number),
                    label_id: Some(label.label_id),
                };
                self.shipment(shipment::Command::Ship { lines: None, parcels: vec![parcel] })
            }
            Reply::LabelVoided if self.state.step() != Step::Ship => Err(Misfit::Unexpected(self.state.step().name())),
            Reply::LabelVoided => {
                let key = self.key(Step::Ship, Direction::Compensate);
                let label_id = self.state.shipment.label.as_ref().map(|label| label.label_id.clone());
                self.shipment(shipment::Command::RecordLabelVoid(LabelVoided { key, label_id }))
            }
            Reply::Captured { capture_id, amount } => self.captured(capture_id, amount),
            Reply::Refunded { .. } => Err(Misfit::Unexpected(self.state.step().name())),
            Reply::Refused { code } => self.refused(code),
            Reply::Unanswered { cause } => {
                self.emit_all(self.state.saga.unanswered(self.state.step(), cause, self.context.now));
                Ok(())
            }
            Reply::Exhausted => {
                self.emit_all(self.state.saga.exhausted(self.state.step()));
                Ok(())
            }
            Reply::Stuck { cause } => {
                self.emit_all(self.state.saga.stuck(self.state.step(), cause));
                Ok(())
            }
        }
    }

    fn captured(&mut self, capture_id: String, amount: Amount) -> Result<(), Misfit> {
        let authorization =
            self.state.payment.authorization().ok_or(Misfit::Unexpected(Step::CapturePayment.name()))?;
        let event = PaymentCaptured {
            key: self.key(Step::CapturePayment, Direction::Forward),
            capture_id,
            authorization_id: authorization.id.clone(),
            amount,
            currency: self.placed.currency.clone(),
            lines: self
                .placed
                .lines
                .iter()
                .map(|line| CapturedLine { line_id: line.line_id.clone(), amount: line.line_total })
                .collect(),
            charges: self
                .placed
                .charges
                .iter()
                .map(|charge| CapturedCharge {
                    charge_id: charge.charge_id,
                    amount: charge.signed(self.placed.prices_include_tax),
                })
                .collect(),
        };
        self.payment(payment::Command::RecordCapture(event))
    }

    /// A definite no. Before the pivot, going forward, it means compensation; anywhere else a person is needed.
    fn refused(&mut self, code: String) -> Result<(), Misfit> {
        if self.state.saga.is_refused() {
            return Ok(());
        }
        match (self.state.saga.direction(), self.state.step()) {
            (Direction::Forward, Step::AuthorizePayment) => {
                let key = self.key(Step::AuthorizePayment, Direction::Forward);
                let reason = if code == "fraud" { CancelReason::Fraud } else { CancelReason::PaymentDeclined };
                self.payment(payment::Command::RecordDecline(PaymentDeclined { key, code }))?;
                self.compensate(reason);
            }
            (Direction::Forward, Step::Ship) => self.compensate(CancelReason::Undeliverable),
            (Direction::Forward, Step::CapturePayment) => {
                let key = self.key(Step::CapturePayment, Direction::Forward);
                self.payment(payment::Command::RecordCaptureDecline(CaptureDeclined { key, code }))?;
                self.pause("capture_declined".to_owned());
            }
            (Direction::Forward, step) => return Err(Misfit::Unexpected(step.name())),
            (Direction::Compensate, _) => self.pause(code),
        }
        Ok(())
    }

    fn compensate(&mut self, reason: CancelReason) {
        if self.state.saga.compensating.is_none() {
            self.emit(CompensationStarted { reason });
        }
    }

    fn pause(&mut self, cause: String) {
        self.emit(self.state.saga.refused(self.state.step(), cause));
    }

    /// Every move that needs nobody.
    fn advance(&mut self) -> Result<(), Misfit> {
        while let Move::Internal(internal) = self.state.next_move() {
            match internal {
                Internal::StartCompensation(reason) => self.compensate(reason),
                Internal::Release => self.release()?,
                Internal::Recall => {
                    let leaving_label = self.state.saga.is_skipped(Step::Ship, Direction::Compensate);
                    self.shipment(shipment::Command::Recall { leaving_label })?;
                }
                Internal::ReleaseStock => self.order(order::Command::ReleaseStock)?,
                Internal::Cancel(reason) => {
                    self.order(order::Command::Cancel { reason })?;
                    self.emit(SagaCompensated {});
                }
                Internal::Complete => {
                    self.order(order::Command::Complete)?;
                    self.emit(SagaCompleted {});
                }
            }
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), Misfit> {
        let lines = self.placed.lines.iter().map(|line| FulfillmentLine {
            line_id: line.line_id.clone(),
            sku: line.sku.clone(),
            quantity: line.quantity,
        });
        let event = FulfillmentReleased {
            fulfillment_id: self.id.fulfillment(),
            location: self.context.location.clone(),
            mode: self.context.location_mode,
            lines: lines.collect(),
            ship_by: self.placed.promise.as_ref().and_then(|promise| promise.ship_by),
            priority: self.placed.priority,
        };
        self.shipment(shipment::Command::Release(event))
    }
}
