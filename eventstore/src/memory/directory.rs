//! API keys and shops in memory.
use super::MemoryEventStore;
use crate::keys::{ApiKey, KeyStore};
use crate::shops::{Shop, ShopStore};
use crate::{AppendError, ReadError};
use async_trait::async_trait;
use uuid::Uuid;

#[async_trait]
impl KeyStore for MemoryEventStore {
    async fn insert_key(&self, key: &ApiKey, hash: [u8; 32]) -> Result<(), AppendError> {
        let mut state = self.state();
        if key.shop.as_ref().is_some_and(|shop| !state.shops.contains_key(shop)) {
            return Err(AppendError::Invalid("there is no such shop".into()));
        }
        state.keys.push((key.clone(), hash));
        Ok(())
    }

    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<(ApiKey, [u8; 32])>, ReadError> {
        Ok(self.state().keys.iter().find(|(_, kept)| *kept == hash).cloned())
    }

    async fn revoke_key(&self, id: Uuid) -> Result<bool, AppendError> {
        let keys = &mut self.state().keys;
        let before = keys.len();
        keys.retain(|(key, _)| key.id != id);
        Ok(keys.len() < before)
    }
}

#[async_trait]
impl ShopStore for MemoryEventStore {
    async fn insert_shop(&self, shop: &Shop) -> Result<bool, AppendError> {
        let shops = &mut self.state().shops;
        let new = !shops.contains_key(&shop.id);
        if new {
            shops.insert(shop.id.clone(), shop.clone());
        }
        Ok(new)
    }

    async fn find_shop(&self, id: &str) -> Result<Option<Shop>, ReadError> {
        Ok(self.state().shops.get(id).cloned())
    }

    async fn list_shops(&self, limit: usize) -> Result<Vec<String>, ReadError> {
        Ok(self.state().shops.keys().take(limit).cloned().collect())
    }
}
