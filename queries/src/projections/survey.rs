//! Counts what has not ended, from the rows, for the metrics: where it stands, since when, what is overdue, what needs a person.
//!
//! Done by whoever drives the projections beside the store; one that stands by tells of none. One statement each 15 s, which reads an index of
//! what has not ended and nothing else. No order, shop or customer is in a label, and no label has values without end: causes are codes, but
//! whose codes they are a participant decides.
use super::RunnerState;
use crate::sql::incidents::{Standing, standings};
use domain::saga::{DEFINITIONS, SagaState};
use metrics::gauge;
use sqlx::PgPool;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

const EVERY: Duration = Duration::from_secs(15);
/// A statement without an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Combinations of step, state, whom it waits for and cause, the largest first. Beyond these nothing is counted.
const MAX_STANDINGS: i64 = 5_000;
/// Values that a label may ever have in this process; what comes later is `other`.
const MAX_VALUES: usize = 64;
const OTHER: &str = "other";
/// Its next move is its own.
const NOBODY: &str = "nobody";

/// States of a saga that has not ended.
const STATES: [SagaState; 4] = [SagaState::Running, SagaState::Waiting, SagaState::Paused, SagaState::Compensating];

/// Counts until it is told to stop.
pub async fn survey_sagas(pool: PgPool, mut state: watch::Receiver<RunnerState>, stop: CancellationToken) {
    let mut survey = Survey::default();
    let work = async {
        loop {
            let drives = *state.borrow_and_update() != RunnerState::Standby;
            match drives {
                false => survey.tell(&[]),
                true => match look(&pool).await {
                    Ok(found) => {
                        survey.tell(&found);
                        gauge!("waybill_sagas_counted_timestamp_seconds").set(chrono::Utc::now().timestamp() as f64);
                    }
                    // The gauges stay as they are, and say since when.
                    Err(error) => warn!(%error, "the sagas under way can't be counted; trying again"),
                },
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                // From then on others count.
                Ok(_) = state.wait_for(|now| drives == (*now == RunnerState::Standby)) => {}
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

async fn look(pool: &PgPool) -> Result<Vec<Standing>, String> {
    let looked = async { standings(&mut *pool.acquire().await?, MAX_STANDINGS).await };
    match tokio::time::timeout(TIMEOUT, looked).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer for {} s", TIMEOUT.as_secs())),
    }
}

/// A gauge and the values of its two labels.
type Series = (Gauge, String, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Gauge {
    Sagas,
    OldestSeconds,
    Overdue,
    Incidents,
}

/// What was told of, so that it is told to be gone.
#[derive(Debug, Default)]
struct Survey {
    told: BTreeSet<Series>,
    values: HashMap<&'static str, BTreeSet<String>>,
}

impl Survey {
    fn tell(&mut self, found: &[Standing]) {
        for ((which, one, two), value) in self.gauges(found) {
            match which {
                Gauge::Sagas => gauge!("waybill_sagas", "step" => one, "state" => two),
                Gauge::OldestSeconds => gauge!("waybill_saga_oldest_seconds", "step" => one, "state" => two),
                Gauge::Overdue => gauge!("waybill_sagas_overdue", "step" => one, "waiting_on" => two),
                Gauge::Incidents => gauge!("waybill_incidents", "step" => one, "cause" => two),
            }
            .set(value);
        }
    }

    /// Of every series that there ever was, what it is now.
    fn gauges(&mut self, found: &[Standing]) -> BTreeMap<Series, f64> {
        let mut now: BTreeMap<Series, f64> = self.told.iter().map(|series| (series.clone(), 0.0)).collect();
        let steps = DEFINITIONS.iter().flat_map(|definition| definition.steps);
        for (row, state) in steps.flat_map(|row| STATES.map(|state| (row, state))) {
            let (step, state) = (self.value("step", row.step), state.name().to_owned());
            now.entry((Gauge::OldestSeconds, step.clone(), state.clone())).or_default();
            now.entry((Gauge::Sagas, step, state)).or_default();
        }
        for Standing { step, state, waiting_on, cause, count, overdue, oldest_seconds } in found {
            let (step, state) = (self.value("step", step), self.value("state", state));
            let waiting_on = self.value("waiting_on", waiting_on.as_deref().unwrap_or(NOBODY));
            let (count, overdue) = (*count as f64, *overdue as f64);
            *now.entry((Gauge::Sagas, step.clone(), state.clone())).or_default() += count;
            let oldest = now.entry((Gauge::OldestSeconds, step.clone(), state.clone())).or_default();
            *oldest = oldest.max(*oldest_seconds);
            *now.entry((Gauge::Overdue, step.clone(), waiting_on)).or_default() += overdue;
            if state == SagaState::Paused.name() {
                let cause = self.value("cause", cause.as_deref().unwrap_or(OTHER));
                *now.entry((Gauge::Incidents, step, cause)).or_default() += count;
            }
        }
        self.told = now.keys().cloned().collect();
        now
    }

    fn value(&mut self, label: &'static str, value: &str) -> String {
        let known = self.values.entry(label).or_default();
        if !known.contains(value) {
            if known.len() >= MAX_VALUES {
                return OTHER.to_owned();
            }
            known.insert(value.to_owned());
        }
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused(step: &str, cause: &str, count: i64) -> Standing {
        Standing {
            step: step.to_owned(),
            state: "PAUSED".to_owned(),
            waiting_on: Some("operator".to_owned()),
            cause: Some(cause.to_owned()),
            count,
            overdue: 0,
            oldest_seconds: 60.0,
        }
    }

    fn of(which: Gauge, one: &str, two: &str) -> Series {
        (which, one.to_owned(), two.to_owned())
    }

    #[test]
    fn what_is_gone_is_told_to_be_none() {
        let mut survey = Survey::default();
        let now = survey.gauges(&[paused("ship", "no_such_address", 3), paused("ship", "retries_exhausted", 4)]);
        assert_eq!(now[&of(Gauge::Sagas, "ship", "PAUSED")], 7.0);
        assert_eq!(now[&of(Gauge::OldestSeconds, "ship", "PAUSED")], 60.0);
        assert_eq!(now[&of(Gauge::Incidents, "ship", "no_such_address")], 3.0);
        let then = survey.gauges(&[paused("ship", "retries_exhausted", 1)]);
        assert_eq!(then.keys().collect::<Vec<_>>(), now.keys().collect::<Vec<_>>(), "each series goes on");
        assert_eq!(then[&of(Gauge::Incidents, "ship", "no_such_address")], 0.0);
        assert_eq!(then[&of(Gauge::Incidents, "ship", "retries_exhausted")], 1.0);
        assert!(survey.gauges(&[]).values().all(|value| *value == 0.0));
    }

    #[test]
    fn every_step_of_every_saga_has_a_series_before_anything_is_at_it() {
        let now = Survey::default().gauges(&[]);
        for step in ["ship", "approve", "receive", "refund", "put_away"] {
            assert_eq!(now.get(&of(Gauge::Sagas, step, "WAITING")), Some(&0.0), "{step}");
            assert_eq!(now.get(&of(Gauge::OldestSeconds, step, "PAUSED")), Some(&0.0), "{step}");
        }
    }

    #[test]
    fn what_waits_too_long_is_counted_by_whom_it_waits_for() {
        let standing = |waiting_on: Option<&str>, overdue| Standing {
            state: "WAITING".to_owned(),
            waiting_on: waiting_on.map(str::to_owned),
            cause: None,
            overdue,
            ..paused("ship", "", 9)
        };
        let now = Survey::default().gauges(&[standing(Some("warehouse"), 2), standing(None, 1)]);
        assert_eq!(now[&of(Gauge::Overdue, "ship", "warehouse")], 2.0);
        assert_eq!(now[&of(Gauge::Overdue, "ship", "nobody")], 1.0);
        assert_eq!(now[&of(Gauge::Sagas, "ship", "WAITING")], 18.0);
    }

    #[test]
    fn a_participant_that_makes_up_codes_makes_no_series_without_end() {
        let mut survey = Survey::default();
        let incidents = |now: &BTreeMap<Series, f64>| {
            let of_incidents = now.iter().filter(|((which, ..), _)| *which == Gauge::Incidents);
            of_incidents.fold((0, 0.0), |(series, sum), (_, value)| (series + 1, sum + value))
        };
        for round in 0..10 {
            let found: Vec<_> = (0..100).map(|n| paused("ship", &format!("code-{round}-{n}"), 1)).collect();
            let now = survey.gauges(&found);
            assert_eq!(incidents(&now), (MAX_VALUES + 1, 100.0), "none is lost");
        }
    }
}
