//! Carries what the parts say of themselves to readiness, for as long as they live.
use crate::health::{Health, Part};
use crate::{
    replica::ReplicaStatus,
    roles::{Role, Roles},
};
use eventstore::sql::ClaimDays;
use mirror::{RelayState, RelayStatus, reachable::Reachable};
use queries::projections::{Handle, RunnerState};
use sagas::RunnerHandle;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many days of forgotten keys may lie about: a dump takes some hours.
const OVERDUE: usize = 2;
/// How often the sagas' runner is asked; and while it holds no slots, as in a start's first moment.
const SURVEY: Duration = Duration::from_millis(500);
const SURVEY_WITHOUT_SLOTS: Duration = Duration::from_millis(50);

/// Reports what is told of a part, each time it is.
fn carry<T: Send + Sync + 'static>(
    health: Arc<Health>,
    name: &'static str,
    mut told: watch::Receiver<T>,
    stop: CancellationToken,
    part: impl Fn(&T) -> Part + Send + 'static,
) {
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        loop {
            let now = part(&told.borrow_and_update());
            health.report(name, now);
            if told.changed().await.is_err() {
                return;
            }
        }
    }));
}

pub(super) fn claims(health: Arc<Health>, days: watch::Receiver<ClaimDays>, stop: CancellationToken) {
    carry(health, "claims", days, stop, claims_part);
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

pub(super) fn relay(health: Arc<Health>, roles: &Roles, status: watch::Receiver<RelayStatus>, stop: CancellationToken) {
    let without = without_kafka(roles);
    carry(health, "kafka", status, stop, move |status| relay_part(status, without));
}

/// For a process that has no relay: is Kafka there at all?
pub(super) fn kafka(health: Arc<Health>, roles: &Roles, answer: watch::Receiver<Reachable>, stop: CancellationToken) {
    let without = without_kafka(roles);
    carry(health, "kafka", answer, stop, move |answer| match answer {
        Reachable::Yes => Part::OK,
        Reachable::NotAsked => without("it is still to be asked".to_owned()),
        Reachable::No { error } => without(format!("Kafka can't be reached: {error}")),
    });
}

pub(super) fn replica(health: Arc<Health>, status: watch::Receiver<ReplicaStatus>, stop: CancellationToken) {
    carry(health, "replica", status, stop, replica_part);
}

/// What it has can be read, whatever becomes of its source.
fn replica_part(status: &ReplicaStatus) -> Part {
    let stands = |why: &str| Part::Degraded { detail: format!("the copy stands at {}: {why}", status.position()) };
    match status {
        ReplicaStatus::Following { .. } => Part::OK,
        ReplicaStatus::Starting => stands("it is starting"),
        ReplicaStatus::KafkaDown { error, .. } => stands(&format!("Kafka can't be read: {error}")),
        ReplicaStatus::DatabaseDown { error, .. } => stands(&format!("its database can't be used: {error}")),
        ReplicaStatus::Halted { why, .. } => stands(why),
        ReplicaStatus::Stopped { .. } => stands("it has stopped"),
    }
}

/// What it means that Kafka is away. Orders are taken all the same, so an API is ready; whoever works for those who read Kafka is not.
fn without_kafka(roles: &Roles) -> fn(String) -> Part {
    match !roles.has(Role::Api) && (roles.has(Role::Relay) || roles.has(Role::Sagas)) {
        true => |detail| Part::Down { detail },
        false => |detail| Part::Degraded { detail },
    }
}

fn relay_part(status: &RelayStatus, without: fn(String) -> Part) -> Part {
    let without = |detail: String| without(format!("{detail}; {} events behind", status.lag));
    match &status.state {
        RelayState::Running | RelayState::Standby => Part::OK,
        RelayState::Starting => without("the relay is starting".to_owned()),
        RelayState::KafkaDown { since, error } => without(format!("Kafka is away since {since}: {error}")),
        RelayState::StoreDown { since, error } => without(format!("the store is away since {since}: {error}")),
        RelayState::Halted(halt) => without(format!("the relay has halted: {halt}")),
        RelayState::Stopped => without("the relay has stopped".to_owned()),
    }
}

pub(super) fn projections(health: Arc<Health>, read_model: &Handle, stop: CancellationToken) {
    let (mut state, mut parked) = (read_model.state.clone(), read_model.parked.clone());
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        loop {
            let part = read_model_part(&state.borrow_and_update(), *parked.borrow_and_update());
            health.report("projections", part);
            let changed = tokio::select! {
                changed = state.changed() => changed,
                changed = parked.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }));
}

fn read_model_part(state: &RunnerState, parked: usize) -> Part {
    match state {
        RunnerState::Failing { error, since } => {
            Part::Degraded { detail: format!("the read model stands still since {since}: {error}") }
        }
        _ if parked > 0 => Part::Degraded {
            detail: format!("{parked} keys are parked: an event of theirs can't be taken in; see `waybill parked`"),
        },
        RunnerState::Starting | RunnerState::Running => Part::OK,
        RunnerState::Standby => Part::Ok { detail: Some("another process is at work".to_owned()) },
    }
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
            tokio::time::sleep(if status.slots_held == 0 { SURVEY_WITHOUT_SLOTS } else { SURVEY }).await;
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_kafka_an_api_is_ready_and_a_relay_or_sagas_alone_are_not() {
        let status = |state| RelayStatus { state, position: eventstore::Position(1), lag: 3 };
        let down = RelayState::KafkaDown { since: chrono::DateTime::UNIX_EPOCH, error: "refused".to_owned() };
        let part = |roles: &[Role], state: &RelayState| {
            relay_part(&status(state.clone()), without_kafka(&Roles::of(roles.iter().copied()).unwrap()))
        };
        assert!(matches!(part(&[Role::Api, Role::Relay], &down), Part::Degraded { .. }));
        for alone in [Role::Relay, Role::Sagas] {
            assert!(matches!(part(&[alone], &down), Part::Down { .. }));
            assert_eq!(part(&[alone], &RelayState::Standby), Part::OK, "the one at work does it");
        }
        assert!(matches!(part(&[Role::Projections], &down), Part::Degraded { .. }));
    }

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
