//! Where the saga stands, and what it asks for next. Moves that need nobody (`Internal`) are made by `react` in the same append.
use super::{DEFINITION, Fulfillment, Step};
use crate::{
    Amount, LocationCode, OrderId,
    location::{self, LocationMode},
    order::{CancelReason, OrderPlaced, Reservation, Stock},
    payment::{Authorization, Payment},
    saga::{Action, Direction, Move, Next, WaitingOn},
};

/// A move that needs no participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Internal {
    StartCompensation(CancelReason),
    Release,
    Recall,
    ReleaseStock,
    Cancel(CancelReason),
    Complete,
}

/// An action that is not made yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call<'a> {
    Reserve(&'a OrderPlaced),
    Authorize(&'a OrderPlaced),
    BuyLabel,
    Capture(&'a OrderPlaced, &'a Authorization),
    VoidAuthorization,
    VoidLabel,
}

impl Call<'_> {
    fn waiting_on(self) -> WaitingOn {
        match self {
            Call::Reserve(_) => WaitingOn::Inventory,
            Call::Authorize(_) | Call::Capture(..) | Call::VoidAuthorization => WaitingOn::Payment,
            Call::BuyLabel | Call::VoidLabel => WaitingOn::Shipping,
        }
    }
}

impl Fulfillment {
    /// What to do now. Pure: asked twice, it answers the same.
    pub fn next(&self, order: OrderId) -> Next {
        self.next_move().next().map(|call| self.action(order, call))
    }

    /// The same in short: whom a call goes to.
    pub fn plan(&self) -> Next<WaitingOn> {
        self.next_move().next().map(Call::waiting_on)
    }

    fn action(&self, order: OrderId, call: Call<'_>) -> Action {
        let key = |step, direction| self.key(order, step, direction);
        match call {
            Call::Reserve(placed) => Action::Reserve { lines: reservations(placed) },
            Call::Authorize(placed) => Action::Authorize {
                key: key(Step::AuthorizePayment, Direction::Forward),
                amount: placed.total,
                currency: placed.currency.clone(),
            },
            Call::BuyLabel => Action::BuyLabel { key: key(Step::Ship, Direction::Forward) },
            Call::Capture(placed, authorization) => Action::Capture {
                key: key(Step::CapturePayment, Direction::Forward),
                authorization_id: authorization.id.clone(),
                amount: placed.total,
                currency: placed.currency.clone(),
            },
            Call::VoidAuthorization => Action::VoidAuthorization {
                key: key(Step::AuthorizePayment, Direction::Compensate),
                forward_key: key(Step::AuthorizePayment, Direction::Forward),
                authorization_id: self.payment.authorization().map(|authorization| authorization.id.clone()),
            },
            Call::VoidLabel => Action::VoidLabel {
                key: key(Step::Ship, Direction::Compensate),
                forward_key: key(Step::Ship, Direction::Forward),
                label_id: self.shipment.label.as_ref().map(|label| label.label_id.clone()),
            },
        }
    }

    /// The step the saga is at; while it compensates, the step that it undoes.
    pub fn step(&self) -> Step {
        if self.has_ended() {
            return Step::Complete;
        }
        match self.compensation() {
            Some(step) => step,
            None => self.forward_step(),
        }
    }

    fn forward_step(&self) -> Step {
        match &self.order.stock {
            Stock::Unreserved | Stock::Refused => return Step::ReserveStock,
            Stock::Released | Stock::Reserved(_) => {}
        }
        match () {
            () if self.must_pay() && matches!(self.payment, Payment::None | Payment::Declined { .. }) => {
                Step::AuthorizePayment
            }
            () if self.shipment.released.is_none() => Step::ReleaseToWarehouse,
            () if !self.shipment.is_shipped() => Step::Ship,
            () if self.must_capture() => Step::CapturePayment,
            () => Step::Complete,
        }
    }

    /// What is still to be undone, the latest first; `None` when the saga goes forward.
    fn compensation(&self) -> Option<Step> {
        self.saga.compensating?;
        Some(self.to_undo())
    }

    /// What is to be undone first, if it is to be undone.
    fn to_undo(&self) -> Step {
        match () {
            () if self.label_may_be_bought() => Step::Ship,
            () if self.shipment.released.is_some() && !self.shipment.recalled => Step::ReleaseToWarehouse,
            () if self.money_may_be_held() => Step::AuthorizePayment,
            () => Step::ReserveStock,
        }
    }

    fn label_may_be_bought(&self) -> bool {
        let released = self.shipment.released.as_ref();
        released.map_or(self.has_lost_life, |released| released.mode == LocationMode::Auto)
            && !self.shipment.recalled
            && !self.shipment.label_voided
            && !self.saga.is_skipped(Step::Ship, Direction::Compensate)
    }

