//! Test support: orders that go their way through a store, as the saga would drive them.
use crate::{
    graphql::{GraphQl, Viewer},
    projections::{ChangedOrder, Handle, ProjectionObserver, Runner},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    Amount, Currency, Event, LocationCode, OrderId,
    fulfillment::Fulfillment,
    location::LocationMode,
    order::{
        CancelRequested, Charge, ChargeKind, Destination, OnShortage, OrderLine, OrderPlaced, PaymentMethod, Shortage,
    },
    returns,
    saga::{Context, Next, Reply, Which, operator},
    shipment::Label,
    stock::{StockAdjusted, StockReceived},
};
use eventstore::{
    Actor, ActorKind, Append, EventStore, Expected, MemoryEventStore, Metadata, NewEvent, Position, RecordedEvent,
    Role, Source, StreamAppend, StreamId,
    testing::{TestDatabase, TestPostgres},
};
use sqlx::postgres::PgConnectOptions;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const PLACED_AT: &str = "2017-01-01T11:53:26Z";

/// A store in memory and a database of its own.
pub(crate) struct Given {
    pub(crate) store: Arc<MemoryEventStore>,
    pub(crate) database: TestDatabase,
    pub(crate) pool: sqlx::PgPool,
    pub(crate) mode: LocationMode,
}

/// What the runner told.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<(Position, Vec<ChangedOrder>)>>);

impl ProjectionObserver for Told {
    fn committed(&self, position: Position, orders: &[ChangedOrder]) {
        self.0.lock().unwrap().push((position, orders.to_vec()));
    }
}

pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) told: Arc<Told>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn reaches(&mut self, position: Position) {
        let applied = self.handle.applied.wait_for(|applied| *applied >= position);
        tokio::time::timeout(Duration::from_secs(20), applied).await.expect("in time").expect("it runs");
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As a `kill` would: in the midst of whatever it does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

pub(crate) fn empty_append(shop: &str, actor: ActorKind) -> Append {
    let id = if actor == ActorKind::Saga { "fulfillment" } else { shop };
    let metadata = Metadata {
        command_id: Uuid::now_v7(),
        causation_id: None,
        correlation_id: Uuid::now_v7(),
        actor: Actor { kind: actor, id: id.to_owned(), key: None, on_behalf_of: None },
        source: Source::Api,
        reason_code: None,
        occurred_at: Utc::now(),
        trace_id: None,
        app_version: "test".into(),
    };
    Append::new(shop, metadata)
}

pub(crate) fn order_id() -> OrderId {
    OrderId(Uuid::now_v7())
}

/// `lines`: SKU and quantity; each unit costs 0.50.
pub(crate) fn placed(order_ref: &str, lines: &[(&str, i64)]) -> OrderPlaced {
    let line = |(n, (sku, quantity)): (usize, &(&str, i64))| OrderLine {
        line_id: (n + 1).to_string().as_str().into(),
        sku: (*sku).into(),
        quantity: *quantity,
        line_total: Amount(50 * quantity),
        discount: None,
        unit: None,
    };
    let lines: Vec<OrderLine> = lines.iter().enumerate().map(line).collect();
    let shipping = Charge { charge_id: 1, kind: ChargeKind::Shipping, amount: Amount(490), line_id: None };
    OrderPlaced {
        order_ref: order_ref.to_owned(),
        placed_at: instant(PLACED_AT),
        placed_at_given: None,
        received_at: instant("2024-05-01T00:00:00.25Z"),
        channel: None,
        store_ref: None,
        customer_ref: "hh-900".to_owned(),
        person_id: None,
        ship_to: Destination::default(),
        billing_country: None,
        currency: Currency { code: "USD".to_owned(), digits: 2 },
        total: lines.iter().map(|line| line.line_total).sum::<Amount>() + shipping.amount,
        lines,
        charges: vec![shipping],
        prices_include_tax: false,
        shipping_method: None,
        promise: None,
        priority: 0,
        on_shortage: OnShortage::Cancel,
        payment: Some(PaymentMethod { method: "card".to_owned(), default: true }),
    }
}

pub(crate) fn free_of_charge(order_ref: &str) -> OrderPlaced {
    let mut order = placed(order_ref, &[("gift", 1)]);
    order.lines[0].line_total = Amount::ZERO;
    order.charges.clear();
    order.total = Amount::ZERO;
    order
}

pub(crate) fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn shop(name: &str) -> Viewer {
    Viewer { role: Role::Shop, shop: Some(name.to_owned()) }
}

pub(crate) fn support() -> Viewer {
    Viewer { role: Role::Support, shop: None }
}

impl Given {
    pub(crate) async fn new() -> Given {
        let database = TestPostgres::shared().await.database().await;
        let pool = database.pool().await;
        Given { store: Arc::default(), database, pool, mode: LocationMode::Auto }
    }

    pub(crate) fn run(&self) -> Running {
        self.run_on(self.store.clone(), &self.pool.connect_options())
    }

    pub(crate) fn run_on(&self, store: Arc<dyn EventStore>, database: &PgConnectOptions) -> Running {
        let told = Arc::new(Told::default());
        let (runner, handle) = Runner::new(store, database, told.clone());
        let stop = CancellationToken::new();
        let task = tokio::spawn(runner.run(stop.clone()));
        Running { handle, told, stop, task }
    }

    pub(crate) fn graphql(&self) -> GraphQl {
        GraphQl::new(self.pool.clone(), self.store.clone())
    }

    pub(crate) async fn head(&self) -> Position {
        self.store.head().await.unwrap().position
    }

    /// Runs until all is applied, then stops.
    pub(crate) async fn project(&self) -> Position {
        let mut running = self.run();
        let head = self.head().await;
        running.reaches(head).await;
        running.stop().await;
        head
    }

    pub(crate) async fn append(&self, shop: &str, id: Uuid, actor: ActorKind, events: Vec<Event>) {
        let mut streams: BTreeMap<&str, StreamAppend> = BTreeMap::new();
        for (rank, event) in events.iter().enumerate() {
            let kind = event.stream_kind().name();
            let stream = StreamId::new(id, kind);
            let stream =
                streams.entry(kind).or_insert(StreamAppend { stream, expected: Expected::Any, events: vec![] });
            stream.events.push(NewEvent {
                event_type: event.event_type().into(),
                schema_version: event.schema_version(),
                payload: serde_json::value::to_raw_value(event).unwrap().into(),
                rank: u16::try_from(rank).unwrap(),
            });
        }
        let mut append = empty_append(shop, actor);
        append.streams = streams.into_values().collect();
        self.store.append(append).await.unwrap();
    }

    pub(crate) async fn place(&self, shop: &str, placed: OrderPlaced) -> OrderId {
        let id = order_id();
        self.append(shop, id.0, ActorKind::Shop, vec![placed.into()]).await;
        id
    }

    pub(crate) async fn receive(&self, shop: &str, sku: &str, quantity: i64) {
        let received = StockReceived {
            location: "main".into(),
            sku: sku.into(),
            lot: None,
            quantity,
            receipt_ref: format!("r-{sku}"),
        };
        self.append(shop, Uuid::now_v7(), ActorKind::Warehouse, vec![received.into()]).await;
    }

    pub(crate) async fn adjust(&self, shop: &str, sku: &str, delta: i64) {
        let adjusted = StockAdjusted {
            location: "main".into(),
            sku: sku.into(),
            lot: None,
            delta,
            adjustment_ref: format!("a-{sku}"),
            note_id: None,
        };
        self.append(shop, Uuid::now_v7(), ActorKind::Warehouse, vec![adjusted.into()]).await;
    }

    pub(crate) async fn state(&self, order: OrderId) -> (String, Fulfillment) {
        let history = self.store.read_streams(order.0).await.unwrap();
        let shop = history[0].shop.clone();
        let mut state = Fulfillment::default();
        for recorded in &history {
            // What can't be read is as if it had not happened.
            let RecordedEvent { stream, event_type, schema_version, payload, .. } = recorded;
            let events = Event::decode(&stream.kind, event_type, *schema_version, &**payload);
            events.iter().flatten().for_each(|event| state.evolve(event));
        }
        (shop, state)
    }

    /// Answers what the saga asks for now.
    pub(crate) async fn reply(&self, order: OrderId, reply: Reply) {
        self.reply_to(order, Which::Fulfillment, reply).await;
    }

    /// As `reply`, of any saga of the order.
    pub(crate) async fn reply_to(&self, order: OrderId, which: Which, reply: Reply) {
        let (shop, state) = self.state(order).await;
        let saga = state.one(order, which).unwrap();
        let action = match saga.next() {
            Next::Act(action) => Some(action),
            Next::Advance | Next::Wait(_) | Next::Ended => None,
        };
        let context = Context { now: Utc::now(), location: LocationCode::from("main"), location_mode: self.mode };
        let events = saga.react(action.as_ref(), reply, &context).unwrap();
        self.append(&shop, order.0, ActorKind::Saga, events).await;
    }

    /// What people ask of an order's returns, or report of them.
    pub(crate) async fn returning(&self, order: OrderId, command: returns::Command) {
        let (shop, state) = self.state(order).await;
        self.append(&shop, order.0, ActorKind::Support, state.returning(command).unwrap()).await;
    }

    /// What an operator asks of a saga.
    pub(crate) async fn operate(&self, order: OrderId, which: Which, command: operator::Command) {
        let (shop, state) = self.state(order).await;
        let events = state.one(order, which).unwrap().operate(command, operator::Notes::default(), Utc::now()).unwrap();
        self.append(&shop, order.0, ActorKind::Operator, events).await;
    }

    /// A return's saga makes its next move, and all goes well; `false` when it waits for people, or has ended.
    pub(crate) async fn return_goes_on(&self, order: OrderId, number: u16) -> bool {
        let (_, state) = self.state(order).await;
        let reply = match state.one(order, Which::Return(number)).unwrap().next() {
            Next::Act(action) => good_answer(action),
            Next::Advance => Reply::Nothing,
            Next::Wait(_) | Next::Ended => return false,
        };
        self.reply_to(order, Which::Return(number), reply).await;
        true
    }

    /// An event of any type in this stream, as another program would write it.
    pub(crate) async fn record(
        &self,
        stream: StreamId,
        event_type: &'static str,
        schema_version: i16,
        payload: &str,
    ) -> Position {
        let payload = serde_json::value::RawValue::from_string(payload.to_owned()).unwrap();
        let event = NewEvent { event_type: event_type.into(), schema_version, payload: payload.into(), rank: 0 };
        let mut append = empty_append("dev", ActorKind::System);
        append.streams.push(StreamAppend { stream, expected: Expected::Any, events: vec![event] });
        self.store.append(append).await.unwrap();
        self.head().await
    }

    pub(crate) async fn cancel(&self, order: OrderId) {
        let (shop, _) = self.state(order).await;
        self.append(&shop, order.0, ActorKind::Support, vec![CancelRequested { note_id: None }.into()]).await;
    }

    /// Everything goes well from here on, for at most `steps` answers.
    pub(crate) async fn goes_well(&self, order: OrderId, steps: usize) {
        for _ in 0..steps {
            let (_, state) = self.state(order).await;
            let Next::Act(action) = state.next(order) else { return };
            self.reply(order, good_answer(action)).await;
        }
    }

    pub(crate) async fn completed(&self, shop: &str, placed: OrderPlaced) -> OrderId {
        let order = self.place(shop, placed).await;
        self.goes_well(order, 10).await;
        order
    }
}

pub(crate) fn out_of_stock(sku: &str) -> Reply {
    Reply::OutOfStock {
        shortages: vec![Shortage { sku: sku.into(), location: "main".into(), wanted: 3, available: 1 }],
    }
}

fn good_answer(action: domain::saga::Action) -> Reply {
    use domain::saga::Action;
    match action {
        Action::Reserve { .. } => Reply::Reserved,
        Action::Authorize { amount, .. } => Reply::Authorized {
            authorization_id: "auth-1".to_owned(),
            amount,
            expires_at: Utc::now() + TimeDelta::days(7),
        },
        Action::VoidAuthorization { .. } => Reply::AuthorizationVoided,
        Action::BuyLabel { key } | Action::BuyReturnLabel { key, .. } => Reply::LabelBought(Label {
            key,
            label_id: "label-1".to_owned(),
            carrier: "Parcel Post".to_owned(),
            tracking_number: "PP123".to_owned(),
        }),
        Action::VoidLabel { .. } => Reply::LabelVoided,
        Action::Capture { amount, .. } => Reply::Captured { capture_id: "cap-1".to_owned(), amount },
        Action::Refund { amount, .. } => Reply::Refunded { refund_id: "ref-1".to_owned(), amount },
    }
}
