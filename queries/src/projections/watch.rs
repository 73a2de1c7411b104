//! Follows the read model from outside: for a process that answers and doesn't run the projections, and for a runner that stands by.
//!
//! It hears of each commit by `NOTIFY` and looks anyway every second: at the checkpoint, and at every order that somebody waits for. A look is
//! one statement, so one moment. An order is told of when it is first awaited, when its row has moved, and for as long as it is awaited
//! though it has ended: so whoever begins to wait between an end and its notification is told all the same. It writes nothing.
use super::{
    ChangedOrder, ProjectionError,
    connection::pool,
    runner::{Handle, ProjectionObserver, RunnerState, SCHEMA},
};
use crate::sql::{
    parked,
    watch::{STOPPED, Shown, ShownOrder, listen, shown},
};
use chrono::Utc;
use domain::{OrderId, fulfillment::OrderStatus};
use eventstore::Position;
use metrics::gauge;
use sqlx::{PgPool, postgres::PgConnectOptions};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

/// How long it trusts to being told.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);
/// Between two looks, and at least as long as the last one took, if that was no longer than `LOOK_ANYWAY`: a busy log does not make a busy watch,
/// and one that was frozen in the midst of a look goes on at once.
const LOOK_PAUSE: Duration = Duration::from_millis(2);
/// A look without an answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Until a lost connection is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// More orders than these are not looked at in one look.
const MAX_AWAITED: usize = 20_000;

/// Who waits for orders.
pub trait Awaited: Send + Sync {
    /// The orders that somebody waits for now; at most 20,000 are looked at. Asked at each look, and must not block.
    fn orders(&self) -> Vec<Uuid>;
}

/// Nobody waits.
impl Awaited for () {
    fn orders(&self) -> Vec<Uuid> {
        Vec::new()
    }
}

/// Tells an observer what a runner in another process commits.
pub struct Watch {
    database: PgConnectOptions,
    follower: Follower,
    state: watch::Sender<RunnerState>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("applied", &self.follower.applied).finish_non_exhaustive()
    }
}

impl Watch {
    /// Opens two connections of its own when it runs: one listens, one looks. Its state is `Standby` as long as the database answers.
    pub fn new(
        database: &PgConnectOptions,
        observer: Arc<dyn ProjectionObserver>,
        awaited: Arc<dyn Awaited>,
    ) -> (Watch, Handle) {
        let (applied, applied_receiver) = watch::channel(Position::ZERO);
        let (state, state_receiver) = watch::channel(RunnerState::Starting);
        let (parked, parked_receiver) = watch::channel(0);
        let follower = Follower::new(observer, awaited, applied, parked);
        let watch = Watch { database: database.clone(), follower, state };
        (watch, Handle { applied: applied_receiver, state: state_receiver, parked: parked_receiver })
    }

