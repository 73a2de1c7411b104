//! Carries what the parts say of themselves to readiness, for as long as they live.
use crate::health::{Health, Part};
use mirror::{RelayState, RelayStatus};
use queries::projections::RunnerState;
use sagas::RunnerHandle;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the sagas' runner is asked.
const SURVEY: Duration = Duration::from_millis(500);

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
