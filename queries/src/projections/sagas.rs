//! A saga's row: where it stands, whom it waits for, what is still to come.
use super::history::History;
use chrono::{DateTime, Utc};
use domain::saga::Direction;
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
    /// Names joined by commas; they hold none.
    pub(crate) remaining_steps: String,
}

impl SagaRow {
    pub(crate) fn of(history: &History) -> SagaRow {
        let state = &history.fulfillment;
        let step = state.step();
        let direction = if state.saga.compensating.is_some() { Direction::Compensate } else { Direction::Forward };
        let (attempt, cause) = match (&state.saga.paused, &state.saga.retrying) {
            (Some(paused), _) => (paused.attempt, Some(paused.cause.clone())),
            (None, Some(retrying)) => (retrying.attempt, Some(retrying.cause.clone())),
            (None, None) => (state.saga.attempt(step, direction), None),
        };
        let remaining: Vec<&str> = state.remaining_steps().into_iter().map(|step| step.name()).collect();
        SagaRow {
            saga_id: history.order_id.saga().0,
            order_id: history.order_id.0,
            shop: history.shop.clone(),
            state: state.saga_state().name(),
            step: step.name(),
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
            cause,
            waiting_on: history.waiting.map(|waiting| waiting.on.name()),
            waiting_since: history.waiting.map(|waiting| waiting.since),
            remaining_steps: remaining.join(","),
        }
    }
}
