//! What an audit says of itself: to whoever watches, in metrics, and of each fault once in the log.
use super::known::Known;
use crate::{ChainFault, FaultKind};
use chrono::{DateTime, Utc};
use eventstore::{Log, Position};
use tokio::sync::watch;

/// Faults that are told one by one: in the status, and of one look in the log.
const TOLD: usize = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditStatus {
    pub state: AuditState,
    /// Up to here this pass has come.
    pub position: Position,
    /// Passes that came to the head.
    pub passes: u64,
    /// How many faults are known.
    pub faults: usize,
    /// The first of them.
    pub first: Vec<ChainFault>,
    /// Events that the last whole pass found trimmed away from the beginning of their partitions: no fault.
    pub trimmed: u64,
    /// When it last looked and knew of no fault.
    pub clean_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditState {
    Starting,
    /// At work, or at the head.
    Looking,
    /// Kafka or the store can't be read; it is tried again for ever.
    Waiting {
        since: DateTime<Utc>,
        error: String,
    },
}

/// The one writer of the status.
#[derive(Debug)]
pub(super) struct Reporter {
    status: watch::Sender<AuditStatus>,
    log: String,
}

impl Reporter {
    pub(super) fn new(log: Log, position: Position) -> Self {
        let status = AuditStatus {
            state: AuditState::Starting,
            position,
            passes: 0,
            faults: 0,
            first: Vec::new(),
            trimmed: 0,
            clean_at: None,
        };
        Reporter { status: watch::Sender::new(status), log: log.name().into_owned() }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<AuditStatus> {
        self.status.subscribe()
    }

    pub(super) fn looked(&self, position: Position, passes: u64, known: &Known, news: &[ChainFault]) {
        for fault in news.iter().take(TOLD) {
            tracing::error!(log = self.log, %fault, "the audit has found a fault in Kafka");
        }
        if news.len() > TOLD {
            tracing::error!(log = self.log, more = news.len() - TOLD, "the audit has found more faults there");
        }
        self.tell(position, passes, known);
    }

    /// What a pass has found trimmed away; told with the next word.
    pub(super) fn trimmed(&self, events: u64) {
        self.status.send_if_modified(|status| {
            status.trimmed = events;
            false
        });
        metrics::gauge!("waybill_audit_trimmed_events", "log" => self.log.clone()).set(events as f64);
    }

    /// At the head.
    pub(super) fn passed(&self, position: Position, passes: u64, known: &Known) {
        let before = self.status.borrow().passes;
        if passes > before {
            tracing::debug!(log = self.log, %position, faults = known.len(), "the audit has passed over the whole log");
            metrics::counter!("waybill_audit_passes_total", "log" => self.log.clone()).increment(passes - before);
        }
        self.tell(position, passes, known);
    }

    fn tell(&self, position: Position, passes: u64, known: &Known) {
        let now = Utc::now();
        let clean = known.is_empty();
        self.status.send_modify(|status| {
            if matches!(status.state, AuditState::Waiting { .. }) {
                tracing::info!(log = self.log, %position, "the audit goes on");
            }
            let clean_at = if clean { Some(now) } else { status.clean_at };
            let (state, faults, first) = (AuditState::Looking, known.len(), known.first(TOLD));
            *status = AuditStatus { state, position, passes, faults, first, trimmed: status.trimmed, clean_at };
        });
        metrics::gauge!("waybill_audit_position", "log" => self.log.clone()).set(position.0 as f64);
        for kind in FaultKind::ALL {
            let gauge = metrics::gauge!("waybill_audit_faults", "log" => self.log.clone(), "kind" => kind.name());
            gauge.set(known.count(kind) as f64);
        }
        if clean {
            let gauge = metrics::gauge!("waybill_audit_clean_timestamp_seconds", "log" => self.log.clone());
            gauge.set(now.timestamp() as f64);
        }
    }

    /// Keeps `since` while the same trouble goes on, and logs only its beginning.
    pub(super) fn waiting(&self, error: &str) {
        self.status.send_modify(|status| {
            let since = match &status.state {
                AuditState::Waiting { since, .. } => *since,
                _ => {
                    tracing::warn!(log = self.log, error, "the audit waits");
                    Utc::now()
                }
            };
            status.state = AuditState::Waiting { since, error: error.to_owned() };
        });
    }
}
