//! What the runner tells of itself. No order, shop or customer in a label.
use crate::breaker;
use crate::limits::Participant;
use crate::live::Live;
use domain::saga::{SagaState, WaitingOn};
use metrics::{counter, gauge, histogram};
use std::time::Duration;

/// 0 closed, 1 half-open, 2 open.
pub(crate) fn breaker(participant: Participant, state: breaker::State) {
    let value = match state {
        breaker::State::Closed => 0.0,
        breaker::State::HalfOpen { .. } => 1.0,
        breaker::State::Open { .. } => 2.0,
    };
    gauge!("waybill_participant_breaker", "participant" => participant.name()).set(value);
}

pub(crate) fn call(participant: Participant, call: &'static str, outcome: &'static str, took: Duration) {
    histogram!("waybill_participant_call_seconds", "participant" => participant.name(), "call" => call, "outcome" => outcome)
        .record(took);
}

pub(crate) fn retry(step: &'static str, cause: &'static str) {
    counter!("waybill_saga_retries_total", "step" => step, "cause" => cause).increment(1);
}

pub(crate) fn paused(step: &'static str) {
    counter!("waybill_saga_incidents_total", "step" => step).increment(1);
}

/// `took`: since the order was received, as far as it is known.
pub(crate) fn ended(saga: &'static str, state: SagaState, took: Option<Duration>) {
    counter!("waybill_sagas_ended_total", "saga" => saga, "state" => state.name()).increment(1);
    if let Some(took) = took {
        histogram!("waybill_saga_seconds", "saga" => saga, "state" => state.name()).record(took);
    }
}

/// Erasures under way here, and those of them that wait for orders to end.
pub(crate) fn erasures(known: usize, waiting: usize) {
    gauge!("waybill_erasures").set(count(known));
    gauge!("waybill_erasures_waiting").set(count(waiting));
}

/// A saga that this build can't carry on: a fault of ours, or a history of a newer build.
pub(crate) fn stuck() {
    counter!("waybill_saga_faults_total").increment(1);
}

pub(crate) fn conflict() {
    counter!("waybill_saga_append_conflicts_total").increment(1);
}

/// One waits for longer than expected.
pub(crate) fn overdue(step: &'static str, waiting_on: WaitingOn) {
    counter!("waybill_sagas_overdue_total", "step" => step, "waiting_on" => waiting_on.name()).increment(1);
}

/// From when a timer was due to when the saga's driver holds its history.
pub(crate) fn taken_up(late: Duration) {
    histogram!("waybill_saga_timer_late_seconds").record(late);
}

/// How the runner itself is. Where sagas stand is the read model's to tell: a runner has not read those that wait.
pub(crate) fn survey(live: &Live, parked: [(Participant, usize); 2], slots: usize) {
    for (participant, parked) in parked {
        gauge!("waybill_sagas_parked", "participant" => participant.name()).set(count(parked));
    }
    gauge!("waybill_saga_drivers_active").set(count(live.active()));
    gauge!("waybill_sagas_queued").set(count(live.queued()));
    gauge!("waybill_sagas_put_down").set(count(live.waiting()));
    gauge!("waybill_saga_slots_held").set(count(slots));
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
