//! Which master keys there were, and what lies under each.
use super::{PgEventStore, read_error, unavailable};
use crate::vault::{MasterKeys, WrappedKey, WrappedSecret};
use crate::{AppendError, ReadError};
use async_trait::async_trait;
use uuid::Uuid;

#[async_trait]
impl MasterKeys for PgEventStore {
    async fn current_master(&self) -> Result<Option<String>, ReadError> {
        sqlx::query_scalar!("SELECT id FROM vault.master_keys ORDER BY generation DESC LIMIT 1")
            .fetch_optional(self.pool())
            .await
            .map_err(read_error)
    }

    async fn announce_master(&self, id: &str, before: Option<&str>) -> Result<bool, AppendError> {
        let announced = sqlx::query!(
            r#"INSERT INTO vault.master_keys (id)
               SELECT $1
                WHERE (SELECT id FROM vault.master_keys ORDER BY generation DESC LIMIT 1) IS NOT DISTINCT FROM $2
                   ON CONFLICT (id) DO NOTHING"#,
            id,
            before
        )
        .execute(self.pool())
        .await
        .map_err(unavailable)?;
        Ok(announced.rows_affected() > 0)
    }

    async fn secret(&self, name: &str) -> Result<Option<WrappedSecret>, ReadError> {
        sqlx::query_as!(WrappedSecret, "SELECT name, master_key, wrapped FROM vault.secrets WHERE name = $1", name)
            .fetch_optional(self.pool())
            .await
            .map_err(read_error)
    }

    async fn keep_secret(&self, kept: Option<&WrappedSecret>, new: &WrappedSecret) -> Result<bool, AppendError> {
        let done =
            match kept {
                None => sqlx::query!(
                    "INSERT INTO vault.secrets (name, master_key, wrapped) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                    new.name,
                    new.master_key,
                    new.wrapped
                )
                .execute(self.pool())
                .await,
                Some(kept) => {
                    sqlx::query!(
                        "UPDATE vault.secrets SET master_key = $3, wrapped = $4 WHERE name = $1 AND wrapped = $2",
                        kept.name,
                        kept.wrapped,
                        new.master_key,
                        new.wrapped
                    )
                    .execute(self.pool())
                    .await
                }
            };
        Ok(done.map_err(unavailable)?.rows_affected() > 0)
    }

    async fn keys_not_under(
        &self,
        master: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<WrappedKey>, ReadError> {
        sqlx::query_as!(
            WrappedKey,
            r#"SELECT person, shop, ref AS reference, former_ref AS former, master_key, wrapped AS "wrapped!"
                 FROM vault.person_keys
                WHERE person > $2 AND wrapped IS NOT NULL AND master_key <> $1
                ORDER BY person LIMIT $3"#,
            master,
            after.unwrap_or_default(),
            i64::try_from(limit).unwrap_or(i64::MAX)
        )
        .fetch_all(self.pool())
        .await
        .map_err(read_error)
    }

    async fn under_each_master(&self) -> Result<Vec<(String, u64)>, ReadError> {
        // Those who write wait for nobody but us, and only for a moment; whoever comes after sees the current master key.
        let mut writers = self.pool().begin().await.map_err(read_error)?;
        sqlx::query!("LOCK TABLE vault.person_keys IN SHARE MODE").execute(&mut *writers).await.map_err(read_error)?;
        writers.commit().await.map_err(read_error)?;
        let rows = sqlx::query!(
            r#"SELECT master_key AS "master_key!", count(*) AS "keys!"
                 FROM (SELECT master_key FROM vault.person_keys WHERE wrapped IS NOT NULL
                        UNION ALL
                       SELECT master_key FROM vault.secrets) AS kept
                GROUP BY master_key ORDER BY master_key"#
        )
        .fetch_all(self.pool())
        .await
        .map_err(read_error)?;
        Ok(rows.into_iter().map(|row| (row.master_key, row.keys.unsigned_abs())).collect())
    }
}
