//! What one request reads from: one transaction, in which the rows stand still.
use crate::sql::checkpoint::live_position;
use eventstore::Position;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::{Mutex, MutexGuard};

pub(super) struct Snapshot {
    transaction: Mutex<Transaction<'static, Postgres>>,
    position: Position,
}

impl Snapshot {
    pub(super) async fn open(pool: &PgPool) -> sqlx::Result<Snapshot> {
        let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let position = live_position(&mut transaction).await?;
        Ok(Snapshot { transaction: Mutex::new(transaction), position })
    }

    /// The position that its rows reflect.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Its connection; one reader at a time.
    pub(super) async fn read(&self) -> MutexGuard<'_, Transaction<'static, Postgres>> {
        self.transaction.lock().await
    }
}
