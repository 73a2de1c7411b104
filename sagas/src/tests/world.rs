//! A shop, a store, two providers and as many runners as a test wants, on a clock that the test owns.
use super::faults::{Faults, FaultyPayment, FaultyShipping, Ice};
use super::store::FaultyStore;
use crate::participants::payment::{InProcessPayment, PaymentSimulator};
use crate::participants::shipping::{InProcessShipping, ShippingSimulator};
use crate::participants::{DEFAULT_TIME_LIMIT, Entry};
use crate::ports::{Clock, LocationError, Locations, SecretError, Secrets, ShipTo};
use crate::{Cause, Deps, Runner, RunnerConfig, RunnerHandle};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use commands::history::{CommitError, SAGA_TIMER, balance_changes, encode};
use commands::{Change, History};
use domain::fulfillment::Fulfillment;
use domain::location::LocationMode;
use domain::order::{Destination, OnShortage, OrderLine, OrderPlaced};
use domain::returns;
use domain::saga::{Next, operator};
use domain::shipment;
use domain::stock::{self, StockReceived};
use domain::{Amount, Currency, Event, LineId, LocationCode, OrderId, Sku, StreamKind};
use eventstore::{
    Actor, ActorKind, Append, AppendError, EventStore, Expected, Fence, MemoryEventStore, Metadata, Person, Position,
    SlotOwner, Source, StreamAppend, StreamId, TimerChange, Vault,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(super) const SHOP: &str = "dev";

/// Everything but the runners.
#[derive(Clone)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) late: Duration,
    pub(super) faults: Arc<Faults>,
    pub(super) store: Arc<FaultyStore>,
    pub(super) payment: PaymentSimulator,
    pub(super) shipping: ShippingSimulator,
    secrets: Arc<Tokens>,
    pub(super) mode: Arc<Mutex<LocationMode>>,
    clock: Arc<VirtualClock>,
    /// By how many seconds the processes' clock was put forward, or back. The database's goes on as it did.
    orders: Arc<Mutex<Vec<OrderId>>>,
    /// Under which lease a saga began with its order, where it did.
    begun: Begun,
    pub(super) received: Arc<Mutex<BTreeMap<String, i64>>>,
}

type Begun = Arc<Mutex<HashMap<OrderId, Fence>>>;

#[derive(Debug, Default)]
struct Tokens(Mutex<HashMap<OrderId, String>>);

#[async_trait]
impl Secrets for Tokens {
    async fn payment_token(&self, order: OrderId, _: &str, _: &OrderPlaced) -> Result<String, SecretError> {
        self.0.lock().unwrap().get(&order).cloned().ok_or(SecretError::Missing("no_payment_token"))
    }
    async fn ship_to(&self, _: OrderId, _: &str, placed: &OrderPlaced) -> Result<ShipTo, SecretError> {
        Ok(ShipTo { country: placed.ship_to.country.clone().unwrap_or_default(), postal_code: None })
    }
}

#[derive(Debug)]
struct Mode(Arc<Mutex<LocationMode>>);

#[async_trait]
impl Locations for Mode {
    async fn mode(&self, _: &str, _: &LocationCode) -> Result<LocationMode, LocationError> {
        Ok(*self.0.lock().unwrap())
    }
}

/// The store's clock, but put so many seconds before or behind it.
#[derive(Debug)]
struct VirtualClock(Arc<FaultyStore>);

impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.now() + *self.0.faults.skew.lock().unwrap()
    }
}

impl World {
    /// In memory, for a clock that jumps.
    pub(super) fn new(seed: u64) -> World {
        World::on(Arc::new(MemoryEventStore::default()), seed, Duration::from_secs(60))
    }

    /// `late`: how long a call may be on its way.
    pub(super) fn on(store: Arc<dyn EventStore>, seed: u64, late: Duration) -> World {
        let faults = Faults::new(seed);
        let store = FaultyStore::new(store, Arc::clone(&faults));
        let began = store.began;
        World {
            seed,
            late,
            clock: Arc::new(VirtualClock(Arc::clone(&store))),
            store,
            faults,
            payment: PaymentSimulator::volatile_since(began, None),
            shipping: ShippingSimulator::volatile_since(began, None),
            secrets: Arc::default(),
            mode: Arc::new(Mutex::new(LocationMode::Auto)),
            orders: Arc::default(),
            begun: Begun::default(),
            received: Arc::default(),
        }
    }

