//! Persons' wrapped keys.
use super::{PgEventStore, read_error, unavailable};
use crate::vault::{PersonKeys, WrappedKey};
use crate::{AppendError, ReadError};
use async_trait::async_trait;
use uuid::Uuid;

/// How often a race about one person is run again.
const TRIES: u32 = 5;

#[async_trait]
impl PersonKeys for PgEventStore {
    async fn person_key(&self, fresh: WrappedKey) -> Result<WrappedKey, AppendError> {
        // Not waiting for the disk is safe: whatever is sealed under the key is committed by a later append, and the write-ahead log
        // is made durable in its order. When another made the person at the same moment, this statement sees neither: it is run again.
        for _ in 0..TRIES {
            let kept = sqlx::query_as!(
                WrappedKey,
                r#"WITH made AS (
                       INSERT INTO vault.person_keys (person, shop, ref, master_key, wrapped)
                       SELECT $1, $2, $3, $4, $5
                         FROM (SELECT set_config('synchronous_commit', 'off', true)) AS not_waiting
                        WHERE NOT EXISTS (
                                  SELECT FROM vault.person_keys WHERE shop = $2 AND ref = $3 AND wrapped IS NOT NULL
                              )
                           ON CONFLICT (shop, ref) WHERE wrapped IS NOT NULL DO NOTHING
                    RETURNING person, shop, ref, master_key, wrapped
                   )
                   SELECT person AS "person!", shop AS "shop!", ref AS "reference!", master_key AS "master_key!",
                          wrapped AS "wrapped!"
                     FROM made
                    UNION ALL
                   SELECT person, shop, ref, master_key, wrapped FROM vault.person_keys
                    WHERE shop = $2 AND ref = $3 AND wrapped IS NOT NULL"#,
                fresh.person,
                fresh.shop,
                fresh.reference,
                fresh.master_key,
                fresh.wrapped,
            )
            .fetch_optional(self.pool())
            .await
            .map_err(unavailable)?;
            if let Some(kept) = kept {
                return Ok(kept);
            }
        }
        Err(AppendError::Unavailable("too many make one person at once".into()))
    }

    async fn key_of(&self, person: Uuid) -> Result<Option<WrappedKey>, ReadError> {
        sqlx::query_as!(
            WrappedKey,
            r#"SELECT person, shop, ref AS reference, master_key, wrapped AS "wrapped!"
                 FROM vault.person_keys WHERE person = $1 AND wrapped IS NOT NULL"#,
            person
        )
        .fetch_optional(self.pool())
        .await
        .map_err(read_error)
    }

    async fn erase_key(&self, person: Uuid) -> Result<bool, AppendError> {
        let erased = sqlx::query!(
            "UPDATE vault.person_keys SET wrapped = NULL, erased_at = now() WHERE person = $1 AND wrapped IS NOT NULL",
            person
        )
        .execute(self.pool())
        .await
        .map_err(unavailable)?;
        Ok(erased.rows_affected() > 0)
    }
}
