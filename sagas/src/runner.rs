//! The runner: everything that keeps sagas going in this process.
//!
//! | task | what it does |
//! |---|---|
//! | leases | takes its share of the slots, renews them, and lets go of them in time (`slots`, `deal`) |
//! | timers | reads the sagas under way in slots that are newly ours; takes up what is due (`timers`) |
//! | tail | hears of orders placed and changed by others (`tail`) |
//! | gates | call the sagas that wait for a participant to be back (`limits`) |
//! | drivers | one for each saga that has something to do, up to a bound (`driver`) |
use crate::batches::{self, Histories, Moves};
use crate::config::RunnerConfig;
use crate::driver;
use crate::erasure::{self, ErasureDeps};
use crate::job::{Cause, Job, Seed};
use crate::limits::{Gate, Participant};
use crate::live::Live;
use crate::participants::payment::PaymentPort;
use crate::participants::shipping::ShippingPort;
use crate::ports::{Clock, Locations, Secrets};
use crate::retry::Jitter;
use crate::slots::{self, Slots};
use crate::time::StoreTime;
use crate::{breaker, metrics, tail, timers};
use chrono::{DateTime, Utc};
use commands::History;
use domain::OrderId;
use eventstore::{EventStore, Fence, Position, slot_of};
use futures_util::FutureExt;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the gauges are set.
const SURVEY_EVERY: Duration = Duration::from_secs(5);

/// What the runner works with.
#[derive(Clone)]
pub struct Deps {
    pub store: Arc<dyn EventStore>,
    pub payment: Arc<dyn PaymentPort>,
    pub shipping: Arc<dyn ShippingPort>,
    pub secrets: Arc<dyn Secrets>,
    pub locations: Arc<dyn Locations>,
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Runs the sagas of the slots that it owns.
#[derive(Debug)]
pub struct Runner;

pub(crate) struct Shared {
    pub(crate) config: RunnerConfig,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) payment: Arc<dyn PaymentPort>,
    pub(crate) shipping: Arc<dyn ShippingPort>,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) locations: Arc<dyn Locations>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) time: StoreTime,
    pub(crate) jitter: Jitter,
    pub(crate) slots: Arc<Slots>,
    pub(crate) live: Live,
    pub(crate) erasures: erasure::Table,
    pub(crate) histories: Histories,
    pub(crate) moves: Moves,
    payment_gate: Gate,
    shipping_gate: Gate,
    /// Take up nothing more, wait for nobody.
    pub(crate) stopping: CancellationToken,
    /// Stop where you stand.
    killed: CancellationToken,
    drivers: TaskTracker,
}

impl Shared {
    /// The time by the store's clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.time.now().unwrap_or_else(|| self.clock.now())
    }

    pub(crate) fn gate(&self, participant: Participant) -> &Gate {
        match participant {
            Participant::Payment => &self.payment_gate,
            Participant::Shipping => &self.shipping_gate,
        }
    }

    /// Drives this saga in a task of its own, and then what queues.
    pub(crate) fn start(self: &Arc<Self>, job: Job) {
        let shared = Arc::clone(self);
        self.drivers.spawn(async move {
            let work = async {
                let mut next = Some(job);
                while let Some(job) = next {
                    let order = OrderId(job.order);
                    // A fault of ours in one saga is not the end of those that queue behind it.
                    if AssertUnwindSafe(driver::drive(&shared, job)).catch_unwind().await.is_err() {
                        metrics::stuck();
                        tracing::error!(order_id = %order, saga_id = %order.saga(), "the saga's driver panicked");
                    }
                    next = shared.live.next_job();
                }
            };
            shared.killed.run_until_cancelled(work).await;
        });
    }

    /// A task in the background, until the runner stops.
    fn spawn(self: &Arc<Self>, until: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(until.clone().run_until_cancelled_owned(task));
    }
}

impl Runner {
    /// Starts it; it stops, gracefully, when `stop` is cancelled. Never fails: it waits for the store as long as it takes.
    pub fn spawn(config: RunnerConfig, deps: Deps, stop: &CancellationToken) -> RunnerHandle {
        let Deps { store, payment, shipping, secrets, locations, clock } = deps;
        let slots = Arc::new(Slots::new());
        let live = Live::new(Arc::clone(&slots), config.max_active, config.max_seeds);
        let shared = Arc::new(Shared {
            payment_gate: Gate::new(Participant::Payment, config.payment.clone()),
            shipping_gate: Gate::new(Participant::Shipping, config.shipping.clone()),
            time: StoreTime::default(),
            jitter: Jitter::new(config.seed),
            histories: batches::histories(&store),
            moves: batches::moves(&store),
            config,
            store,
            payment,
            shipping,
            secrets,
            locations,
            clock,
            slots,
            live,
            erasures: erasure::Table::default(),
            stopping: stop.child_token(),
            killed: CancellationToken::new(),
            drivers: TaskTracker::new(),
        });
        let finished = CancellationToken::new();
        tokio::spawn(supervise(Arc::clone(&shared), finished.clone()));
        RunnerHandle { shared, finished }
    }
}

