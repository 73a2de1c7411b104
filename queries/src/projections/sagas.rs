//! A saga's row: where it stands, whom it waits for and until when that is as expected, what is still to come. Made of any saga there is: which
//! one it is shows in the row's key alone.
//!
//! Whether that moment has passed is nowhere written down: no event says so. It is worked out when it is read.
use super::history::History;
use chrono::{DateTime, Utc};
use domain::{OrderId, saga::Which};
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct SagaRow {
    pub(crate) key: SagaKey,
    pub(crate) order_id: Uuid,
    pub(crate) shop: String,
    pub(crate) state: &'static str,
    pub(crate) step: &'static str,
    pub(crate) attempt: i32,
    pub(crate) cause: Option<String>,
    pub(crate) waiting_on: Option<&'static str>,
    pub(crate) waiting_since: Option<DateTime<Utc>>,
    pub(crate) expected_by: Option<DateTime<Utc>>,
    /// `None` once it has ended.
    pub(crate) direction: Option<&'static str>,
    /// Names joined by commas; they hold none.
    pub(crate) remaining_steps: String,
}

/// How a saga is known in the rows: the id of its order's fulfillment, and which return of it, 0 for the fulfillment itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SagaKey {
    pub(crate) saga_id: Uuid,
    pub(crate) return_number: i16,
}

impl SagaKey {
    pub(crate) fn of(order: OrderId, which: Which) -> SagaKey {
        let return_number = match which {
            Which::Fulfillment => 0,
            Which::Return(number) => return_number(number),
        };
        SagaKey { saga_id: order.saga().0, return_number }
    }

    pub(crate) fn which(self) -> Which {
        match u16::try_from(self.return_number) {
            Ok(0) | Err(_) => Which::Fulfillment,
            Ok(number) => Which::Return(number),
        }
    }
}

/// As columns have it: an order has far fewer.
pub(crate) fn return_number(number: u16) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

impl SagaRow {
    /// `None`: there is no such saga.
    pub(crate) fn of(history: &History, which: Which) -> Option<SagaRow> {
        let saga = history.fulfillment.one(history.order_id, which)?;
        let (step, _, attempt) = saga.at();
        let waiting = history.waiting(which);
        Some(SagaRow {
            key: SagaKey::of(history.order_id, which),
            order_id: history.order_id.0,
            shop: history.shop.clone(),
            state: saga.state().name(),
            step,
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
            cause: saga.cause().map(str::to_owned),
            waiting_on: waiting.and_then(|waiting| waiting.on).map(|on| on.name()),
            waiting_since: waiting.map(|waiting| waiting.since),
            expected_by: waiting.and_then(|waiting| waiting.expected_by),
            direction: waiting.map(|waiting| waiting.direction.name()),
            remaining_steps: saga.remaining_steps().join(","),
        })
    }
}