    /// Runs until it is told to stop. A lost connection is tried again for ever.
    pub async fn run(mut self, stop: CancellationToken) {
        let told = Heard::default();
        let database = self.database.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = listen_for_ever(&database, &told) => {}
            () = self.look_for_ever(&told) => {}
        }
    }

    async fn look_for_ever(&mut self, told: &Heard) {
        loop {
            let pool = pool(&self.database, SCHEMA);
            let error = loop {
                match self.follower.look(&pool).await {
                    Ok(_) => self.found(RunnerState::Standby),
                    Err(error) => break error.to_string(),
                }
                self.follower.wait(told).await;
            };
            let since = match &*self.state.borrow() {
                RunnerState::Failing { since, .. } => *since,
                _ => Utc::now(),
            };
            self.found(RunnerState::Failing { error, since });
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn found(&self, now: RunnerState) {
        self.state.send_if_modified(|state| {
            let is_new = *state != now;
            if is_new && let RunnerState::Failing { error, .. } = &now {
                warn!(%error, "the read model can't be looked at; trying again");
            }
            *state = now;
            is_new
        });
    }
}

/// Looks, and tells.
pub(super) struct Follower {
    observer: Arc<dyn ProjectionObserver>,
    awaited: Arc<dyn Awaited>,
    pub(super) applied: watch::Sender<Position>,
    pub(super) parked: watch::Sender<usize>,
    /// Of the awaited orders, up to which of its events each was told.
    told: HashMap<Uuid, Position>,
    took: Duration,
    counted: Option<Instant>,
}

impl Follower {
    pub(super) fn new(
        observer: Arc<dyn ProjectionObserver>,
        awaited: Arc<dyn Awaited>,
        applied: watch::Sender<Position>,
        parked: watch::Sender<usize>,
    ) -> Follower {
        Follower { observer, awaited, applied, parked, told: HashMap::new(), took: Duration::ZERO, counted: None }
    }

    /// Until it is told of something, or for a second.
    pub(super) async fn wait(&self, told: &Heard) {
        tokio::time::sleep(self.took.clamp(LOOK_PAUSE, LOOK_ANYWAY)).await;
        let _ = tokio::time::timeout(LOOK_ANYWAY, told.anything.notified()).await;
    }

    /// Looks once, and tells the observer. `None`: there is no read model yet.
    pub(super) async fn look(&mut self, pool: &PgPool) -> Result<Option<Shown>, ProjectionError> {
        let late = |_| ProjectionError::Silent(LOOK_TIMEOUT.as_secs());
        tokio::time::timeout(LOOK_TIMEOUT, self.look_once(pool)).await.map_err(late)?
    }

    async fn look_once(&mut self, pool: &PgPool) -> Result<Option<Shown>, ProjectionError> {
        let began = Instant::now();
        // Before the rows are read: whoever comes later is in the next look.
        let mut orders = self.awaited.orders();
        orders.truncate(MAX_AWAITED);
        let mut conn = pool.acquire().await?;
        let Some(shown) = shown(&mut conn, &orders).await? else { return Ok(None) };
        if self.counted.is_none_or(|counted| counted.elapsed() >= LOOK_ANYWAY) {
            let parked = parked::count(&mut conn).await?;
            self.parked.send_if_modified_to(parked);
            gauge!("waybill_projection_parked").set(parked as f64);
            self.counted = Some(Instant::now());
        }
        let before: HashMap<Uuid, Position> = std::mem::take(&mut self.told);
        let mut changed = Vec::new();
        for order in &shown.orders {
            self.told.insert(order.order_id, order.position);
            let order = changed_order(order)?;
            if order.ended || before.get(&order.order_id.0) != Some(&order.position) {
                changed.push(order);
            }
        }
        let moved = self.applied.send_if_modified_to(shown.position);
        gauge!("waybill_projection_position").set(shown.position.0 as f64);
        if moved || !changed.is_empty() {
            self.observer.committed(shown.position, &changed);
        }
        self.took = began.elapsed();
        Ok(Some(shown))
    }
}

/// What was heard and not yet looked after.
#[derive(Debug, Default)]
pub(super) struct Heard {
    anything: Notify,
    stopped: AtomicBool,
}

impl Heard {
    fn hear(&self, what: &str) {
        if what == STOPPED {
            self.stopped.store(true, Ordering::Relaxed);
        }
        self.anything.notify_one();
    }

    /// Whether the one that drove has said that it stops, since this was last asked.
    pub(super) fn of_a_stop(&self) -> bool {
        self.stopped.swap(false, Ordering::Relaxed)
    }
}

/// Wakes whoever looks at each commit, and when it has just begun to listen.
pub(super) async fn listen_for_ever(database: &PgConnectOptions, told: &Heard) {
    loop {
        if let Err(error) = listen(database, |what| told.hear(what)).await {
            tracing::debug!(%error, "the connection that listens for the read model is down");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

trait SendTo<T> {
    /// Whether it was another value before.
    fn send_if_modified_to(&self, value: T) -> bool;
}

impl<T: PartialEq> SendTo<T> for watch::Sender<T> {
    fn send_if_modified_to(&self, value: T) -> bool {
        self.send_if_modified(|known| {
            let is_new = *known != value;
            *known = value;
            is_new
        })
    }
}

fn changed_order(row: &ShownOrder) -> Result<ChangedOrder, ProjectionError> {
    let status = STATUSES.into_iter().find(|status| status.name() == row.status);
    let status = status.ok_or_else(|| ProjectionError::UnknownStatus(row.status.clone()))?;
    Ok(ChangedOrder {
        order_id: OrderId(row.order_id),
        status,
        status_reason: row.status_reason.clone(),
        position: row.position,
        version: row.version,
        ended: matches!(status, OrderStatus::Completed | OrderStatus::Cancelled),
    })
}

const STATUSES: [OrderStatus; 11] = [
    OrderStatus::Placed,
    OrderStatus::OnHold,
    OrderStatus::Backordered,
    OrderStatus::Allocated,
    OrderStatus::Authorized,
    OrderStatus::Released,
    OrderStatus::PartiallyShipped,
    OrderStatus::Shipped,
    OrderStatus::Completed,
    OrderStatus::Cancelling,
    OrderStatus::Cancelled,
];

#[cfg(test)]
mod tests {
    use super::{Follower, Heard, LOOK_ANYWAY, LOOK_PAUSE};
    use crate::given::Told;
    use std::{sync::Arc, time::Duration};
    use tokio::{sync::watch, time::Instant};

    #[tokio::test(start_paused = true)]
    async fn it_rests_for_as_long_as_a_look_took_and_a_look_in_which_it_was_frozen_counts_for_little() {
        let (applied, parked) = (watch::channel(eventstore::Position::ZERO).0, watch::channel(0).0);
        let mut follower = Follower::new(Arc::new(Told::default()), Arc::new(()), applied, parked);
        let quick = Duration::from_millis(30);
        for (took, rests) in [(Duration::ZERO, LOOK_PAUSE), (quick, quick), (Duration::from_secs(6), LOOK_ANYWAY)] {
            follower.took = took;
            let told = Heard::default();
            told.hear("of a commit");
            let began = Instant::now();
            follower.wait(&told).await;
            assert!(began.elapsed() >= rests && began.elapsed() < rests + LOOK_PAUSE, "{:?}", began.elapsed());
        }
    }
}