async fn supervise(shared: Arc<Shared>, finished: CancellationToken) {
    let (taken_tx, taken) = mpsc::channel(4);
    let until = &shared.stopping;
    // The head before the first timers: whatever is placed later, the tail hears of.
    let Some(head) = until.run_until_cancelled(tail::head(&shared)).await else {
        finished.cancel();
        return;
    };
    // Leases are kept while drivers finish.
    let keep = Arc::clone(&shared);
    shared.spawn(&shared.killed, async move { slots::keep(&keep, taken_tx).await });
    shared.spawn(until, timers::load(Arc::clone(&shared), taken));
    shared.spawn(until, timers::wake(Arc::clone(&shared)));
    shared.spawn(until, tail::follow(Arc::clone(&shared), head));
    for participant in [Participant::Payment, Participant::Shipping] {
        let shared = Arc::clone(&shared);
        let until = until.clone();
        shared.clone().spawn(&until, async move {
            let wake = |order| match shared.live.unpark(order, participant) {
                Some(job) => {
                    job.into_iter().for_each(|job| shared.start(job));
                    true
                }
                None => false,
            };
            shared.gate(participant).look_after(wake).await;
        });
    }
    shared.spawn(until, survey(Arc::clone(&shared)));

    tokio::select! {
        biased;
        () = shared.killed.cancelled() => {
            finished.cancel();
            return;
        }
        () = until.cancelled() => {}
    }
    shared.live.stop();
    shared.drivers.close();
    if tokio::time::timeout(shared.config.stop_within, shared.drivers.wait()).await.is_err() {
        // Their calls have keys: whoever comes next asks again.
        tracing::warn!(drivers = shared.drivers.len(), "calls in flight are left to the next owner");
    }
    shared.killed.cancel();
    let release = shared.store.depart(shared.config.owner.id);
    match tokio::time::timeout(slots::RELEASE_WITHIN, release).await {
        Ok(Ok(())) => tracing::info!("sagas handed over"),
        Ok(Err(error)) => tracing::warn!(%error, "the slots will be free when their leases run out"),
        Err(_) => tracing::warn!("the slots will be free when their leases run out"),
    }
    finished.cancel();
}

async fn survey(shared: Arc<Shared>) {
    loop {
        let parked = [Participant::Payment, Participant::Shipping].map(|p| (p, shared.gate(p).parked()));
        metrics::erasures(shared.erasures.known(), shared.erasures.waiting());
        metrics::survey(&shared.live, parked, shared.slots.count());
        for participant in [Participant::Payment, Participant::Shipping] {
            metrics::breaker(participant, shared.gate(participant).state());
        }
        tokio::time::sleep(SURVEY_EVERY).await;
    }
}

/// The near end of a runner. Clones share one.
#[derive(Clone)]
pub struct RunnerHandle {
    shared: Arc<Shared>,
    finished: CancellationToken,
}

impl fmt::Debug for RunnerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunnerHandle").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// How the runner is, for readiness and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerStatus {
    pub slots_held: usize,
    /// Sagas being driven.
    pub active: usize,
    /// Sagas that wait for a driver.
    pub queued: usize,
    /// About how many wait for someone, for a participant or for their time.
    pub put_down: usize,
    /// Sagas put down until the participant is back.
    pub waiting_for_payment: usize,
    pub waiting_for_shipping: usize,
    /// Participants whose breaker is not closed.
    pub not_answering: Vec<&'static str>,
    pub stopping: bool,
}

impl RunnerStatus {
    /// It drives sagas. While another owner's lease lasts, one waits.
    pub fn is_ready(&self) -> bool {
        !self.stopping && self.slots_held > 0
    }
}

impl RunnerHandle {
    /// The lease under which an order that is about to be placed would be driven here; `None`: not here.
    pub fn fence(&self, order: OrderId) -> Option<Fence> {
        let held = self.shared.slots.held(slot_of(order.0)).filter(|_| !self.shared.stopping.is_cancelled());
        held.map(|held| held.fence)
    }

    /// An order was just placed in this process: its saga begins without a read, or goes on where it began with the placement, under
    /// `fence`. Safe to call for any order, in any slot; the feed tells of it too, and who comes second changes nothing.
    pub fn placed(&self, history: History, cause: Cause, fence: Option<Fence>) {
        if let Some(job) = self.shared.live.placed(Seed { history, cause, fence }) {
            self.shared.start(job);
        }
    }

    /// Something was just appended to an order in this process, for example a cancel, a shipment or a retry.
    pub fn changed(&self, order: OrderId, position: Position) {
        if let Some(job) = self.shared.live.changed(order.0, position) {
            self.shared.start(job);
        }
    }

    /// Carries out the erasures in the slots held here; until it is called they wait. Called once.
    pub fn erase_with(&self, deps: ErasureDeps) {
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(&self.shared.stopping, async move { erasure::run(shared, deps).await });
    }

    pub fn status(&self) -> RunnerStatus {
        let shared = &self.shared;
        let gates = [&shared.payment_gate, &shared.shipping_gate];
        let is_shut = |gate: &&&Gate| gate.state() != breaker::State::Closed;
        RunnerStatus {
            slots_held: shared.slots.count(),
            active: shared.live.active(),
            queued: shared.live.queued(),
            put_down: shared.live.waiting(),
            waiting_for_payment: shared.payment_gate.parked(),
            waiting_for_shipping: shared.shipping_gate.parked(),
            not_answering: gates.iter().filter(is_shut).map(|gate| gate.participant.name()).collect(),
            stopping: shared.stopping.is_cancelled(),
        }
    }

    /// Returns when it has stopped and handed over.
    pub async fn finished(&self) {
        self.finished.cancelled().await;
    }

    /// As a killed process would: no call is waited for, no lease is given back.
    #[cfg(test)]
    pub(crate) fn crash(&self) {
        self.shared.killed.cancel();
        self.shared.stopping.cancel();
    }
}
