//! Keeps the read model up with the log.
//!
//! Of several runners one drives; see `standby`. It also takes parked keys up again, by itself once and when an operator asks for it.
use super::{
    ChangedOrder, ProjectionError,
    builder::{BATCH_EVENTS, Builder},
    connection::live_pool,
    pace::Pace,
    parked::Parked,
    requests::Request,
    standby::{somebody_drives, stand_by},
    watch::{Awaited, Follower},
};
use crate::sql::{requests, watch::say_stopped};
use chrono::{DateTime, Utc};
use eventstore::{EventFeed, EventStore, Position, StoreFeed};
use metrics::{counter, gauge, histogram};
use sqlx::{PgPool, postgres::PgConnectOptions};
use std::{
    collections::HashSet,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use uuid::Uuid;

/// Where the live tables lie.
pub(super) const SCHEMA: &str = "read";
/// How long it waits after a failure: doubled each time, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often it looks whether an operator asks for something, while any key is parked; and how long it may take to see a request.
const LOOK_FOR_REQUESTS: Duration = Duration::from_secs(1);
/// How many parked keys are taken up again between two batches.
const SETTLED_AT_A_TIME: usize = 64;
/// A stop waits no longer for telling of it.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(1);
/// A batch without an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Is told of each commit, on the runner's own task: it must not block.
pub trait ProjectionObserver: Send + Sync {
    /// `orders` are those that changed since the last call, each once, as they are at `position`.
    fn committed(&self, position: Position, orders: &[ChangedOrder]);
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerState {
    Starting,
    Running,
    /// Another runner drives, in this process or another; this one follows it and takes over when it stops.
    Standby,
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
    /// How many keys are parked.
    pub parked: watch::Receiver<usize>,
}

pub struct Runner {
    store: Arc<dyn EventStore>,
    database: PgConnectOptions,
    observer: Arc<dyn ProjectionObserver>,
    follower: Follower,
    applied: watch::Sender<Position>,
    state: watch::Sender<RunnerState>,
    parked: watch::Sender<usize>,
    /// What it has taken up again by itself, each once: it may know an event that the program before did not.
    tried: HashSet<(Uuid, Position)>,
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
        let (parked, parked_receiver) = watch::channel(0);
        let follower = Follower::new(observer.clone(), Arc::new(()), applied.clone(), parked.clone());
        let (database, tried) = (database.clone(), HashSet::new());
        let runner = Runner { store, database, observer, follower, applied, state, parked, tried };
        (runner, Handle { applied: applied_receiver, state: state_receiver, parked: parked_receiver })
    }

    /// Whoever waits for an order here is told of it also while another runner drives.
    #[must_use]
    pub fn with_awaited(mut self, awaited: Arc<dyn Awaited>) -> Runner {
        self.follower = Follower::new(self.observer.clone(), awaited, self.applied.clone(), self.parked.clone());
        self
    }

    /// Runs until it is told to stop. Stopping in the midst of a batch loses nothing: the batch is not committed and comes again.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut backoff = BACKOFF.0;
        let mut overtaken = false;
        loop {
            let before = *self.applied.borrow();
            let error = tokio::select! {
                () = stop.cancelled() => {
                    self.hand_over().await;
                    break;
                }
                Err(error) = self.drive(overtaken) => error,
            };
            overtaken = matches!(error, ProjectionError::Overtaken { .. });
            if overtaken {
                continue;
            }
            if *self.applied.borrow() > before {
                backoff = BACKOFF.0;
            }
            self.failed(&error);
            let is_newer = matches!(error, ProjectionError::OtherVersion { found, ours } if found > ours);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.follow_a_newer_one(), if is_newer => {}
                () = tokio::time::sleep(backoff), if !is_newer => backoff = (backoff * 2).min(BACKOFF.1),
            }
        }
    }

    /// The rows are a newer release's, and this one writes them no more; whoever waits here is told of what that one commits. Ends when nobody
    /// seems to drive them.
    async fn follow_a_newer_one(&mut self) {
        let pool = live_pool(&self.database);
        if stand_by(self.store.as_ref(), &self.database, &pool, &mut self.follower).await.is_err() {
            tokio::time::sleep(BACKOFF.1).await;
        }
    }

    /// Whoever stands by need not wait until it is sure.
    async fn hand_over(&self) {
        if *self.state.borrow() != RunnerState::Running {
            return;
        }
        match tokio::time::timeout(HAND_OVER_TIMEOUT, say_stopped(&self.database)).await {
            Ok(Ok(())) => info!(position = %*self.applied.borrow(), "the read model is left to others"),
            _ => info!("nobody can be told that the read model is left to others; they will see it"),
        }
    }

    /// Stands by as long as another drives, then drives; ends only by an error. Connections are new each time: what became of those before
    /// is not known.
    async fn drive(&mut self, overtaken: bool) -> Result<Infallible, ProjectionError> {
        let pool = live_pool(&self.database);
        if overtaken || somebody_drives(&pool).await? {
            info!(position = %*self.applied.borrow(), "another runner drives the read model; standing by");
            self.now(RunnerState::Standby);
            stand_by(self.store.as_ref(), &self.database, &pool, &mut self.follower).await?;
        }
        self.follow(pool).await
    }

    /// Follows the log from the checkpoint on; ends only by an error. Whatever was folded and not committed is forgotten with it.
    async fn follow(&mut self, pool: PgPool) -> Result<Infallible, ProjectionError> {
        let mut builder = Builder::take_over(self.store.clone(), pool.clone()).await?;
        let mut feed = StoreFeed::new(self.store.clone(), builder.position());
        let mut head = self.store.watch_head();
        let mut pace = Pace::new();
        info!(position = %builder.position(), parked = builder.held.parked.len(), "the read model goes on");
        // Who waits for an order that has ended long ago need not wait until something happens.
        self.committed(&builder, &[]);
        if let Some(from) = builder.raised_from {
            builder.renew(from).await?;
        }
        // What another runner committed since the last look.
        self.follower.look(&pool).await?;
        let mut untried: Vec<Uuid> = self.untried(&builder);
        let mut looked = None;
        loop {
            self.take_up_again(&mut builder, &mut untried).await?;
            if looked.is_none_or(|looked: Instant| looked.elapsed() >= LOOK_FOR_REQUESTS) {
                self.carry_out(&pool, &mut builder).await?;
                looked = Some(Instant::now());
            }
            pace.rest(|after, count| self.store.recent(after, count), &mut head, builder.position()).await;
            let is_behind = *head.borrow() > builder.position();
            let events = match builder.held.parked.is_empty() || is_behind {
                true => feed.next(BATCH_EVENTS).await?,
                false => {
                    let patience = if untried.is_empty() { LOOK_FOR_REQUESTS } else { Duration::ZERO };
                    match tokio::time::timeout(patience, feed.next(BATCH_EVENTS)).await {
                        Ok(events) => events?,
                        Err(_) => continue,
                    }
                }
            };
            let (started, count) = (Instant::now(), events.len());
            let changed = in_time(builder.apply(events)).await?;
            pace.wrote(started.elapsed());
            self.now(RunnerState::Running);
            self.committed(&builder, &changed);
            histogram!("waybill_projection_batch_seconds").record(started.elapsed());
            counter!("waybill_projection_events_total").increment(count as u64);
            gauge!("waybill_projection_lag_events").set((head.borrow().0 - builder.position().0).max(0) as f64);
        }
    }

    fn committed(&self, builder: &Builder, changed: &[ChangedOrder]) {
        let (position, parked) = (builder.position(), builder.held.parked.len());
        self.applied.send_replace(position);
        self.parked.send_if_modified(|known| std::mem::replace(known, parked) != parked);
        self.observer.committed(position, changed);
        gauge!("waybill_projection_position").set(position.0 as f64);
        gauge!("waybill_projection_parked").set(parked as f64);
    }

    /// Parked keys at events that this program has not tried yet.
    fn untried(&mut self, builder: &Builder) -> Vec<Uuid> {
        let parked = &builder.held.parked;
        // What is parked no more need not be remembered.
        self.tried.retain(|(key, position)| parked.get(key).is_some_and(|parked| parked.position == *position));
        let is_untried = |(key, event): &(&Uuid, &Parked)| !self.tried.contains(&(**key, event.position));
        parked.iter().filter(is_untried).map(|(key, _)| *key).collect()
    }

    async fn take_up_again(&mut self, builder: &mut Builder, untried: &mut Vec<Uuid>) -> Result<(), ProjectionError> {
        for key in untried.split_off(untried.len().saturating_sub(SETTLED_AT_A_TIME)) {
            let settled = in_time(builder.settle(key, None)).await?;
            if let Some(parked) = builder.held.parked.get(&key) {
                self.tried.insert((key, parked.position));
            }
            self.committed(builder, &settled.changed);
        }
        Ok(())
    }

    /// What operators have asked for.
    async fn carry_out(&self, pool: &PgPool, builder: &mut Builder) -> Result<(), ProjectionError> {
        let asked = requests::open(&mut *pool.acquire().await?, SETTLED_AT_A_TIME as i64).await?;
        for request in asked {
            let settled = in_time(builder.settle(request.key, Some(&request))).await?;
            let Request { key, verb, reason, by, .. } = &request;
            info!(%key, verb = verb.name(), outcome = settled.outcome.name(), %reason, %by, "an operator asked for it");
            self.committed(builder, &settled.changed);
        }
        Ok(())
    }

    fn now(&self, now: RunnerState) {
        self.state.send_if_modified(|state| {
            let is_new = *state != now;
            *state = now;
            is_new
        });
    }

    /// Logged once for each new failure, not for each try.
    fn failed(&self, error: &ProjectionError) {
        let text = error.to_string();
        counter!("waybill_projection_failures_total").increment(1);
        self.state.send_if_modified(|state| {
            let since = match state {
                RunnerState::Failing { error, .. } if *error == text => return false,
                RunnerState::Failing { since, .. } => *since,
                RunnerState::Starting | RunnerState::Running | RunnerState::Standby => Utc::now(),
            };
            error!(error = %text, position = %*self.applied.borrow(), "the read model stands still; trying again");
            *state = RunnerState::Failing { error: text, since };
            true
        });
    }
}

/// A server that answers no more is not waited for; its connection is given up with the error.
pub(super) async fn in_time<T>(done: impl Future<Output = Result<T, ProjectionError>>) -> Result<T, ProjectionError> {
    tokio::time::timeout(WRITE_TIMEOUT, done).await.map_err(|_| ProjectionError::Silent(WRITE_TIMEOUT.as_secs()))?
}
