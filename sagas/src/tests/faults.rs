//! What goes wrong in tests: a store and participants that lose, delay and repeat, by a seed; and points at which a test steps in.
use crate::participants::payment::{
    Authorization, AuthorizeRequest, Capture, CaptureRequest, HeldAuthorization, InProcessPayment, PaymentOutcome,
    PaymentPort, Refund, RefundRequest, VoidRequest, Voided,
};
use crate::participants::shipping::{
    HeldLabel, InProcessShipping, Label, LabelRequest, LabelVoided, Rate, RateRequest, ShippingOutcome, ShippingPort,
    Tracking, VoidLabelRequest,
};
use crate::participants::{ForgetRequest, Forgotten, StepError};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{
    ActorKind, Append, AppendError, Appended, ClaimRecord, EventStore, Incarnation, Lease, Log, LogHead, Position,
    ReadError, RecordedEvent, Slot, SlotOwner, StreamId, Timer,
};
use futures_util::future::BoxFuture;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// What is done at a point of the run: before and after each append and each call.
pub(super) type AtPoint = Box<dyn Fn(usize) -> Option<BoxFuture<'static, ()>> + Send + Sync>;

/// Shared by the store and the participants of one world.
pub(super) struct Faults {
    rng: Mutex<SmallRng>,
    /// Of a call, that it meets a fault; of an append, a tenth of that.
    pub(super) rate: Mutex<f64>,
    points: AtomicUsize,
    pub(super) at_point: Mutex<Option<AtPoint>>,
    pub(super) calls: AtomicUsize,
    pub(super) queries: AtomicUsize,
    pub(super) appends: AtomicUsize,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

enum Fault {
    None,
    /// Turned away; it did not act.
    Refused,
    /// It never arrives.
    Lost,
    /// It acts, the answer is lost.
    Unheard,
    /// It arrives long after the caller has given up.
    Late(Duration),
    Slow(Duration),
}

impl Faults {
    pub(super) fn new(seed: u64) -> Arc<Faults> {
        Arc::new(Faults {
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
            rate: Mutex::new(0.0),
            points: AtomicUsize::new(0),
            at_point: Mutex::new(None),
            calls: AtomicUsize::new(0),
            queries: AtomicUsize::new(0),
            appends: AtomicUsize::new(0),
        })
    }

    pub(super) fn chance(&self, of: f64) -> bool {
        self.rng.lock().unwrap().random::<f64>() < of
    }

    pub(super) fn up_to(&self, n: u64) -> u64 {
        self.rng.lock().unwrap().random_range(0..n)
    }

    async fn point(&self) {
        let n = self.points.fetch_add(1, Ordering::SeqCst);
        let then = self.at_point.lock().unwrap().as_ref().and_then(|at| at(n));
        if let Some(then) = then {
            then.await;
        }
    }

    fn next(&self) -> Fault {
        let rate = *self.rate.lock().unwrap();
        if !self.chance(rate) {
            return Fault::None;
        }
        match self.up_to(5) {
            0 => Fault::Refused,
            1 => Fault::Lost,
            2 => Fault::Unheard,
            3 => Fault::Late(Duration::from_millis(self.up_to(20_000))),
            _ => Fault::Slow(Duration::from_millis(self.up_to(6_000))),
        }
    }

    /// One call of a participant, with what befalls it.
    async fn call<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, StepError>> + Send + 'static,
    ) -> Result<T, StepError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.point().await;
        let answer = match self.next() {
            Fault::None => call.await,
            Fault::Refused => Err(StepError::retryable("turned away")),
            Fault::Lost => {
                sleep(Duration::from_secs(5)).await;
                Err(StepError::unknown("lost"))
            }
            Fault::Unheard => {
                let _ = call.await;
                sleep(Duration::from_secs(5)).await;
                Err(StepError::unknown("the answer was lost"))
            }
            Fault::Late(late) => {
                tokio::spawn(async move {
                    sleep(Duration::from_secs(5) + late).await;
                    let _ = call.await;
                });
                sleep(Duration::from_secs(5)).await;
                Err(StepError::unknown("still on its way"))
            }
            Fault::Slow(slow) => {
                sleep(slow.min(Duration::from_secs(4))).await;
                call.await
            }
        };
        self.point().await;
        answer
    }
}

pub(super) struct FaultyPayment(pub(super) Arc<InProcessPayment>, pub(super) Arc<Faults>);
pub(super) struct FaultyShipping(pub(super) Arc<InProcessShipping>, pub(super) Arc<Faults>);

macro_rules! through {
    ($self:ident, $request:ident, $method:ident) => {{
        let (port, request) = (Arc::clone(&$self.0), $request.clone());
        $self.1.call(async move { port.$method(&request).await }).await
    }};
}

