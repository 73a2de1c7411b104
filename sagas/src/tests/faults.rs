//! What goes wrong in tests: participants that lose, delay and repeat, by a seed; and points at which a test steps in.
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
use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// What is done at a point of the run: before and after each append and each call.
pub(super) type AtPoint = Box<dyn Fn(usize) -> Option<BoxFuture<'static, ()>> + Send + Sync>;

/// Shared by the store and the participants of one world.
pub(super) struct Faults {
    rng: Mutex<SmallRng>,
    /// Of a call, that it meets a fault; of an append, a tenth of that.
    pub(super) rate: Mutex<f64>,
    points: AtomicUsize,
    pub(super) at_point: Mutex<Option<AtPoint>>,
    /// One node's calls meet this.
    aim: Mutex<Option<Aim>>,
    /// The key of each call, and when its caller made up its mind to it.
    pub(super) sent: Mutex<Vec<(String, Instant)>>,
    /// How far the runners' wall clocks are off.
    pub(super) skew: Mutex<TimeDelta>,
    pub(super) calls: AtomicUsize,
    pub(super) queries: AtomicUsize,
    pub(super) appends: AtomicUsize,
    /// Histories read, and timers moved.
    pub(super) reads: AtomicUsize,
    pub(super) moves: AtomicUsize,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    None,
    /// Turned away; it did not act.
    TurnedAway,
    /// A definite no; it did not act.
    Refused,
    /// Someone else is at it, it is said.
    InUse,
    /// It arrives twice, and the second answer is heard.
    Twice,
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
            aim: Mutex::new(None),
            sent: Mutex::default(),
            skew: Mutex::new(TimeDelta::zero()),
            calls: AtomicUsize::new(0),
            queries: AtomicUsize::new(0),
            appends: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            moves: AtomicUsize::new(0),
        })
    }

    pub(super) fn is_stormy(&self) -> bool {
        *self.rate.lock().unwrap() > 0.0
    }

    pub(super) fn chance(&self, of: f64) -> bool {
        self.rng.lock().unwrap().random::<f64>() < of
    }

    pub(super) fn up_to(&self, n: u64) -> u64 {
        self.rng.lock().unwrap().random_range(0..n)
    }

    pub(super) async fn point(&self) {
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
        match self.up_to(6) {
            5 => Fault::Twice,
            0 => Fault::TurnedAway,
            1 => Fault::Lost,
            2 => Fault::Unheard,
            3 => Fault::Late(Duration::from_millis(self.up_to(20_000))),
            _ => Fault::Slow(Duration::from_millis(self.up_to(6_000))),
        }
    }

    /// One call of a participant, with what befalls it. Without a key it is a question.
    async fn call<T, F>(&self, key: &str, ice: &Ice, call: impl Fn() -> F + Send + 'static) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StepError>> + Send + 'static,
    {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.sent.lock().unwrap().push((key.to_owned(), Instant::now()));
        let aimed = self.aimed(key);
        self.point().await;
        ice.thawed().await;
        let answer = match aimed.unwrap_or_else(|| self.next()) {
            Fault::None => call().await,
            Fault::TurnedAway => Err(StepError::retryable("turned away")),
            Fault::Refused => Err(StepError::refused("no", "no")),
            Fault::InUse => Err(StepError::unknown("the key is in use")),
            Fault::Twice => {
                let _ = call().await;
                call().await
            }
            Fault::Lost => {
                sleep(Duration::from_secs(5)).await;
                Err(StepError::unknown("lost"))
            }
            Fault::Unheard => {
                let _ = call().await;
                sleep(Duration::from_secs(5)).await;
                Err(StepError::unknown("the answer was lost"))
            }
            Fault::Late(late) => {
                let call = call();
                tokio::spawn(async move {
                    sleep(Duration::from_secs(5) + late).await;
                    let _ = call.await;
                });
                sleep(Duration::from_secs(5)).await;
                Err(StepError::unknown("still on its way"))
            }
            Fault::Slow(slow) => {
                sleep(slow.min(Duration::from_secs(4))).await;
                call().await
            }
        };
        self.point().await;
        ice.thawed().await;
        answer
    }

    /// The next `times` calls whose key holds `at` meet it.
    pub(super) fn aim_at(&self, at: impl Into<String>, fault: Fault, times: usize) {
        *self.aim.lock().unwrap() = Some(Aim { at: at.into(), fault, times });
    }

    /// What was aimed at calls like this one: at so many of them, then no more.
    fn aimed(&self, key: &str) -> Option<Fault> {
        let mut aim = self.aim.lock().unwrap();
        let aim = aim.as_mut().filter(|aim| aim.times > 0 && key.contains(&aim.at))?;
        aim.times -= 1;
        Some(aim.fault)
    }
}

