//! API keys and shops.
use super::read::bound;
use super::{PgEventStore, read_error, unavailable};
use crate::keys::{ApiKey, KeyStore};
use crate::shops::{Shop, ShopStore};
use crate::{AppendError, ReadError};
use async_trait::async_trait;
use uuid::Uuid;

#[async_trait]
impl KeyStore for PgEventStore {
    async fn insert_key(&self, key: &ApiKey, hash: [u8; 32]) -> Result<(), AppendError> {
        let inserted = sqlx::query!(
            "INSERT INTO api_keys (id, hash, name, role, shop) VALUES ($1, $2, $3, $4, $5)",
            key.id,
            hash.as_slice(),
            key.name,
            key.role.as_str(),
            key.shop,
        )
        .execute(self.pool())
        .await;
        match inserted {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                Err(AppendError::Invalid("there is no such shop".into()))
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<(ApiKey, [u8; 32])>, ReadError> {
        let row = sqlx::query!(
            "SELECT id, hash, name, role, shop FROM api_keys WHERE hash = $1 AND revoked_at IS NULL",
            hash.as_slice()
        )
        .fetch_optional(self.pool())
        .await
        .map_err(read_error)?;
        let Some(row) = row else { return Ok(None) };
        let role = row.role.parse().map_err(ReadError::Corrupt)?;
        let kept = row.hash.try_into().map_err(|_| ReadError::Corrupt(format!("the hash of key {}", row.id)))?;
        Ok(Some((ApiKey { id: row.id, name: row.name, role, shop: row.shop }, kept)))
    }

    async fn revoke_key(&self, id: Uuid) -> Result<bool, AppendError> {
        let revoked = sqlx::query!("UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL", id)
            .execute(self.pool())
            .await
            .map_err(unavailable)?;
        Ok(revoked.rows_affected() > 0)
    }
}

#[async_trait]
impl ShopStore for PgEventStore {
    async fn insert_shop(&self, shop: &Shop) -> Result<bool, AppendError> {
        let inserted = sqlx::query!(
            "INSERT INTO shops (id, time_zone, defaults) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            shop.id,
            shop.time_zone,
            shop.defaults,
        )
        .execute(self.pool())
        .await
        .map_err(unavailable)?;
        Ok(inserted.rows_affected() > 0)
    }

    async fn find_shop(&self, id: &str) -> Result<Option<Shop>, ReadError> {
        sqlx::query_as!(Shop, "SELECT id, time_zone, defaults FROM shops WHERE id = $1", id)
            .fetch_optional(self.pool())
            .await
            .map_err(read_error)
    }

    async fn list_shops(&self, limit: usize) -> Result<Vec<String>, ReadError> {
        sqlx::query_scalar!("SELECT id FROM shops ORDER BY id LIMIT $1", bound(limit))
            .fetch_all(self.pool())
            .await
            .map_err(read_error)
    }
}
