//! How long an order's sagas may wait for people before they are looked at again. Pure, and the same for whoever appends and whoever drives.
use domain::OrderId;
use domain::fulfillment::Fulfillment;
use domain::saga::{Next, WaitingOn, Which};
use std::time::Duration;

/// An incident that nobody has settled is told of again after this.
const PAUSED: Duration = Duration::from_secs(24 * 3600);

/// The saga of an order that is to be looked at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub which: Which,
    pub on: WaitingOn,
    pub lasts: Duration,
}

/// `None`: one of them waits for nobody, or for a build that knows its definition, which is to find it due at once.
pub fn patience(fulfillment: &Fulfillment, order: OrderId) -> Option<Patience> {
    let mut first: Option<Patience> = None;
    for which in fulfillment.sagas() {
        let saga = fulfillment.one(order, which)?;
        let (on, lasts) = match saga.plan() {
            Next::Ended => continue,
            Next::Act(_) | Next::Advance | Next::Wait(WaitingOn::Definition) => return None,
            Next::Wait(WaitingOn::Operator) => (WaitingOn::Operator, PAUSED),
            Next::Wait(on) => (on, saga.expected()?),
        };
        if first.is_none_or(|first| lasts < first.lasts) {
            first = Some(Patience { which, on, lasts });
        }
    }
    first
}