/// A fault for the calls of one node of the saga: `/STEP/DIRECTION/`.
#[derive(Clone, Debug)]
struct Aim {
    at: String,
    fault: Fault,
    /// So many calls of it are still to be met.
    times: usize,
}

/// A process that is frozen neither calls nor hears, while the world goes on. What waits goes on in the order in which it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Ice(Arc<(AtomicBool, Notify)>);

impl Ice {
    pub(super) fn freeze(&self) {
        self.0.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn thaw(&self) {
        self.0.0.store(false, Ordering::SeqCst);
        self.0.1.notify_waiters();
    }

    pub(super) async fn thawed(&self) {
        let (is_frozen, thaws) = &*self.0;
        loop {
            let thaw = thaws.notified();
            if !is_frozen.load(Ordering::SeqCst) {
                return;
            }
            thaw.await;
        }
    }
}

pub(super) struct FaultyPayment(pub(super) Arc<InProcessPayment>, pub(super) Arc<Faults>, pub(super) Ice);
pub(super) struct FaultyShipping(pub(super) Arc<InProcessShipping>, pub(super) Arc<Faults>, pub(super) Ice);

/// A call, under its key.
macro_rules! through {
    ($self:ident, $method:ident, $request:expr, $key:expr) => {{
        let (port, request) = (Arc::clone(&$self.0), $request);
        let call = move || {
            let (port, request) = (Arc::clone(&port), request.clone());
            async move { port.$method(&request).await }
        };
        $self.1.call($key, &$self.2, call).await
    }};
}

/// A question, counted.
macro_rules! asked {
    ($self:ident, $method:ident, $of:expr) => {{
        $self.1.queries.fetch_add(1, Ordering::SeqCst);
        through!($self, $method, $of.to_owned(), "")
    }};
}

#[async_trait]
impl PaymentPort for FaultyPayment {
    fn key_lifetime(&self) -> Option<Duration> {
        self.0.key_lifetime()
    }
    async fn authorize(&self, request: &AuthorizeRequest) -> Result<Authorization, StepError> {
        through!(self, authorize, request.clone(), &request.key)
    }
    async fn capture(&self, request: &CaptureRequest) -> Result<Capture, StepError> {
        through!(self, capture, request.clone(), &request.key)
    }
    async fn void(&self, request: &VoidRequest) -> Result<Voided, StepError> {
        through!(self, void, request.clone(), &request.key)
    }
    async fn refund(&self, request: &RefundRequest) -> Result<Refund, StepError> {
        through!(self, refund, request.clone(), &request.key)
    }
    async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, StepError> {
        through!(self, forget, request.clone(), &request.key)
    }
    async fn find(&self, reference: &str) -> Result<Vec<HeldAuthorization>, StepError> {
        asked!(self, find, reference)
    }
    async fn query(&self, key: &str) -> Result<Option<PaymentOutcome>, StepError> {
        asked!(self, query, key)
    }
}

#[async_trait]
impl ShippingPort for FaultyShipping {
    fn key_lifetime(&self) -> Option<Duration> {
        self.0.key_lifetime()
    }
    async fn rate(&self, request: &RateRequest) -> Result<Vec<Rate>, StepError> {
        self.0.rate(request).await
    }
    async fn label(&self, request: &LabelRequest) -> Result<Label, StepError> {
        through!(self, label, request.clone(), &request.key)
    }
    async fn void_label(&self, request: &VoidLabelRequest) -> Result<LabelVoided, StepError> {
        through!(self, void_label, request.clone(), &request.key)
    }
    async fn track(&self, label_id: &str) -> Result<Option<Tracking>, StepError> {
        self.0.track(label_id).await
    }
    async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, StepError> {
        through!(self, forget, request.clone(), &request.key)
    }
    async fn find(&self, reference: &str) -> Result<Vec<HeldLabel>, StepError> {
        asked!(self, find, reference)
    }
    async fn query(&self, key: &str) -> Result<Option<ShippingOutcome>, StepError> {
        asked!(self, query, key)
    }
}
