//! What an order's own events amount to.
use super::{CancelReason, OrderPlaced, Reservation};
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Shared, since it never changes; absent before the first event.
    pub placed: Option<Arc<OrderPlaced>>,
    pub stock: Stock,
    pub cancel_requested: bool,
    pub outcome: Option<Outcome>,
    pub customer_erased: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stock {
    #[default]
    Unreserved,
    Refused,
    Reserved(Arc<[Reservation]>),
    Released,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Cancelled(CancelReason),
    Completed,
}
