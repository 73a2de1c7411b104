//! Keeps the read model up with the log.
use super::{
    ChangedOrder, ProjectionError,
    builder::{BATCH_EVENTS, Builder, pool},
};
use chrono::{DateTime, Utc};
use eventstore::{EventFeed, EventStore, Position, StoreFeed};
use metrics::{counter, gauge, histogram};
use sqlx::{PgPool, postgres::PgConnectOptions};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Where the live tables lie.
pub(super) const SCHEMA: &str = "read";
/// How long it waits after a failure: doubled each time, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Is told of each commit, on the runner's own task: it must not block.
pub trait ProjectionObserver: Send + Sync {
    /// `orders` are those that changed since the last call, each once, as they are at `position`.
    fn committed(&self, position: Position, orders: &[ChangedOrder]);
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerState {
    Starting,
    Running,
    /// It tries again by itself; until then the read model stays where it is.
    Failing {
        error: String,
        since: DateTime<Utc>,
    },
}

/// What others see of the runner.
#[derive(Clone, Debug)]
pub struct Handle {
    /// The position that the committed rows reflect; 0 until the checkpoint was read.
    pub applied: watch::Receiver<Position>,
    pub state: watch::Receiver<RunnerState>,
}

pub struct Runner {
    store: Arc<dyn EventStore>,
    pool: PgPool,
    observer: Arc<dyn ProjectionObserver>,
    applied: watch::Sender<Position>,
    state: watch::Sender<RunnerState>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("applied", &self.applied).finish_non_exhaustive()
    }
}

impl Runner {
    /// Opens a connection of its own with these options when it runs. The schema must be there: see `eventstore::sql::migrate`.
    pub fn new(
        store: Arc<dyn EventStore>,
        database: &PgConnectOptions,
        observer: Arc<dyn ProjectionObserver>,
    ) -> (Runner, Handle) {
        let (applied, applied_receiver) = watch::channel(Position::ZERO);
        let (state, state_receiver) = watch::channel(RunnerState::Starting);
        let runner = Runner { store, pool: pool(database, SCHEMA), observer, applied, state };
        (runner, Handle { applied: applied_receiver, state: state_receiver })
    }

    /// Runs until it is told to stop. Stopping in the midst of a batch loses nothing: the batch is not committed and comes again.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = BACKOFF.0;
        loop {
            let before = *self.applied.borrow();
            let error = tokio::select! {
                () = stop.cancelled() => break,
                Err(error) = self.follow() => error,
            };
            if *self.applied.borrow() > before {
                backoff = BACKOFF.0;
            }
            self.failed(&error);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF.1),
            }
        }
        self.pool.close().await;
    }

    /// Follows the log from the checkpoint on; ends only by an error. Whatever was folded and not committed is forgotten with it.
    async fn follow(&self) -> Result<std::convert::Infallible, ProjectionError> {
        let mut builder = Builder::open(self.store.clone(), self.pool.clone()).await?;
        let mut feed = StoreFeed::new(self.store.clone(), builder.position());
        let head = self.store.watch_head();
        info!(position = %builder.position(), "the read model goes on");
        self.applied.send_replace(builder.position());
        loop {
            let events = feed.next(BATCH_EVENTS).await?;
            let (started, count) = (Instant::now(), events.len());
            let changed = builder.apply(events).await?;
            let position = builder.position();
            self.applied.send_replace(position);
            self.state.send_if_modified(|state| {
                let recovered = *state != RunnerState::Running;
                *state = RunnerState::Running;
                recovered
            });
            self.observer.committed(position, &changed);
            histogram!("waybill_projection_batch_seconds").record(started.elapsed());
            counter!("waybill_projection_events_total").increment(count as u64);
            gauge!("waybill_projection_position").set(position.0 as f64);
            gauge!("waybill_projection_lag_events").set((head.borrow().0 - position.0).max(0) as f64);
        }
    }

    /// Logged once for each new failure, not for each try.
    fn failed(&self, error: &ProjectionError) {
        let text = error.to_string();
        counter!("waybill_projection_failures_total").increment(1);
        self.state.send_if_modified(|state| {
            let since = match state {
                RunnerState::Failing { error, .. } if *error == text => return false,
                RunnerState::Failing { since, .. } => *since,
                RunnerState::Starting | RunnerState::Running => Utc::now(),
            };
            error!(error = %text, position = %*self.applied.borrow(), "the read model stands still; trying again");
            *state = RunnerState::Failing { error: text, since };
            true
        });
    }
}
