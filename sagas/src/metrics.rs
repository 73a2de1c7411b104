//! What the runner tells of itself. No order, shop or customer in a label.
use crate::breaker;
use crate::job::View;
use crate::limits::Participant;
use crate::live::Live;
use domain::fulfillment::Step;
use domain::saga::SagaState;
use metrics::{counter, gauge, histogram};
use std::collections::HashMap;
use std::time::Duration;

/// States of a saga that has not ended.
const STATES: [SagaState; 4] = [SagaState::Running, SagaState::Waiting, SagaState::Paused, SagaState::Compensating];

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

/// How many sagas are where, and since when the oldest of them.
pub(crate) fn survey(live: &Live, parked: [(Participant, usize); 2], slots: usize, now: i64) {
    let mut by: HashMap<(Step, SagaState), (u32, i64)> = HashMap::new();
    live.views(|View { step, state, since }| {
        let entry = by.entry((step, state)).or_insert((0, i64::MAX));
        entry.0 += 1;
        if since > 0 {
            entry.1 = entry.1.min(since);
        }
    });
    for step in Step::ALL {
        for state in STATES {
            let (count, oldest) = by.get(&(step, state)).copied().unwrap_or((0, i64::MAX));
            let waiting = if oldest == i64::MAX { 0 } else { now.saturating_sub(oldest).max(0) };
            let labels = [("step", step.name()), ("state", state.name())];
            gauge!("waybill_sagas", &labels).set(f64::from(count));
            gauge!("waybill_saga_oldest_seconds", &labels).set(waiting as f64);
        }
    }
    for (participant, parked) in parked {
        gauge!("waybill_sagas_parked", "participant" => participant.name()).set(count(parked));
    }
    gauge!("waybill_saga_drivers_active").set(count(live.active()));
    gauge!("waybill_sagas_queued").set(count(live.queued()));
    gauge!("waybill_saga_slots_held").set(count(slots));
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
