//! Persons' wrapped keys, and what is sealed of whom.
use super::{PgEventStore, read_error, unavailable};
use crate::vault::{KnownPerson, PersonKeys, WrappedKey};
use crate::{AppendError, ReadError};
use async_trait::async_trait;
use uuid::Uuid;

/// How often a race about one person is run again.
const TRIES: u32 = 5;

#[async_trait]
impl PersonKeys for PgEventStore {
    async fn person_key(&self, fresh: WrappedKey) -> Result<Option<WrappedKey>, AppendError> {
        // Durable before anything is sealed under it: an append that waits for the database to come back must not be all that is left of a
        // person. When another made the person at the same moment, this statement sees neither: it is run again.
        for _ in 0..TRIES {
            let kept = sqlx::query_as!(
                WrappedKey,
                r#"WITH made AS (
                       INSERT INTO vault.person_keys (person, shop, ref, master_key, wrapped)
                       SELECT $1, $2, $3, $4, $5
                        WHERE NOT EXISTS (
                                  SELECT FROM vault.person_keys WHERE shop = $2 AND ref = $3 AND wrapped IS NOT NULL
                              )
                          AND $4 = coalesce((SELECT id FROM vault.master_keys ORDER BY generation DESC LIMIT 1), $4)
                           ON CONFLICT (shop, ref) WHERE wrapped IS NOT NULL DO NOTHING
                    RETURNING person, shop, ref, master_key, wrapped
                   )
                   SELECT person AS "person!", shop AS "shop!", ref AS "reference!", NULL AS former, master_key AS "master_key!",
                          wrapped AS "wrapped!"
                     FROM made
                    UNION ALL
                   SELECT person, shop, ref, former_ref, master_key, wrapped FROM vault.person_keys
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
            if kept.is_some() {
                return Ok(kept);
            }
            let current = sqlx::query_scalar!("SELECT id FROM vault.master_keys ORDER BY generation DESC LIMIT 1")
                .fetch_optional(self.pool())
                .await
                .map_err(unavailable)?;
            if current.is_some_and(|current| current != fresh.master_key) {
                return Ok(None);
            }
        }
        Err(AppendError::Unavailable("too many make one person at once".into()))
    }

    async fn key_of(&self, person: Uuid) -> Result<Option<WrappedKey>, ReadError> {
        sqlx::query_as!(
            WrappedKey,
            r#"SELECT person, shop, ref AS reference, former_ref AS former, master_key, wrapped AS "wrapped!"
                 FROM vault.person_keys WHERE person = $1 AND wrapped IS NOT NULL"#,
            person
        )
        .fetch_optional(self.pool())
        .await
        .map_err(read_error)
    }

    async fn replace_key(&self, kept: &WrappedKey, new: &WrappedKey) -> Result<bool, AppendError> {
        let replaced = sqlx::query!(
            "UPDATE vault.person_keys SET ref = $3, former_ref = $4, master_key = $5, wrapped = $6
              WHERE person = $1 AND wrapped = $2",
            kept.person,
            kept.wrapped,
            new.reference,
            new.former,
            new.master_key,
            new.wrapped
        )
        .execute(self.pool())
        .await
        .map_err(unavailable)?;
        Ok(replaced.rows_affected() > 0)
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

    async fn known_as(&self, shop: &str, reference: &str, limit: usize) -> Result<Vec<KnownPerson>, ReadError> {
        sqlx::query_as!(
            KnownPerson,
            r#"SELECT person, shop, coalesce(former_ref, ref) AS "reference!",
                      (former_ref IS NOT NULL OR wrapped IS NULL) AS "parted!", erased_at
                 FROM vault.person_keys WHERE shop = $1 AND coalesce(former_ref, ref) = $2
                ORDER BY person DESC LIMIT $3"#,
            shop,
            reference,
            i64::try_from(limit).unwrap_or(i64::MAX)
        )
        .fetch_all(self.pool())
        .await
        .map_err(read_error)
    }

    async fn find_person(&self, person: Uuid) -> Result<Option<KnownPerson>, ReadError> {
        sqlx::query_as!(
            KnownPerson,
            r#"SELECT person, shop, coalesce(former_ref, ref) AS "reference!",
                      (former_ref IS NOT NULL OR wrapped IS NULL) AS "parted!", erased_at
                 FROM vault.person_keys WHERE person = $1"#,
            person
        )
        .fetch_optional(self.pool())
        .await
        .map_err(read_error)
    }

    async fn subjects_of(&self, person: Uuid, after: Option<Uuid>, limit: usize) -> Result<Vec<Uuid>, ReadError> {
        sqlx::query_scalar!(
            "SELECT subject FROM vault_entries WHERE person = $1 AND subject > $2 ORDER BY subject LIMIT $3",
            person,
            after.unwrap_or_default(),
            i64::try_from(limit).unwrap_or(i64::MAX)
        )
        .fetch_all(self.pool())
        .await
        .map_err(read_error)
    }

    async fn subjects_with_timer(
        &self,
        person: Uuid,
        timer: &str,
        limit: usize,
    ) -> Result<(Vec<Uuid>, u64), ReadError> {
        let rows = sqlx::query!(
            r#"SELECT v.subject, count(*) OVER () AS "all!"
                 FROM vault_entries v
                WHERE v.person = $1 AND EXISTS (SELECT FROM timers t WHERE t.stream_id = v.subject AND t.name = $2)
                ORDER BY v.subject LIMIT $3"#,
            person,
            timer,
            i64::try_from(limit).unwrap_or(i64::MAX)
        )
        .fetch_all(self.pool())
        .await
        .map_err(read_error)?;
        let all = rows.first().map_or(0, |row| row.all.unsigned_abs());
        Ok((rows.into_iter().map(|row| row.subject).collect(), all))
    }
}
