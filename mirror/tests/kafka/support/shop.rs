//! A shop whose log is mirrored.
use eventstore::{
    Append, EventStore, Expected, MemoryEventStore, NewEvent, StreamAppend, StreamId, Version,
    contract::given::{append, payload},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Many orders and a few shelves; each event holds its key and its number under that key.
#[derive(Debug)]
pub(crate) struct Shop<S = MemoryEventStore> {
    pub(crate) store: Arc<S>,
    counts: HashMap<StreamId, i32>,
    orders: Vec<StreamId>,
    shelves: Vec<(StreamId, String)>,
    turn: usize,
}

impl Shop {
    pub(crate) fn new(orders: usize) -> Shop {
        Shop::over(Arc::new(MemoryEventStore::default()), orders)
    }

    /// A copy as it is now, to be restored later.
    pub(crate) fn backup(&self) -> Shop {
        Shop {
            store: Arc::new(self.store.backup()),
            counts: self.counts.clone(),
            orders: self.orders.clone(),
            shelves: self.shelves.clone(),
            turn: self.turn,
        }
    }
}

impl<S: EventStore + 'static> Shop<S> {
    pub(crate) fn over(store: Arc<S>, orders: usize) -> Shop<S> {
        let shelf = |n: usize| {
            let sku = format!("SKU-{n}");
            (StreamId::new(Uuid::new_v5(&Uuid::NAMESPACE_OID, sku.as_bytes()), "stock"), sku)
        };
        Shop {
            store,
            counts: HashMap::new(),
            // Random in the last byte, which decides on the partition.
            orders: (0..orders).map(|_| StreamId::new(Uuid::new_v4(), "order")).collect(),
            shelves: (0..5).map(shelf).collect(),
            turn: 0,
        }
    }

    /// `count` appends of two events of an order; now and then a receipt.
    pub(crate) async fn trade(&mut self, count: usize) {
        for _ in 0..count {
            self.turn += 1;
            let order = self.orders[self.turn % self.orders.len()].clone();
            let key = format!("ord_{}", order.id.simple());
            self.append(&order, 2, |n| format!(r#"{{"key": "{key}", "n": {n}}}"#)).await;
            if self.turn % 10 == 1 {
                self.receive().await;
            }
        }
    }

    pub(crate) async fn receive(&mut self) {
        let (shelf, sku) = self.shelves[self.turn % self.shelves.len()].clone();
        let key = format!("dev/main/{sku}");
        let json = |n| format!(r#"{{"location": "main", "sku": "{sku}", "key": "{key}", "n": {n}}}"#);
        self.append(&shelf, 1, json).await;
    }

    /// So many appends of two events, each of another order, all under way at once.
    pub(crate) async fn trade_at_once(&mut self, count: usize) {
        assert!(count <= self.orders.len());
        let mut appends = JoinSet::new();
        for _ in 0..count {
            self.turn += 1;
            let order = self.orders[self.turn % self.orders.len()].clone();
            let key = format!("ord_{}", order.id.simple());
            let (store, given) =
                (self.store.clone(), self.given(&order, 2, |n| format!(r#"{{"key": "{key}", "n": {n}}}"#)));
            appends.spawn(async move { store.append(given).await.unwrap() });
        }
        appends.join_all().await;
    }

    /// Orders come in, at some rate, until it is enough; of so many events the rest comes as fast as it can.
    pub(crate) async fn trade_until(mut self, at_least: usize, enough: CancellationToken) -> Shop<S> {
        const AT_ONCE: usize = 10;
        const PAUSE: Duration = Duration::from_millis(40);
        let mut traded = 0;
        while traded < at_least || !enough.is_cancelled() {
            self.trade_at_once(AT_ONCE).await;
            self.receive().await;
            traded += 2 * AT_ONCE + 1;
            if !enough.is_cancelled() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        self
    }

    async fn append(&mut self, stream: &StreamId, count: i32, json: impl Fn(i32) -> String) {
        let given = self.given(stream, count, json);
        self.store.append(given).await.unwrap();
    }

    fn given(&mut self, stream: &StreamId, count: i32, json: impl Fn(i32) -> String) -> Append {
        let before = self.counts.entry(stream.clone()).or_default();
        let events = (*before + 1..=*before + count).map(|n| NewEvent {
            event_type: "Traded".into(),
            schema_version: 1,
            payload: payload(&json(n)),
            rank: 0,
        });
        let stream = StreamAppend {
            stream: stream.clone(),
            expected: Expected::Exact(Version(*before)),
            events: events.collect(),
        };
        *before += count;
        Append { streams: vec![stream], ..append() }
    }

    pub(crate) fn store(&self) -> Arc<dyn EventStore> {
        self.store.clone()
    }

    pub(crate) async fn head(&self) -> i64 {
        self.store.head().await.unwrap().position.0
    }

    /// How many events there are of each key.
    pub(crate) fn counts(&self) -> BTreeMap<String, i64> {
        let shelf = |stream: &StreamId| self.shelves.iter().find(|(shelf, _)| shelf == stream);
        let key = |stream: &StreamId| match shelf(stream) {
            Some((_, sku)) => format!("dev/main/{sku}"),
            None => format!("ord_{}", stream.id.simple()),
        };
        self.counts.iter().map(|(stream, count)| (key(stream), i64::from(*count))).collect()
    }
}
