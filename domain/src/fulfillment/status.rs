//! What an order's history comes to in a word: its status and why. The one place where it is worked out.
use super::Fulfillment;
use crate::{
    order::{Outcome, Stock},
    payment::Payment,
    saga::SagaState,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderStatus {
    Placed,
    OnHold,
    Backordered,
    Allocated,
    Authorized,
    Released,
    PartiallyShipped,
    Shipped,
    Completed,
    Cancelling,
    Cancelled,
}

impl OrderStatus {
    pub const fn name(self) -> &'static str {
        match self {
            OrderStatus::Placed => "PLACED",
            OrderStatus::OnHold => "ON_HOLD",
            OrderStatus::Backordered => "BACKORDERED",
            OrderStatus::Allocated => "ALLOCATED",
            OrderStatus::Authorized => "AUTHORIZED",
            OrderStatus::Released => "RELEASED",
            OrderStatus::PartiallyShipped => "PARTIALLY_SHIPPED",
            OrderStatus::Shipped => "SHIPPED",
            OrderStatus::Completed => "COMPLETED",
            OrderStatus::Cancelling => "CANCELLING",
            OrderStatus::Cancelled => "CANCELLED",
        }
    }
}

impl Fulfillment {
    pub fn status(&self) -> OrderStatus {
        match self.order.outcome {
            Some(Outcome::Completed) => return OrderStatus::Completed,
            Some(Outcome::Cancelled(_)) => return OrderStatus::Cancelled,
            None => {}
        }
        match () {
            () if self.shipment.is_shipped() => OrderStatus::Shipped,
            () if self.shipment.has_left() => OrderStatus::PartiallyShipped,
            () if self.is_interrupted() => OrderStatus::Cancelling,
            () if self.saga.held => OrderStatus::OnHold,
            () if self.shipment.released.is_some() => OrderStatus::Released,
            () if matches!(self.payment, Payment::Authorized(_)) => OrderStatus::Authorized,
            () if matches!(self.order.stock, Stock::Reserved(_)) => OrderStatus::Allocated,
            () => OrderStatus::Placed,
        }
    }

    /// For example `out_of_stock`; `None` when there is nothing to explain.
    pub fn status_reason(&self) -> Option<&str> {
        if let Some(Outcome::Cancelled(reason)) = self.order.outcome {
            return Some(reason.code());
        }
        if let Some(reason) = self.saga.compensating {
            return Some(reason.code());
        }
        if self.saga.is_stopped() {
            return self.saga.cause();
        }
        if self.is_interrupted() { Some("requested") } else { None }
    }

    pub fn saga_state(&self) -> SagaState {
        match () {
            () if self.is_completed() => SagaState::Completed,
            () if self.has_ended() => SagaState::Compensated,
            () if !self.is_of_this_build() => SagaState::Waiting,
            () if self.saga.held => SagaState::Paused,
            // Its next move, to begin undoing, needs nobody, whoever was waited for before.
            () if self.is_interrupted() && self.saga.compensating.is_none() => SagaState::Running,
            () if self.saga.paused.is_some() => SagaState::Paused,
            () if self.saga.compensating.is_some() => SagaState::Compensating,
            () if self.saga.retrying.is_some() || self.waits_for_staff() => SagaState::Waiting,
            () => SagaState::Running,
        }
    }

    fn waits_for_staff(&self) -> bool {
        self.shipment.released.as_ref().is_some_and(|r| r.mode == crate::location::LocationMode::Manual)
            && !self.shipment.is_shipped()
    }
}
