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
        "the database is newer than this program: only programs that know migration {needs} may work with it, and this one knows \
         nothing of it (its last is {known}); start a newer version"
    )]
    DatabaseIsNewer { needs: i64, known: i64 },
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

impl MigrateError {
    /// Whether it may be another matter in a moment: the database starts, or has no connection left.
    pub fn may_pass(&self) -> bool {
        use sqlx::Error::{Io, PoolTimedOut};
        let MigrateError::Failed(Cause::Execute(cause)) = self else { return false };
        // 53300: too many connections; 57P03: it starts, or stops.
        let code = cause.as_database_error().and_then(|error| error.code());
        matches!(cause, Io(_) | PoolTimedOut) || matches!(code.as_deref(), Some("53300" | "57P03"))
    }
}

/// Applies what is missing. Several processes may do so at once: they wait for each other. A database that is being restored is refused.
///
/// A newer program may have been here: its migrations are left as they are, and the database is refused only if it says itself that
/// this program is too old for it (see `migrations/0013_compatibility.sql`).
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    let mut connection = pool.acquire().await.map_err(unreadable)?;
    if let Some(backup) = restoring::mark(&mut connection).await.map_err(unreadable)? {
        return Err(MigrateError::Restoring { backup });
    }
    drop(connection);
    apply(pool).await
}

pub(super) async fn apply(pool: &PgPool) -> Result<(), MigrateError> {
    admit(pool).await?;
    // A database older than the mark was migrated by no newer program.
    let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
    migrator.set_ignore_missing(true);
    migrator.run(pool).await.map_err(|cause| match cause {
        Cause::VersionMismatch(migration) => MigrateError::Differs { migration },
        cause => MigrateError::Failed(cause),
    })?;
    // A newer program may have been at it meanwhile: the run has waited for it.
    admit(pool).await
}

/// Asks the database whether this program may work with it.
async fn admit(pool: &PgPool) -> Result<(), MigrateError> {
    let says = sqlx::query_scalar!(r#"SELECT to_regclass('compatibility') IS NOT NULL AS "says!""#);
    if !says.fetch_one(pool).await.map_err(unreadable)? {
        return Ok(());
    }
    let needs = sqlx::query_scalar!("SELECT needs FROM compatibility").fetch_one(pool).await.map_err(unreadable)?;
    match MIGRATOR.version_exists(needs) {
        true => Ok(()),
        false => {
            let known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
            Err(MigrateError::DatabaseIsNewer { needs, known })
        }
    }
}

fn unreadable(error: sqlx::Error) -> MigrateError {
    MigrateError::Failed(Cause::Execute(error))
}
