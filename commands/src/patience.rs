//! How long a saga may wait for people before it is looked at again. Pure, and the same for whoever appends and whoever drives.
use domain::OrderId;
use domain::fulfillment::{Fulfillment, Next, WaitingOn};
use std::time::Duration;

/// An incident that nobody has settled is told of again after this.
const PAUSED: Duration = Duration::from_secs(24 * 3600);

/// `None`: it waits for nobody, or for a build that knows its definition, which is to find it due at once.
pub fn patience(fulfillment: &Fulfillment, order: OrderId) -> Option<Duration> {
    match fulfillment.next(order) {
        Next::Wait(WaitingOn::Operator) => Some(PAUSED),
        Next::Wait(WaitingOn::Definition) => None,
        Next::Wait(_) => Some(fulfillment.step().expected()),
        Next::Act(_) | Next::Advance | Next::Ended => None,
    }
}
