//! Loads what many fields of one request ask for in one statement each. They live as long as the request.
use super::{
    error::{database, unfoldable, unreadable},
    snapshot::Snapshot,
};
use crate::{
    narrative::{Entry, story},
    projections::{Decoded, ProjectionError, sagas::SagaKey},
    sql::{
        parked::skipped_of,
        read::{self, FulfillmentRecord, OrderRecord, ParkedRecord, ReturnRecord, SagaRecord},
    },
};
use async_graphql::{Error, dataloader::Loader};
use eventstore::{EventStore, Position};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

pub(super) struct Loaders {
    snapshot: Arc<Snapshot>,
    store: Arc<dyn EventStore>,
}

impl Loaders {
    pub(super) fn new(snapshot: Arc<Snapshot>, store: Arc<dyn EventStore>) -> Loaders {
        Loaders { snapshot, store }
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
/// All that happened to an order up to a position, from the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StoryOf {
    pub(super) order: Uuid,
    pub(super) upto: Position,
}
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

impl Loader<StoryOf> for Loaders {
    type Value = Vec<Arc<Entry>>;
    type Error = Error;

    async fn load(&self, keys: &[StoryOf]) -> Result<HashMap<StoryOf, Self::Value>, Error> {
        let orders: Vec<Uuid> = keys.iter().map(|key| key.order).collect();
        let held = skipped_of(&mut *self.snapshot.read().await, &orders).await.map_err(|error| database(&error))?;
        let histories = self.store.read_streams_of(&orders).await.map_err(|error| unreadable(&error))?;
        let told = keys.iter().zip(histories).map(|(key, history)| {
            // What a person has left out, the rows never showed.
            let shown = history.into_iter().filter(|event| event.position <= key.upto && !held.leaves_out(event));
            let decoded: Vec<_> = shown.map(Decoded::decode).collect::<Result<_, _>>()?;
            Ok((*key, story(&decoded).into_iter().map(Arc::new).collect()))
        });
        told.collect::<Result<_, _>>().map_err(|error: ProjectionError| unfoldable(&error))
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
