//! Goods in; an order that is complete, one that is cancelled with a note, one under way; and what nobody may do to them.
use super::super::store::{Examined, examine};
use chrono::{TimeDelta, Utc};
use commands::history::{Change, History, SAGA_TIMER, balance_changes, encode};
use domain::{
    Amount, Currency, Event, OrderId, StreamKind,
    location::LocationMode,
    order::{CancelRequested, Destination, OnShortage, OrderLine, OrderPlaced, PaymentMethod},
    saga::{Action, Context, Next, Reply},
    shipment::Label,
    stock::StockReceived,
};
use eventstore::{
    Actor, ActorKind, Append, Claim, EventStore, Expected, Lifetime, Log, Metadata, PgEventStore, Source, StreamAppend,
    StreamId, TimerChange, VaultEntry, sql,
    testing::{TestDatabase, TestPostgres},
    vault::{PersonKeys, WrappedKey},
};
use indicatif::ProgressBar;
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use uuid::Uuid;

pub(super) struct Given {
    pub(super) database: TestDatabase,
    pub(super) store: Arc<PgEventStore>,
}

fn metadata() -> Metadata {
    Metadata {
        command_id: Uuid::now_v7(),
        causation_id: None,
        correlation_id: Uuid::now_v7(),
        actor: Actor { kind: ActorKind::System, id: "test".into(), key: None, on_behalf_of: None },
        source: Source::Cli,
        reason_code: None,
        occurred_at: Utc::now(),
        trace_id: None,
        app_version: "test".into(),
    }
}

fn placed(order_ref: &str) -> OrderPlaced {
    let line = OrderLine {
        line_id: "1".into(),
        sku: "tea".into(),
        quantity: 2,
        line_total: Amount(980),
        discount: None,
        unit: None,
    };
    OrderPlaced {
        order_ref: order_ref.to_owned(),
        placed_at: Utc::now(),
        placed_at_given: None,
        received_at: Utc::now(),
        channel: None,
        store_ref: None,
        customer_ref: "c-1".to_owned(),
        person_id: None,
        ship_to: Destination::default(),
        billing_country: None,
        currency: Currency { code: "USD".to_owned(), digits: 2 },
        total: line.line_total,
        lines: vec![line],
        charges: vec![],
        prices_include_tax: false,
        shipping_method: None,
        promise: None,
        priority: 0,
        on_shortage: OnShortage::Cancel,
        payment: Some(PaymentMethod { method: "card".to_owned(), default: true }),
    }
}

fn good(action: &Action) -> Reply {
    match action.clone() {
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
            carrier: "Post".to_owned(),
            tracking_number: "P1".to_owned(),
        }),
        Action::VoidLabel { .. } => Reply::LabelVoided,
        Action::Capture { amount, .. } => Reply::Captured { capture_id: "cap-1".to_owned(), amount },
        Action::Refund { amount, .. } => Reply::Refunded { refund_id: "ref-1".to_owned(), amount },
    }
}

impl Given {
    /// Goods in; an order that is complete, one that is cancelled with a note, one under way.
    pub(super) async fn a_run() -> Given {
        let database = TestPostgres::shared().await.database().await;
        let pool = database.pool().await;
        let store = PgEventStore::connect(pool, Log::MAIN, sql::Options::default()).await.unwrap();
        let given = Given { database, store: Arc::new(store) };
        given.receive(50).await;
        let mut complete = given.place("r-1").await;
        given.goes_well(&mut complete, 10).await;
        let mut cancelled = given.place("r-2").await;
        given.goes_well(&mut cancelled, 1).await;
        let note = Uuid::now_v7();
        let entry = VaultEntry { subject: note, person: given.person("ada").await, sealed: vec![1] };
        let change = Change { vault: vec![entry], ..Change::default() };
        let asked = [CancelRequested { note_id: Some(note) }.into()];
        cancelled.commit(given.store.as_ref(), &asked, metadata(), change).await.unwrap();
        given.goes_well(&mut cancelled, 10).await;
        let mut under_way = given.place("r-3").await;
        given.goes_well(&mut under_way, 2).await;
        given
    }

    pub(super) async fn receive(&self, quantity: i64) {
        let received = StockReceived {
            location: "main".into(),
            sku: "tea".into(),
            lot: None,
            quantity,
            receipt_ref: "r".to_owned(),
        };
        let event = Event::from(received);
        let mut append = Append::new("dev", metadata());
        append.balances = balance_changes("dev", std::slice::from_ref(&event));
        append.streams.push(StreamAppend {
            stream: StreamId::new(Uuid::now_v7(), StreamKind::Stock.name()),
            expected: Expected::Any,
            events: vec![encode(&event, 0).unwrap()],
        });
        self.store.append(append).await.unwrap();
    }

    /// Whose key there is.
    pub(super) async fn person(&self, reference: &str) -> Uuid {
        let fresh = WrappedKey {
            person: Uuid::now_v7(),
            shop: "dev".to_owned(),
            reference: reference.to_owned(),
            former: None,
            master_key: "master".to_owned(),
            wrapped: vec![1; 40],
        };
        self.store.person_key(fresh).await.unwrap().unwrap().person
    }

    pub(super) async fn place(&self, order_ref: &str) -> History {
        let order = OrderId(Uuid::now_v7());
        let mut history = History::new(order, "dev");
        let claim = |scope: &str, lifetime| Claim {
            scope: scope.to_owned(),
            key: order_ref.to_owned(),
            holder: order.to_string(),
            fingerprint: None,
            lifetime,
        };
        let change = Change {
            claims: vec![claim("order_ref:dev", Lifetime::Forever), claim("idempotency:dev", Lifetime::Day)],
            timers: vec![TimerChange::Set {
                stream: history.stream(StreamKind::Order),
                name: SAGA_TIMER.into(),
                due_at: Utc::now(),
                set_at: Utc::now(),
            }],
            vault: vec![VaultEntry { subject: order.0, person: self.person("c-1").await, sealed: vec![7; 40] }],
            ..Change::default()
        };
        history.commit(self.store.as_ref(), &[placed(order_ref).into()], metadata(), change).await.unwrap();
        history
    }

    pub(super) async fn goes_well(&self, history: &mut History, steps: usize) {
        for _ in 0..steps {
            let (action, reply) = match history.fulfillment.next(history.order) {
                Next::Act(action) => (Some(action.clone()), good(&action)),
                Next::Advance => (None, Reply::Nothing),
                Next::Wait(_) | Next::Ended => return,
            };
            let context = Context { now: Utc::now(), location: "main".into(), location_mode: LocationMode::Auto };
            let events = history.fulfillment.react(history.order, action.as_ref(), reply, &context).unwrap();
            history.commit(self.store.as_ref(), &events, metadata(), Change::default()).await.unwrap();
        }
    }

    pub(super) async fn examined(&self) -> Examined {
        examine(self.store.pool(), Log::MAIN, |_| ProgressBar::hidden()).await.unwrap()
    }

    /// Changes what nobody may change.
    pub(super) async fn plant(&self, statement: &'static str) -> u64 {
        let mut conn = PgConnection::connect_with(&self.store.pool().connect_options()).await.unwrap();
        sqlx::query("SET session_replication_role = replica").execute(&mut conn).await.unwrap();
        let changed = sqlx::query(statement).execute(&mut conn).await.unwrap().rows_affected();
        conn.close().await.unwrap();
        changed
    }
}