    /// The same, with providers that forget keys.
    pub(super) fn forgetting(self, keys: Duration) -> World {
        let (began, keys) = (self.store.began, Some(keys));
        let payment = PaymentSimulator::volatile_since(began, keys);
        let shipping = ShippingSimulator::volatile_since(began, keys);
        World { payment, shipping, ..self }
    }

    /// The same world, where the store was lost and this one restored in its place. What was placed since is unknown to it.
    pub(super) async fn restored(&self, backup: Arc<MemoryEventStore>) -> World {
        let known = backup.read_log(Position::ZERO, usize::MAX).await.unwrap();
        let is_known = |order: &OrderId| known.iter().any(|event| event.stream.id == order.0);
        let store = self.store.restored(backup);
        World {
            clock: Arc::new(VirtualClock(Arc::clone(&store))),
            store,
            orders: Arc::new(Mutex::new(self.orders().into_iter().filter(is_known).collect())),
            ..self.clone()
        }
    }

    pub(super) fn inner(&self) -> &dyn EventStore {
        &*self.store.inner
    }

    /// All that were placed.
    pub(super) fn orders(&self) -> Vec<OrderId> {
        self.orders.lock().unwrap().clone()
    }

    pub(super) fn config(&self) -> RunnerConfig {
        let id = Uuid::from_u64_pair(7, self.faults.up_to(u64::MAX));
        let owner = SlotOwner { id, name: "test".to_owned(), app_version: "test".into() };
        RunnerConfig { seed: Some(self.seed), ..RunnerConfig::new(owner) }
    }

    pub(super) fn run(&self) -> Running {
        self.run_with(self.config())
    }

    pub(super) fn run_with(&self, config: RunnerConfig) -> Running {
        let payment = InProcessPayment::new(self.payment.clone(), DEFAULT_TIME_LIMIT);
        let shipping = InProcessShipping::new(self.shipping.clone(), DEFAULT_TIME_LIMIT);
        let ice = Ice::default();
        let deps = Deps {
            store: Arc::new(self.store.of(&ice)),
            payment: Arc::new(FaultyPayment(Arc::new(payment), self.faults.clone(), ice.clone())),
            shipping: Arc::new(FaultyShipping(Arc::new(shipping), self.faults.clone(), ice.clone())),
            secrets: self.secrets.clone(),
            locations: Arc::new(Mode(self.mode.clone())),
            clock: self.clock.clone(),
        };
        let (owner, stop) = (config.owner.id, CancellationToken::new());
        Running { owner, handle: Runner::spawn(config, deps, &stop), ice, stop, begun: self.begun.clone() }
    }

    fn metadata(&self, kind: ActorKind, about: Uuid) -> Metadata {
        Metadata {
            command_id: Uuid::now_v7(),
            causation_id: None,
            correlation_id: about,
            actor: Actor { kind, id: SHOP.into(), key: None, on_behalf_of: None },
            source: Source::Api,
            reason_code: None,
            occurred_at: self.clock.now(),
            trace_id: None,
            app_version: Cow::Borrowed("test"),
        }
    }

    pub(super) fn operator(&self, about: Uuid) -> Metadata {
        self.metadata(ActorKind::Operator, about)
    }

    /// Goods come in.
    pub(super) async fn stock(&self, sku: &str, quantity: i64) {
        let (location, code) = (LocationCode::from("main"), Sku::from(sku));
        *self.received.lock().unwrap().entry(stock::account(SHOP, &location, &code)).or_default() += quantity;
        let event = Event::from(StockReceived { location, sku: code, lot: None, quantity, receipt_ref: String::new() });
        let id = Uuid::from_u64_pair(3, self.faults.up_to(u64::MAX));
        let append = Append {
            streams: vec![StreamAppend {
                stream: StreamId::new(id, "stock"),
                expected: Expected::Any,
                events: vec![encode(&event, 0).unwrap()],
            }],
            balances: balance_changes(SHOP, &[event]),
            ..Append::new(SHOP, self.metadata(ActorKind::Warehouse, id))
        };
        self.inner().append(append).await.unwrap();
    }

