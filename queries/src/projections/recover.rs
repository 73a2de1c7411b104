//! A read model that is ahead of its log: the log was restored to an older state. Its rows are a function of the log, so they are made again.
use super::{ProjectionError, builder::ahead_of, connection::pool, runner::SCHEMA};
use crate::sql::{checkpoint, replay::clear};
use eventstore::EventStore;
use sqlx::postgres::PgConnectOptions;

/// Why the read model has to be built again; `None`: it hasn't.
pub async fn read_model_ahead(
    store: &dyn EventStore,
    database: &PgConnectOptions,
) -> Result<Option<ProjectionError>, ProjectionError> {
    let pool = pool(database, SCHEMA);
    let found = checkpoint::load(&mut *pool.acquire().await?).await?;
    pool.close().await;
    let (lives, head) = (store.lives().await?, store.head().await?.position);
    Ok(found.and_then(|found| ahead_of(&found, &lives, head)))
}

/// Empties the read model, checkpoint and all: whoever runs the projections replays the log from its beginning. A runner at work notices at
/// its next batch.
pub async fn reset_read_model(database: &PgConnectOptions) -> Result<(), ProjectionError> {
    let pool = pool(database, SCHEMA);
    clear(&pool).await?;
    pool.close().await;
    Ok(())
}
