//! Brings the schema up to date, one process at a time.
use super::restoring;
use sqlx::PgPool;
use sqlx::migrate::{MigrateError as Cause, Migrator};
use thiserror::Error;

/// All migrations that this binary knows.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

#[derive(Debug, Error)]
pub enum MigrateError {
    #[error(
        "the database is newer than this program: it has had migration {migration}, of which this program knows nothing (its last is {known}); start a newer version"
    )]
    DatabaseIsNewer { migration: i64, known: i64 },
    #[error(
        "migration {migration} was applied to this database in another form than this program has it; it belongs to another build"
    )]
    Differs { migration: i64 },
    #[error(
        "this database is being restored from the backup {backup}, which has not come to its end: run `waybill restore` again"
    )]
    Restoring { backup: String },
    #[error("the database's schema can't be brought up to date")]
    Failed(#[source] Cause),
}

/// Applies what is missing. Several processes may do so at once: they wait for each other. A database that is being restored is refused.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    let failed = |error| MigrateError::Failed(Cause::Execute(error));
    let mut connection = pool.acquire().await.map_err(failed)?;
    if let Some(backup) = restoring::mark(&mut connection).await.map_err(failed)? {
        return Err(MigrateError::Restoring { backup });
    }
    drop(connection);
    apply(pool).await
}

pub(super) async fn apply(pool: &PgPool) -> Result<(), MigrateError> {
    MIGRATOR.run(pool).await.map_err(|cause| match cause {
        Cause::VersionMissing(migration) => {
            let known = MIGRATOR.iter().map(|m| m.version).max().unwrap_or(0);
            MigrateError::DatabaseIsNewer { migration, known }
        }
        Cause::VersionMismatch(migration) => MigrateError::Differs { migration },
        cause => MigrateError::Failed(cause),
    })
}
