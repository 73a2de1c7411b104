//! A saga's row: where it stands, whom it waits for and until when that is as expected, what is still to come.
//!
//! Whether that moment has passed is nowhere written down: no event says so. It is worked out when it is read.
use super::history::History;
use chrono::{DateTime, Utc};
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct SagaRow {
    pub(crate) saga_id: Uuid,
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

impl SagaRow {
    pub(crate) fn of(history: &History) -> SagaRow {
        let state = &history.fulfillment;
        let step = state.step();
        let (attempt, cause) =
            (state.saga.attempt(step, state.saga.direction()), state.saga.cause().map(str::to_owned));
        let remaining: Vec<&str> = state.remaining_steps().into_iter().map(|step| step.name()).collect();
        SagaRow {
            saga_id: history.order_id.saga().0,
            order_id: history.order_id.0,
            shop: history.shop.clone(),
            state: state.saga_state().name(),
            step: step.name(),
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
            cause,
            waiting_on: history.waiting.and_then(|waiting| waiting.on).map(|on| on.name()),
            waiting_since: history.waiting.map(|waiting| waiting.since),
            expected_by: history.waiting.and_then(|waiting| waiting.expected_by),
            direction: history.waiting.map(|waiting| waiting.direction.name()),
            remaining_steps: remaining.join(","),
        }
    }
}
