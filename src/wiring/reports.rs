//! Carries what the parts say of themselves to readiness, for as long as they live.
use crate::health::{Health, Part};
use eventstore::sql::ClaimDays;
use mirror::{RelayState, RelayStatus};
use queries::projections::RunnerState;
use sagas::RunnerHandle;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many days of forgotten keys may lie about: a dump takes some hours.
const OVERDUE: usize = 2;
/// How often the sagas' runner is asked.
const SURVEY: Duration = Duration::from_millis(500);

pub(super) fn claims(health: Arc<Health>, mut days: watch::Receiver<ClaimDays>, stop: CancellationToken) {
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        loop {
            let part = claims_part(&days.borrow_and_update());
            health.report("claims", part);
            if days.changed().await.is_err() {
                return;
            }
        }
    }));
}

/// What can't be dropped for a while costs a little room; without a partition for tomorrow, keys that should be forgotten soon stay for ever.
fn claims_part(days: &ClaimDays) -> Part {
    let ClaimDays { covered, overdue, trouble } = days;
    let trouble = trouble.as_deref().unwrap_or("they are still to be made");
    match covered {
        0 | 1 => Part::Degraded {
            detail: format!(
                "there are partitions for {covered} days of idempotency keys, then they are kept for ever: {trouble}"
            ),
        },
        _ if *overdue > OVERDUE => Part::Degraded {
            detail: format!("{overdue} days of idempotency keys are over and can't be dropped: {trouble}"),
        },
        _ => Part::OK,
    }
}

pub(super) fn relay(health: Arc<Health>, mut status: watch::Receiver<RelayStatus>, stop: CancellationToken) {
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        loop {
            let part = relay_part(&status.borrow_and_update());
            health.report("kafka", part);
            if status.changed().await.is_err() {
                return;
            }
        }
    }));
}

fn relay_part(status: &RelayStatus) -> Part {
    let degraded = |detail: String| Part::Degraded { detail: format!("{detail}; {} events behind", status.lag) };
    match &status.state {
        RelayState::Running | RelayState::Standby => Part::OK,
        RelayState::Starting => degraded("the relay is starting".to_owned()),
        RelayState::KafkaDown { since, error } => degraded(format!("Kafka is away since {since}: {error}")),
        RelayState::StoreDown { since, error } => degraded(format!("the store is away since {since}: {error}")),
        RelayState::Halted(halt) => degraded(format!("the relay has halted: {halt}")),
        RelayState::Stopped => degraded("the relay has stopped".to_owned()),
    }
}

pub(super) fn projections(health: Arc<Health>, mut state: watch::Receiver<RunnerState>, stop: CancellationToken) {
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        loop {
            let part = match &*state.borrow_and_update() {
                RunnerState::Starting | RunnerState::Running => Part::OK,
                RunnerState::Failing { error, since } => {
                    Part::Degraded { detail: format!("the read model stands still since {since}: {error}") }
                }
            };
            health.report("projections", part);
            if state.changed().await.is_err() {
                return;
            }
        }
    }));
}

pub(super) fn sagas(health: Arc<Health>, runner: RunnerHandle, stop: CancellationToken) {
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        loop {
            let status = runner.status();
            let part = match () {
                () if status.slots_held == 0 => Part::Degraded {
                    detail: "no slots are held: another owner's leases last, or the store is away".to_owned(),
                },
                () if !status.not_answering.is_empty() => Part::Ok {
                    detail: Some(format!(
                        "{} does not answer; {} sagas wait",
                        status.not_answering.join(" and "),
                        status.waiting_for_payment + status.waiting_for_shipping
                    )),
                },
                () => Part::OK,
            };
            health.report("sagas", part);
            tokio::time::sleep(SURVEY).await;
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_can_t_be_forgotten_are_told_before_they_pile_up() {
        let part = |covered, overdue| claims_part(&ClaimDays { covered, overdue, trouble: Some("no room".into()) });
        assert_eq!((part(4, 0), part(2, OVERDUE)), (Part::OK, Part::OK));
        for (covered, overdue) in [(0, 0), (1, 0), (4, OVERDUE + 1)] {
            let Part::Degraded { detail } = part(covered, overdue) else { panic!("{covered}, {overdue}") };
            assert!(detail.ends_with("no room"), "{detail}");
        }
    }
}