    /// An order of these SKUs, 10.00 a piece; `token` is how it is paid.
    pub(super) async fn place(&self, token: &str, lines: &[(&str, i64)]) -> History {
        self.place_at(token, lines, 1000).await
    }

    pub(super) async fn place_at(&self, token: &str, lines: &[(&str, i64)], price: i64) -> History {
        self.place_as(token, lines, price, None, None).await
    }

    /// Where its saga may be driven in the process that places it: then it begins with that.
    pub(super) async fn place_beside(
        &self,
        runner: &Running,
        token: &str,
        lines: &[(&str, i64)],
        price: i64,
    ) -> History {
        self.place_as(token, lines, price, None, Some(runner)).await
    }

    /// An order of someone whose data is sealed.
    pub(super) async fn place_for(&self, token: &str, lines: &[(&str, i64)], vault: &Vault, of: &Person) -> History {
        self.place_as(token, lines, 1000, Some((vault, of)), None).await
    }

    async fn place_as(
        &self,
        token: &str,
        lines: &[(&str, i64)],
        price: i64,
        of: Option<(&Vault, &Person)>,
        beside: Option<&Running>,
    ) -> History {
        let order = OrderId(Uuid::from_u64_pair(0x0192_0000_0000_7000, self.faults.up_to(u64::MAX)));
        self.secrets.0.lock().unwrap().insert(order, token.to_owned());
        self.orders.lock().unwrap().push(order);
        let lines: Vec<OrderLine> =
            lines.iter().zip(1..).map(|((sku, quantity), n)| line(n, sku, *quantity, price)).collect();
        let now = self.clock.now();
        let placed = OrderPlaced {
            order_ref: order.to_string(),
            placed_at: now,
            placed_at_given: None,
            received_at: now,
            channel: None,
            store_ref: None,
            customer_ref: "c-1".into(),
            person_id: of.map(|(_, person)| person.id),
            ship_to: Destination { country: Some("US".into()), postal_prefix: None, default: true },
            billing_country: None,
            currency: Currency { code: "USD".into(), digits: 2 },
            total: lines.iter().map(|line| line.line_total).sum(),
            lines,
            charges: vec![],
            prices_include_tax: false,
            shipping_method: None,
            promise: None,
            priority: 0,
            on_shortage: OnShortage::Cancel,
            payment: None,
        };
        let mut history = History::new(order, SHOP);
        let stream = history.stream(StreamKind::Order);
        let timer = TimerChange::Set { stream, name: Cow::Borrowed(SAGA_TIMER), due_at: now, set_at: now };
        let vault = of.map(|(vault, person)| vault.seal(person, order.0, b"Ada").unwrap()).into_iter().collect();
        let (metadata, mut events) = (self.metadata(ActorKind::Shop, order.0), vec![placed.into()]);
        let mut fence = beside.and_then(|runner| runner.handle.fence(order));
        if fence.is_some() {
            events.extend(Fulfillment::fold(&events).begin(order).unwrap());
        }
        let change = Change { timers: vec![timer], vault, ..Change::default() };
        loop {
            let change = Change { fence, ..change.clone() };
            match history.commit(self.inner(), &events, metadata.clone(), change).await {
                Ok(appended) => {
                    if let Some(fence) = fence {
                        self.begun.lock().unwrap().insert(order, fence);
                    }
                    history.updated_at = Some(self.store.stamp(appended).recorded_at);
                    return history;
                }
                // Not enough goods, or the slot is lost: it is placed alone.
                Err(CommitError::Append(AppendError::Refused(_) | AppendError::Fenced { .. })) if fence.is_some() => {
                    fence = None;
                    events.truncate(1);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// As if the person had been erased.
    pub(super) fn forget_token(&self, order: OrderId) {
        self.secrets.0.lock().unwrap().remove(&order);
    }

    pub(super) async fn history(&self, order: OrderId) -> History {
        History::load(self.inner(), order).await.unwrap().unwrap()
    }

    /// Decides on an order as the command side does. `false`: rejected, or nothing to do.
    async fn command(&self, kind: ActorKind, order: OrderId, decide: impl Fn(&History) -> Vec<Event>) -> bool {
        loop {
            let mut history = self.history(order).await;
            let events = decide(&history);
            if events.is_empty() {
                return false;
            }
            let metadata = self.metadata(kind, order.0);
            let change = Change { timers: vec![history.due(self.clock.now())], ..Change::default() };
            match history.commit(self.inner(), &events, metadata, change).await {
                Ok(appended) => {
                    self.store.stamp(appended);
                    return true;
                }
                Err(CommitError::Append(AppendError::Conflict { .. })) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(super) async fn cancel(&self, order: OrderId) -> bool {
        self.command(ActorKind::Shop, order, |history| history.fulfillment.request_cancel(None).unwrap_or_default())
            .await
    }

    pub(super) async fn pick(&self, order: OrderId) -> bool {
        let pick = || shipment::Command::Pick { lines: None };
        self.command(ActorKind::Warehouse, order, |history| history.fulfillment.report(pick()).unwrap_or_default())
            .await
    }

    pub(super) async fn ship(&self, order: OrderId) -> bool {
        let ship = || shipment::Command::Ship { lines: None, parcels: vec![] };
        self.command(ActorKind::Warehouse, order, |history| history.fulfillment.report(ship()).unwrap_or_default())
            .await
    }

    pub(super) async fn retry(&self, order: OrderId) -> bool {
        self.operate(order, operator::Command::Retry).await
    }

    /// An operator asks for it. `false`: refused, or so already.
    pub(super) async fn operate(&self, order: OrderId, command: operator::Command) -> bool {
        let now = self.clock.now();
        let decide = |history: &History| {
            let events = history.fulfillment.operate(order, command.clone(), operator::Notes::default(), now);
            events.unwrap_or_default()
        };
        self.command(ActorKind::Operator, order, decide).await
    }

    pub(super) async fn returning(&self, order: OrderId, command: returns::Command) -> bool {
        let decide = |history: &History| history.fulfillment.returning(command.clone()).unwrap_or_default();
        self.command(ActorKind::Support, order, decide).await
    }

    /// The types of an order's events, in order.
    pub(super) async fn types(&self, order: OrderId) -> Vec<String> {
        let events = self.inner().read_streams(order.0).await.unwrap();
        events.iter().map(|event| event.event_type.to_string()).collect()
    }

    /// Commands behind an order's events: the appends.
    pub(super) async fn appends(&self, order: OrderId) -> usize {
        let mut ids: Vec<Uuid> =
            self.inner().read_streams(order.0).await.unwrap().iter().map(|event| event.metadata.command_id).collect();
        ids.dedup();
        ids.len()
    }

    /// Waits until every order has ended or waits for a person, and tells how long that took.
    pub(super) async fn settle(&self, within: Duration) -> Duration {
        let start = Instant::now();
        let mut rest = self.orders();
        loop {
            let mut open = vec![];
            for order in rest {
                let history = self.history(order).await;
                if !matches!(history.fulfillment.next(order), Next::Ended | Next::Wait(_)) {
                    open.push(order);
                }
            }
            rest = open.clone();
            let Some(first) = open.first() else { return start.elapsed() };
            if start.elapsed() > within {
                let types = self.types(*first).await;
                panic!("seed {}: {} orders do not end, the first after {types:?}", self.seed, open.len());
            }
            sleep(within.div_f64(2000.0).max(Duration::from_millis(5))).await;
        }
    }

    pub(super) async fn ledger(&self) -> Vec<Entry> {
        let mut entries = self.payment.entries(0, usize::MAX).await.unwrap();
        entries.extend(self.shipping.entries(0, usize::MAX).await.unwrap());
        entries
    }
}

fn line(n: usize, sku: &str, quantity: i64, price: i64) -> OrderLine {
    OrderLine {
        line_id: LineId(n.to_string()),
        sku: Sku::from(sku),
        quantity,
        line_total: Amount(price * quantity),
        discount: None,
        unit: None,
    }
}

/// A runner of the world.
pub(super) struct Running {
    pub(super) owner: Uuid,
    pub(super) handle: RunnerHandle,
    pub(super) ice: Ice,
    stop: CancellationToken,
    begun: Begun,
}

impl Running {
    pub(super) fn placed(&self, history: &History) {
        let fence = self.begun.lock().unwrap().get(&history.order).copied();
        self.handle.placed(history.clone(), Cause::default(), fence);
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.handle.finished().await;
    }
}
