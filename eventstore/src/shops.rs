//! Shops: whose orders they are, and what an order of theirs may leave out.
use crate::cache::Cache;
use crate::{AppendError, ReadError};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// How long a shop is believed without asking.
const BELIEVED: Duration = Duration::from_secs(5);
const CACHED: usize = 1_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Shop {
    /// For example `dev`.
    pub id: String,
    /// An IANA name, or `UTC`: times given without an offset are in it.
    pub time_zone: String,
    /// What an order may leave out; the meaning is the commands'. Not personal data.
    pub defaults: serde_json::Value,
}

/// Where shops are kept. Under one contract suite: PostgreSQL and memory.
#[async_trait]
pub trait ShopStore: Send + Sync + std::fmt::Debug {
    /// Whether it is new; a shop that exists is left as it is.
    async fn insert_shop(&self, shop: &Shop) -> Result<bool, AppendError>;
    async fn find_shop(&self, id: &str) -> Result<Option<Shop>, ReadError>;
    /// All shops' ids, in order, at most `limit`.
    async fn list_shops(&self, limit: usize) -> Result<Vec<String>, ReadError>;
}

#[derive(Debug)]
pub struct Shops {
    store: Arc<dyn ShopStore>,
    known: Cache<String, Arc<Shop>>,
}

impl Shops {
    pub fn new(store: Arc<dyn ShopStore>) -> Shops {
        Shops { store, known: Cache::new(CACHED, BELIEVED).named("shops") }
    }

    /// Whether it is new; a shop that exists is left as it is.
    pub async fn create_shop(&self, shop: &Shop) -> Result<bool, AppendError> {
        self.store.insert_shop(shop).await
    }

    pub async fn get(&self, id: &str) -> Result<Option<Arc<Shop>>, ReadError> {
        if let Some(shop) = self.known.get(id) {
            return Ok(Some(shop));
        }
        Ok(self.store.find_shop(id).await?.map(|shop| {
            let shop = Arc::new(shop);
            self.known.insert(id.to_owned(), shop.clone());
            shop
        }))
    }

    /// All shops' ids, in order, at most `limit`: "the only shop" is the first of one.
    pub async fn list(&self, limit: usize) -> Result<Vec<String>, ReadError> {
        self.store.list_shops(limit).await
    }
}