#[async_trait]
impl PaymentPort for FaultyPayment {
    fn key_lifetime(&self) -> Option<Duration> {
        self.0.key_lifetime()
    }
    async fn authorize(&self, request: &AuthorizeRequest) -> Result<Authorization, StepError> {
        through!(self, request, authorize)
    }
    async fn capture(&self, request: &CaptureRequest) -> Result<Capture, StepError> {
        through!(self, request, capture)
    }
    async fn void(&self, request: &VoidRequest) -> Result<Voided, StepError> {
        through!(self, request, void)
    }
    async fn refund(&self, request: &RefundRequest) -> Result<Refund, StepError> {
        through!(self, request, refund)
    }
    async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, StepError> {
        through!(self, request, forget)
    }
    async fn find(&self, reference: &str) -> Result<Vec<HeldAuthorization>, StepError> {
        self.1.queries.fetch_add(1, Ordering::SeqCst);
        let (port, reference) = (Arc::clone(&self.0), reference.to_owned());
        self.1.call(async move { port.find(&reference).await }).await
    }
    async fn query(&self, key: &str) -> Result<Option<PaymentOutcome>, StepError> {
        self.1.queries.fetch_add(1, Ordering::SeqCst);
        let (port, key) = (Arc::clone(&self.0), key.to_owned());
        self.1.call(async move { port.query(&key).await }).await
    }
}

#[async_trait]
impl ShippingPort for FaultyShipping {
    fn key_lifetime(&self) -> Option<Duration> {
        self.0.key_lifetime()
    }
    async fn rate(&self, request: &RateRequest) -> Result<Vec<Rate>, StepError> {
        through!(self, request, rate)
    }
    async fn label(&self, request: &LabelRequest) -> Result<Label, StepError> {
        through!(self, request, label)
    }
    async fn void_label(&self, request: &VoidLabelRequest) -> Result<LabelVoided, StepError> {
        through!(self, request, void_label)
    }
    async fn track(&self, label_id: &str) -> Result<Option<Tracking>, StepError> {
        self.0.track(label_id).await
    }
    async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, StepError> {
        through!(self, request, forget)
    }
    async fn find(&self, reference: &str) -> Result<Vec<HeldLabel>, StepError> {
        self.1.queries.fetch_add(1, Ordering::SeqCst);
        let (port, reference) = (Arc::clone(&self.0), reference.to_owned());
        self.1.call(async move { port.find(&reference).await }).await
    }
    async fn query(&self, key: &str) -> Result<Option<ShippingOutcome>, StepError> {
        self.1.queries.fetch_add(1, Ordering::SeqCst);
        let (port, key) = (Arc::clone(&self.0), key.to_owned());
        self.1.call(async move { port.query(&key).await }).await
    }
}

/// A store whose answers get lost, and whose leases run out by the test's own clock.
#[derive(Debug)]
pub(super) struct FaultyStore {
    pub(super) inner: Arc<dyn EventStore>,
    pub(super) faults: Arc<Faults>,
    renewed: Mutex<HashMap<Uuid, Instant>>,
    /// When appends were made, by the test's clock, and by their last position.
    times: Mutex<BTreeMap<Position, DateTime<Utc>>>,
    began: (DateTime<Utc>, Instant),
    /// Owners whose renewals do not get through.
    pub(super) cut_off: Mutex<Vec<Uuid>>,
}

impl FaultyStore {
    pub(super) fn new(inner: Arc<dyn EventStore>, faults: Arc<Faults>) -> Arc<FaultyStore> {
        let (renewed, cut_off) = (Mutex::default(), Mutex::default());
        Arc::new(FaultyStore {
            inner,
            faults,
            renewed,
            times: Mutex::default(),
            began: (Utc::now(), Instant::now()),
            cut_off,
        })
    }

    /// The server was lost, and this was restored in its place; time goes on.
    pub(super) fn restored(&self, inner: Arc<dyn EventStore>) -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            inner,
            faults: Arc::clone(&self.faults),
            renewed: Mutex::default(),
            times: Mutex::new(self.times.lock().unwrap().clone()),
            began: self.began,
            cut_off: Mutex::default(),
        })
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.began.0 + TimeDelta::from_std(self.began.1.elapsed()).unwrap()
    }

    /// An append was made just now.
    pub(super) fn stamp(&self, appended: Appended) -> Appended {
        let recorded_at = self.now();
        self.times.lock().unwrap().insert(appended.last, recorded_at);
        Appended { recorded_at, ..appended }
    }

    /// Of an owner that is cut off nothing comes here, nor any answer there.
    async fn unless_cut_off(&self, owner: Uuid) {
        if self.cut_off.lock().unwrap().contains(&owner) {
            std::future::pending::<()>().await;
        }
    }

    fn stamped(&self, mut events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        let times = self.times.lock().unwrap();
        for event in &mut events {
            if let Some((_, at)) = times.range(event.position..).next() {
                event.recorded_at = *at;
            }
        }
        events
    }
}

