//! The audits, at low priority: whoever carries the log to Kafka looks after what lies there, whoever keeps the read model up after its rows.
//! Their verdicts stand in the metrics, and each fault once in the log.
use super::{Addresses, core::Core};
use crate::{config::Settings, roles::Role};
use eventstore::Position;
use mirror::{Start, audit};
use queries::projections::{AuditPace, AuditVerdict, audit_rows};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(super) fn start(
    core: &Core,
    settings: &Settings,
    at: &Addresses,
    applied: Option<watch::Receiver<Position>>,
    stop: &CancellationToken,
) {
    let share = settings.audit_share;
    if share == 0.0 {
        return;
    }
    // What the stand-in holds begins anywhere, and is gone soon.
    let kafka = at.kafka.clone().filter(|kafka| kafka.start == Start::Beginning);
    if let (true, Some(kafka)) = (settings.roles.has(Role::Relay), kafka) {
        let pace = audit::Pace { share, ..audit::Pace::default() };
        // It ends by its token, and holds nothing.
        drop(audit::Audit::spawn(core.store.clone(), kafka, pace, Position::ZERO, stop.clone()));
    }
    if let (true, Some(applied)) = (settings.roles.has(Role::Projections), applied) {
        let pace = AuditPace { share, ..AuditPace::default() };
        let (told, _) = watch::channel(AuditVerdict::default());
        tokio::spawn(audit_rows(core.store.clone(), core.database.clone(), applied, pace, told, stop.clone()));
    }
}