    fn money_may_be_held(&self) -> bool {
        let reserved = matches!(self.order.stock, Stock::Reserved(_));
        self.must_pay()
            && (reserved || self.has_lost_life)
            && matches!(self.payment, Payment::None | Payment::Authorized(_))
            && !self.saga.is_skipped(Step::AuthorizePayment, Direction::Compensate)
    }

    fn must_capture(&self) -> bool {
        self.must_pay()
            && self.payment.captured() == Amount::ZERO
            && !self.saga.is_skipped(Step::CapturePayment, Direction::Forward)
    }

    /// There is something to pay.
    pub fn must_pay(&self) -> bool {
        self.order.placed.as_ref().is_some_and(|placed| placed.total > Amount::ZERO)
    }

    /// It began with a definition that is known here.
    pub(super) fn is_of_this_build(&self) -> bool {
        self.saga.definition_version.is_none_or(|version| version == DEFINITION.version)
    }

    pub(super) fn next_move(&self) -> Move<Internal, Call<'_>> {
        let Some(placed) = &self.order.placed else {
            return Move::External(Next::Wait(WaitingOn::Definition));
        };
        if self.saga.ended || self.has_ended() {
            return Move::External(Next::Ended);
        }
        if !self.is_of_this_build() {
            return Move::External(Next::Wait(WaitingOn::Definition));
        }
        if self.saga.held {
            return Move::External(Next::Wait(WaitingOn::Operator));
        }
        if self.saga.compensating.is_none() && self.is_interrupted() {
            return Move::Internal(Internal::StartCompensation(CancelReason::Requested));
        }
        if self.saga.paused.is_some() {
            return Move::External(Next::Wait(WaitingOn::Operator));
        }
        match self.saga.compensating {
            Some(reason) => self.next_undo(reason),
            None => self.next_forward(placed),
        }
    }

    fn next_forward<'a>(&'a self, placed: &'a OrderPlaced) -> Move<Internal, Call<'a>> {
        Move::External(match self.forward_step() {
            Step::ReserveStock => Next::Act(Call::Reserve(placed)),
            Step::AuthorizePayment => Next::Act(Call::Authorize(placed)),
            Step::ReleaseToWarehouse => return Move::Internal(Internal::Release),
            Step::Ship => match &self.shipment.released {
                Some(released) if released.mode == LocationMode::Auto => Next::Act(Call::BuyLabel),
                _ => Next::Wait(WaitingOn::Warehouse),
            },
            Step::CapturePayment => match self.payment.authorization() {
                Some(authorization) => Next::Act(Call::Capture(placed, authorization)),
                None => Next::Wait(WaitingOn::Operator),
            },
            Step::Complete => return Move::Internal(Internal::Complete),
        })
    }

    fn next_undo(&self, reason: CancelReason) -> Move<Internal, Call<'_>> {
        Move::External(Next::Act(match self.compensation() {
            Some(Step::Ship) => Call::VoidLabel,
            Some(Step::ReleaseToWarehouse) => return Move::Internal(Internal::Recall),
            Some(Step::AuthorizePayment) => Call::VoidAuthorization,
            _ if matches!(self.order.stock, Stock::Reserved(_)) => return Move::Internal(Internal::ReleaseStock),
            _ => return Move::Internal(Internal::Cancel(reason)),
        }))
    }

    /// The steps still to be taken (or, while it compensates, still to be undone), the current one first.
    pub fn remaining_steps(&self) -> Vec<Step> {
        if self.has_ended() {
            return vec![];
        }
        let there = |step: &Step| self.must_pay() || !step.needs_payment();
        // A cancel that nobody has acted on yet is acted on next.
        if self.is_interrupted() {
            let current = self.to_undo();
            let still = |step: &Step| match step {
                Step::ReserveStock => matches!(self.order.stock, Stock::Reserved(_)),
                Step::ReleaseToWarehouse => *step <= current && self.shipment.released.is_some(),
                step => *step <= current,
            };
            return Step::ALL.into_iter().rev().filter(still).filter(there).collect();
        }
        let current = self.step();
        Step::ALL.into_iter().filter(|step| *step >= current).filter(there).collect()
    }
}

pub(super) fn reservations(placed: &OrderPlaced) -> Vec<Reservation> {
    let lines = placed.lines.iter();
    let line = |line: &crate::order::OrderLine| Reservation {
        line_id: line.line_id.clone(),
        sku: line.sku.clone(),
        location: LocationCode::from(location::MAIN),
        lot: None,
        quantity: line.quantity,
    };
    lines.map(line).collect()
}