#[async_trait]
impl EventStore for FaultyStore {
    fn log(&self) -> Log {
        self.inner.log()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        assert_eq!(append.metadata.actor.kind, ActorKind::Saga, "only sagas append through here");
        assert!(append.fence.is_some(), "a saga's append is fenced");
        self.faults.appends.fetch_add(1, Ordering::SeqCst);
        self.faults.point().await;
        let rate = *self.faults.rate.lock().unwrap() / 10.0;
        let answer = match self.faults.up_to(3) {
            _ if !self.faults.chance(rate) => self.inner.append(append).await.map(|appended| self.stamp(appended)),
            0 => Err(AppendError::Unavailable("not now".into())),
            1 => Err(AppendError::Unknown("lost on the way there".into())),
            _ => {
                let _ = self.inner.append(append).await.map(|appended| self.stamp(appended));
                Err(AppendError::Unknown("lost on the way back".into()))
            }
        };
        self.faults.point().await;
        answer
    }

    async fn read_streams(&self, id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        if self.faults.chance(*self.faults.rate.lock().unwrap() / 10.0) {
            return Err(ReadError::Unavailable("not now".into()));
        }
        self.inner.read_streams(id).await.map(|events| self.stamped(events))
    }
    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        if self.faults.chance(*self.faults.rate.lock().unwrap() / 10.0) {
            return Err(ReadError::Unavailable("not now".into()));
        }
        self.inner.read_log(after, limit).await.map(|events| self.stamped(events))
    }
    async fn lives(&self) -> Result<eventstore::Lives, ReadError> {
        self.inner.lives().await
    }
    async fn head(&self) -> Result<LogHead, ReadError> {
        self.inner.head().await
    }
    fn watch_head(&self) -> watch::Receiver<Position> {
        self.inner.watch_head()
    }
    async fn claim(&self, scope: &str, key: &str) -> Result<Option<ClaimRecord>, ReadError> {
        self.inner.claim(scope, key).await
    }
    async fn checkpoint(&self, name: &str) -> Result<Option<(Incarnation, Position)>, ReadError> {
        self.inner.checkpoint(name).await
    }
    async fn balances(&self, accounts: &[String]) -> Result<Vec<(String, i64)>, ReadError> {
        self.inner.balances(accounts).await
    }
    async fn list_balances(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, i64)>, ReadError> {
        self.inner.list_balances(prefix, after, limit).await
    }
    async fn timers(
        &self,
        slots: &[Slot],
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError> {
        let mut page = self.inner.timers(slots, after, limit).await?;
        page.truncate(limit);
        Ok(page)
    }
    async fn move_timer(&self, stream: &StreamId, name: &str, due_at: DateTime<Utc>) -> Result<(), AppendError> {
        self.faults.point().await;
        self.inner.move_timer(stream, name, due_at).await
    }

    async fn take_leases(&self, slots: &[Slot], owner: Uuid, ttl: Duration) -> Result<Vec<Lease>, AppendError> {
        self.unless_cut_off(owner).await;
        let over: Vec<Uuid> = {
            let mut renewed = self.renewed.lock().unwrap();
            renewed.insert(owner, Instant::now());
            renewed.iter().filter(|(_, at)| at.elapsed() > ttl).map(|(owner, _)| *owner).collect()
        };
        for owner in over {
            self.inner.depart(owner).await?;
            self.renewed.lock().unwrap().remove(&owner);
        }
        self.inner.take_leases(slots, owner, Duration::from_secs(86_400)).await
    }

    async fn release_leases(&self, slots: &[Slot], owner: Uuid) -> Result<(), AppendError> {
        self.unless_cut_off(owner).await;
        self.inner.release_leases(slots, owner).await
    }

    async fn attend(&self, owner: &SlotOwner, ttl: Duration) -> Result<Vec<Uuid>, AppendError> {
        self.unless_cut_off(owner.id).await;
        let mut renewed = self.renewed.lock().unwrap();
        renewed.insert(owner.id, Instant::now());
        let there = renewed.iter().filter(|(_, at)| at.elapsed() <= ttl).map(|(owner, _)| *owner);
        Ok(there.collect::<std::collections::BTreeSet<_>>().into_iter().collect())
    }

    async fn depart(&self, owner: Uuid) -> Result<(), AppendError> {
        self.renewed.lock().unwrap().remove(&owner);
        self.inner.depart(owner).await
    }
    async fn sealed(&self, subject: Uuid) -> Result<Option<(Uuid, Vec<u8>)>, ReadError> {
        self.inner.sealed(subject).await
    }
}
