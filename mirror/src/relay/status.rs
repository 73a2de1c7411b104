//! What a relay says of itself: to whoever watches, and in metrics.
use crate::chain::Halt;
use chrono::{DateTime, Utc};
use eventstore::{Log, Position};
use tokio::sync::watch;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayStatus {
    pub state: RelayState,
    /// All up to here is in Kafka.
    pub position: Position,
    /// How many events of the store aren't in Kafka yet.
    pub lag: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayState {
    Starting,
    Running,
    /// Kafka can't be reached, or doesn't take our records; it is tried again for ever.
    KafkaDown {
        since: DateTime<Utc>,
        error: String,
    },
    /// The event store can't be read; it is tried again for ever.
    StoreDown {
        since: DateTime<Utc>,
        error: String,
    },
    /// Another relay of this log is at work; this one takes over once the other has stopped moving.
    Standby,
    /// Writing would spoil what is there. It is looked at again now and then, and goes on once that is settled.
    Halted(Halt),
    Stopped,
}

/// The one writer of the status.
#[derive(Debug)]
pub(super) struct Reporter {
    status: watch::Sender<RelayStatus>,
    log: String,
}

impl Reporter {
    pub(super) fn new(log: Log) -> Self {
        let status = RelayStatus { state: RelayState::Starting, position: Position::ZERO, lag: 0 };
        Reporter { status: watch::Sender::new(status), log: log.name().into_owned() }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<RelayStatus> {
        self.status.subscribe()
    }

    pub(super) fn state(&self, state: RelayState) {
        self.status.send_if_modified(|status| {
            let changed = status.state != state;
            if changed {
                tracing::debug!(log = self.log, ?state, "relay");
                status.state = state;
            }
            changed
        });
    }

    pub(super) fn kafka_down(&self, error: &str) {
        metrics::counter!("waybill_relay_errors_total", "log" => self.log.clone()).increment(1);
        self.down(
            error,
            |status| matches!(status, RelayState::KafkaDown { .. }),
            |since, error| RelayState::KafkaDown { since, error },
        );
    }

    pub(super) fn store_down(&self, error: &str) {
        self.down(
            error,
            |status| matches!(status, RelayState::StoreDown { .. }),
            |since, error| RelayState::StoreDown { since, error },
        );
    }

    /// Keeps `since` while the same trouble goes on, and logs only its beginning.
    fn down(
        &self,
        error: &str,
        same: impl Fn(&RelayState) -> bool,
        state: impl Fn(DateTime<Utc>, String) -> RelayState,
    ) {
        self.status.send_modify(|status| {
            let since = match &status.state {
                RelayState::KafkaDown { since, .. } | RelayState::StoreDown { since, .. } if same(&status.state) => {
                    *since
                }
                _ => {
                    tracing::warn!(log = self.log, error, "the relay waits");
                    Utc::now()
                }
            };
            status.state = state(since, error.to_owned());
        });
    }

    /// It is at work, and has come this far.
    pub(super) fn running(&self, position: Position, head: Position) {
        let lag = (head.0 - position.0).max(0);
        self.status.send_modify(|status| {
            if matches!(status.state, RelayState::KafkaDown { .. } | RelayState::StoreDown { .. }) {
                tracing::info!(log = self.log, %position, lag, "the relay goes on");
            }
            *status = RelayStatus { state: RelayState::Running, position, lag };
        });
        self.gauges(position, lag);
    }

    /// The store has come further, whatever becomes of Kafka.
    pub(super) fn head(&self, head: Position) {
        let mut position = Position::ZERO;
        self.status.send_modify(|status| {
            status.lag = (head.0 - status.position.0).max(0);
            position = status.position;
        });
        self.gauges(position, (head.0 - position.0).max(0));
    }

    pub(super) fn transaction(&self, events: usize, seconds: f64) {
        metrics::counter!("waybill_relay_transactions_total", "log" => self.log.clone()).increment(1);
        metrics::counter!("waybill_relay_events_total", "log" => self.log.clone()).increment(events as u64);
        metrics::histogram!("waybill_relay_transaction_seconds", "log" => self.log.clone()).record(seconds);
    }

    fn gauges(&self, position: Position, lag: i64) {
        metrics::gauge!("waybill_relay_position", "log" => self.log.clone()).set(position.0 as f64);
        metrics::gauge!("waybill_relay_lag", "log" => self.log.clone()).set(lag as f64);
    }
}
