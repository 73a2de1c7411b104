//! Loads what many fields of one request ask for in one statement each. They live as long as the request.
use super::snapshot::Snapshot;
use crate::{
    projections::sagas::SagaKey,
    sql::read::{self, FulfillmentRecord, OrderRecord, ParkedRecord, ReturnRecord, SagaRecord, TimelineRecord},
};
use async_graphql::dataloader::Loader;
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

pub(super) struct Loaders {
    snapshot: Arc<Snapshot>,
}

impl Loaders {
    pub(super) fn new(snapshot: Arc<Snapshot>) -> Loaders {
        Loaders { snapshot }
    }
}

/// An order by its id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OrderById(pub(super) Uuid);
/// A fulfillment by its own id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FulfillmentById(pub(super) Uuid);
/// A saga by its own id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SagaById(pub(super) SagaKey);
/// A return by its order and its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ReturnById(pub(super) Uuid, pub(super) i16);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FulfillmentsOf(pub(super) Uuid);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SagaOf(pub(super) Uuid);
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ReturnsOf(pub(super) Uuid);
/// One more than `limit` is loaded when there are more; `backward`: the last ones, the latest first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TimelineOf {
    pub(super) order: Uuid,
    pub(super) part: Part,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) after: i64,
    pub(super) before: i64,
    pub(super) limit: i64,
    pub(super) backward: bool,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TimelineCountOf(pub(super) Uuid);
/// What parked an order, if anything did.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ParkedOf(pub(super) Uuid);

type Loaded<K, V> = Result<HashMap<K, V>, Arc<sqlx::Error>>;

impl Loader<OrderById> for Loaders {
    type Value = Arc<OrderRecord>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[OrderById]) -> Loaded<OrderById, Self::Value> {
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let rows = read::orders(&mut *self.snapshot.read().await, &ids).await?;
        Ok(rows.into_iter().map(|row| (OrderById(row.order_id), Arc::new(row))).collect())
    }
}

impl Loader<FulfillmentById> for Loaders {
    type Value = Arc<FulfillmentRecord>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[FulfillmentById]) -> Loaded<FulfillmentById, Self::Value> {
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let rows = read::fulfillments(&mut *self.snapshot.read().await, &ids).await?;
        Ok(rows.into_iter().map(|row| (FulfillmentById(row.fulfillment_id), Arc::new(row))).collect())
    }
}

impl Loader<SagaById> for Loaders {
    type Value = Arc<SagaRecord>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[SagaById]) -> Loaded<SagaById, Self::Value> {
        let ids: Vec<SagaKey> = keys.iter().map(|key| key.0).collect();
        let rows = read::sagas(&mut *self.snapshot.read().await, &ids).await?;
        Ok(rows.into_iter().map(|row| (SagaById(row.key()), Arc::new(row))).collect())
    }
}

impl Loader<ReturnById> for Loaders {
    type Value = Arc<ReturnRecord>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[ReturnById]) -> Loaded<ReturnById, Self::Value> {
        let ids: Vec<(Uuid, i16)> = keys.iter().map(|key| (key.0, key.1)).collect();
        let rows = read::returns(&mut *self.snapshot.read().await, &ids).await?;
        Ok(rows.into_iter().map(|row| (ReturnById(row.order_id, row.number), Arc::new(row))).collect())
    }
}

impl Loader<FulfillmentsOf> for Loaders {
    type Value = Vec<Arc<FulfillmentRecord>>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[FulfillmentsOf]) -> Loaded<FulfillmentsOf, Self::Value> {
        let orders: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let mut found: HashMap<_, Self::Value> = HashMap::new();
        for row in read::fulfillments_of(&mut *self.snapshot.read().await, &orders).await? {
            found.entry(FulfillmentsOf(row.order_id)).or_default().push(Arc::new(row));
        }
        Ok(found)
    }
}

impl Loader<SagaOf> for Loaders {
    type Value = Arc<SagaRecord>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[SagaOf]) -> Loaded<SagaOf, Self::Value> {
        let orders: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let rows = read::sagas_of(&mut *self.snapshot.read().await, &orders).await?;
        Ok(rows.into_iter().map(|row| (SagaOf(row.order_id), Arc::new(row))).collect())
    }
}

impl Loader<ReturnsOf> for Loaders {
    type Value = Vec<Arc<ReturnRecord>>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[ReturnsOf]) -> Loaded<ReturnsOf, Self::Value> {
        let orders: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let mut found: HashMap<_, Self::Value> = HashMap::new();
        for row in read::returns_of(&mut *self.snapshot.read().await, &orders).await? {
            found.entry(ReturnsOf(row.order_id)).or_default().push(Arc::new(row));
        }
        Ok(found)
    }
}

impl Loader<TimelineOf> for Loaders {
    type Value = Vec<Arc<TimelineRecord>>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[TimelineOf]) -> Loaded<TimelineOf, Self::Value> {
        // As a rule all ask for the same part.
        let mut by_part: HashMap<Part, Vec<Uuid>> = HashMap::new();
        for key in keys {
            by_part.entry(key.part).or_default().push(key.order);
        }
        let mut found: HashMap<_, Self::Value> = HashMap::new();
        for (part, orders) in by_part {
            let Part { after, before, limit, backward } = part;
            let mut conn = self.snapshot.read().await;
            for row in read::timelines(&mut conn, &orders, (after, before), limit + 1, backward).await? {
                found.entry(TimelineOf { order: row.order_id, part }).or_default().push(Arc::new(row));
            }
        }
        Ok(found)
    }
}

impl Loader<TimelineCountOf> for Loaders {
    type Value = i64;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[TimelineCountOf]) -> Loaded<TimelineCountOf, i64> {
        let orders: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let counts = read::timeline_counts(&mut *self.snapshot.read().await, &orders).await?;
        Ok(counts.into_iter().map(|(order, count)| (TimelineCountOf(order), count)).collect())
    }
}

impl Loader<ParkedOf> for Loaders {
    type Value = ParkedRecord;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[ParkedOf]) -> Loaded<ParkedOf, ParkedRecord> {
        let orders: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let rows = read::parked(&mut *self.snapshot.read().await, &orders).await?;
        Ok(rows.into_iter().map(|row| (ParkedOf(row.key), row)).collect())
    }
}
