//! The rules of an order.
use super::{
    CancelRequested, Command, CustomerErased, Order, OrderCancelled, OrderCompleted, OrderEvent, Outcome,
    ReservationRefused, Stock, StockReleased, StockReserved,
};
use crate::Decider;
use std::sync::Arc;
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    #[error("the goods have left already")]
    AlreadyShipped,
    #[error("there is no such order")]
    NotPlaced,
    #[error("the order was placed before")]
    AlreadyPlaced,
    /// A step that does not fit what happened before; a fault of ours.
    #[error("{0} does not fit the order's state")]
    OutOfPlace(&'static str),
}

impl Decider for Order {
    type State = Order;
    type Command = Command;
    type Event = OrderEvent;
    type Rejection = Rejection;

    fn initial() -> Order {
        Order::default()
    }

    fn decide(order: &Order, command: Command) -> Result<Vec<OrderEvent>, Rejection> {
        if let Command::Place(placed) = command {
            return if order.placed.is_some() { Err(Rejection::AlreadyPlaced) } else { one(*placed) };
        }
        if order.placed.is_none() {
            return Err(Rejection::NotPlaced);
        }
        match (command, &order.stock, order.outcome) {
            (Command::RequestCancel { .. }, _, Some(Outcome::Completed)) => Err(Rejection::AlreadyShipped),
            (Command::RequestCancel { .. }, _, Some(Outcome::Cancelled(_))) => Ok(vec![]),
            (Command::RequestCancel { .. }, ..) if order.cancel_requested => Ok(vec![]),
            (Command::RequestCancel { shipped: true, .. }, ..) => Err(Rejection::AlreadyShipped),
            (Command::RequestCancel { note_id, .. }, ..) => one(CancelRequested { note_id }),
            (Command::RecordReservation { lines }, Stock::Unreserved, None) => one(StockReserved { lines }),
            (Command::RecordReservation { lines }, Stock::Reserved(known), None) if **known == *lines => Ok(vec![]),
            (Command::RecordShortage { .. }, Stock::Refused, None) => Ok(vec![]),
            (Command::RecordShortage { shortages }, Stock::Unreserved, None) => one(ReservationRefused { shortages }),
            (Command::ReleaseStock, Stock::Reserved(lines), None) => one(StockReleased { lines: lines.to_vec() }),
            (Command::ReleaseStock, ..) => Ok(vec![]),
            // Nothing may stay set aside for an order that is no more.
            (Command::Cancel { .. }, Stock::Reserved(_), _) => Err(Rejection::OutOfPlace("Cancel")),
            (Command::Cancel { reason }, _, None) => one(OrderCancelled { reason }),
            (Command::Cancel { .. }, _, Some(Outcome::Cancelled(_))) => Ok(vec![]),
            (Command::Complete, Stock::Reserved(_), None) => one(OrderCompleted {}),
            (Command::Complete, _, Some(Outcome::Completed)) => Ok(vec![]),
            (Command::RecordErasure { .. }, ..) if order.customer_erased => Ok(vec![]),
            (Command::RecordErasure { person_id }, _, Some(_)) => one(CustomerErased { person_id }),
            // While it is under way the order needs what would be erased.
            (Command::RecordErasure { .. }, _, None) => Err(Rejection::OutOfPlace("RecordErasure")),
            (Command::RecordReservation { .. }, ..) => Err(Rejection::OutOfPlace("RecordReservation")),
            (Command::RecordShortage { .. }, ..) => Err(Rejection::OutOfPlace("RecordShortage")),
            (Command::Cancel { .. }, ..) => Err(Rejection::OutOfPlace("Cancel")),
            (Command::Complete, ..) => Err(Rejection::OutOfPlace("Complete")),
            (Command::Place(_), ..) => Err(Rejection::AlreadyPlaced),
        }
    }

    fn evolve(order: &mut Order, event: &OrderEvent) {
        match event {
            OrderEvent::OrderPlaced(placed) => order.placed = Some(Arc::new(placed.clone())),
            OrderEvent::StockReserved(reserved) => order.stock = Stock::Reserved(reserved.lines.as_slice().into()),
            OrderEvent::ReservationRefused(_) => order.stock = Stock::Refused,
            OrderEvent::StockReleased(_) => order.stock = Stock::Released,
            OrderEvent::CancelRequested(_) => order.cancel_requested = true,
            OrderEvent::OrderCancelled(cancelled) => order.outcome = Some(Outcome::Cancelled(cancelled.reason)),
            OrderEvent::OrderCompleted(_) => order.outcome = Some(Outcome::Completed),
            OrderEvent::CustomerErased(_) => order.customer_erased = true,
        }
    }
}

fn one(event: impl Into<OrderEvent>) -> Result<Vec<OrderEvent>, Rejection> {
    Ok(vec![event.into()])
}
