//! PostgreSQL: the event store for real. All SQL of this crate lies in this module, checked at compile time.
//!
//! Appends go through one connection of their own and one function, `append_batch` (see `migrations/`); everything else through the pool.
mod batch;
pub mod bench;
mod claim_days;
mod connection;
mod directory;
pub mod inspect;
mod listen;
pub mod lives;
mod master_keys;
mod migrate;
pub mod moment;
mod person_keys;
mod pool;
mod read;
mod recall;
pub mod replica;
pub mod restoring;
pub mod slots;
pub mod transfer;
mod versions;
mod write;

pub use claim_days::{ClaimDays, DAYS_AHEAD};
pub use migrate::{MIGRATOR, MigrateError, migrate};
pub use pool::pool_options;
pub(crate) use read::position_at;

use crate::cache::Cache;
use crate::group_commit::{GroupCommit, Limits};
use crate::prepared::Prepared;
use crate::recent::Recent;
use crate::{
    Append, AppendError, Appended, Attendance, ClaimRecord, EventStore, Incarnation, Lease, Log, LogHead,
    MAX_READ_AT_ONCE, Position, ReadError, RecordedEvent, Slot, SlotOwner, Timer, TimerMove,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Entries of the vault that were sealed here: kept for a while, sealed as they are. An order's saga opens them twice.
const MAX_SEALED: usize = 4_096;
const SEALED_BELIEVED: Duration = Duration::from_secs(60);

/// How the store behaves; the default is meant to fit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub limits: Limits,
}

/// The store of one log, in PostgreSQL.
#[derive(Debug)]
pub struct PgEventStore {
    pool: PgPool,
    log: Log,
    appends: GroupCommit,
    head: watch::Sender<Position>,
    recent: Arc<Recent>,
    /// What was just sealed is opened soon.
    sealed: Cache<Uuid, (Uuid, Arc<[u8]>)>,
    /// Fed by Kafka alone: it takes no appends.
    replica: bool,
    claim_days: watch::Receiver<ClaimDays>,
    _listener: AbortOnDropHandle<()>,
    _claim_days: AbortOnDropHandle<()>,
}

impl PgEventStore {
    /// Opens the log, and begins it if it is new. The schema must be there: see `migrate`.
    /// Besides the pool's it holds two connections of its own: one appends, one listens.
    pub async fn connect(pool: PgPool, log: Log, options: Options) -> Result<PgEventStore, ReadError> {
        slots::begin_log(&pool, log).await?;
        let replica = replica::is_replica(&pool, log).await?;
        let (head, _) = watch::channel(read::head(&pool, log).await?.position);
        let missed = Arc::new(Notify::new());
        let (state, claim_days) = watch::channel(ClaimDays::default());
        claim_days::tell(claim_days::keep(&pool).await, &state);
        let look_after = claim_days::look_after(pool.clone(), missed.clone(), state);
        let writer = write::PgWriter::new(&pool, log, missed);
        let recent = Arc::new(Recent::new(log));
        let appends = GroupCommit::start(writer, options.limits, head.clone(), recent.clone());
        let listener =
            AbortOnDropHandle::new(tokio::spawn(listen::follow(pool.clone(), log, head.clone(), recent.clone())));
        let look_after = AbortOnDropHandle::new(tokio::spawn(look_after));
        Ok(PgEventStore {
            pool,
            log,
            appends,
            head,
            recent,
            sealed: Cache::new(MAX_SEALED, SEALED_BELIEVED).named("sealed"),
            replica,
            claim_days,
            _listener: listener,
            _claim_days: look_after,
        })
    }

    /// How it stands with the partitions of claims that expire.
    pub fn claim_days(&self) -> watch::Receiver<ClaimDays> {
        self.claim_days.clone()
    }

    /// Looks after those partitions now, as it does by itself every hour.
    pub async fn keep_claim_days(&self) -> ClaimDays {
        claim_days::keep(&self.pool).await
    }

    /// Whether it is a copy of a log that is written elsewhere: it can be read, and every append is refused.
    pub fn is_replica(&self) -> bool {
        self.replica
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    fn keep_sealed(&self, prepared: &Prepared) {
        for entry in &prepared.append.vault {
            self.sealed.insert(entry.subject, (entry.person, entry.sealed.as_slice().into()));
        }
    }
}

#[async_trait]
impl EventStore for PgEventStore {
    fn log(&self) -> Log {
        self.log
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if self.replica {
            return Err(AppendError::Unavailable(READ_ONLY.to_owned()));
        }
        let prepared = Arc::new(Prepared::new(append)?);
        let refusal = match self.appends.append(prepared.clone()).await {
            Err(refusal) if refusal.may_be_its_own() => refusal,
            outcome => {
                if outcome.is_ok() {
                    self.keep_sealed(&prepared);
                }
                return outcome;
            }
        };
        match recall::recall(&self.pool, self.log, &prepared).await {
            Ok(Some(appended)) => Ok(appended),
            Ok(None) => Err(refusal),
            Err(error) => Err(AppendError::Unknown(format!("{refusal}; whether by itself can't be read: {error}"))),
        }
    }

    async fn read_streams(&self, id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        within(read::streams(&self.pool, self.log, id, Position(i64::MAX))).await
    }

    async fn read_streams_of(&self, ids: &[Uuid]) -> Result<Vec<Vec<RecordedEvent>>, ReadError> {
        let mut read = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MAX_READ_AT_ONCE) {
            read.extend(within(read::streams_of(&self.pool, self.log, ids)).await?);
        }
        Ok(read)
    }

    async fn read_streams_as_of(&self, id: Uuid, upto: Position) -> Result<Vec<RecordedEvent>, ReadError> {
        within(read::streams(&self.pool, self.log, id, upto)).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        within(read::log(&self.pool, self.log, after, limit)).await
    }

    fn recent(&self, after: Position, limit: usize) -> Vec<RecordedEvent> {
        self.recent.after(after, limit)
    }

    async fn position_at(&self, time: DateTime<Utc>) -> Result<Position, ReadError> {
        within(position_at(&self.pool, self.log, time)).await
    }

    async fn head(&self) -> Result<LogHead, ReadError> {
        within(read::head(&self.pool, self.log)).await
    }

    async fn lives(&self) -> Result<crate::Lives, ReadError> {
        within(lives::lives(&self.pool, self.log)).await
    }

    fn watch_head(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    async fn claim(&self, scope: &str, key: &str) -> Result<Option<ClaimRecord>, ReadError> {
        within(read::claim(&self.pool, scope, key)).await
    }

    async fn checkpoint(&self, name: &str) -> Result<Option<(Incarnation, Position)>, ReadError> {
        within(read::checkpoint(&self.pool, self.log, name)).await
    }

    async fn balances(&self, accounts: &[String]) -> Result<Vec<(String, i64)>, ReadError> {
        within(read::balances(&self.pool, accounts)).await
    }

    async fn list_balances(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, i64)>, ReadError> {
        within(read::list_balances(&self.pool, prefix, after, limit)).await
    }

    async fn timers(
        &self,
        slots: &[Slot],
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError> {
        within(slots::timers(&self.pool, self.log, slots, after, limit)).await
    }

    async fn move_timers(&self, moves: &[TimerMove]) -> Result<(), AppendError> {
        slots::move_timers(&self.pool, moves).await
    }

    async fn take_leases(&self, slots: &[Slot], owner: Uuid, ttl: Duration) -> Result<Vec<Lease>, AppendError> {
        slots::take_leases(&self.pool, self.log, slots, owner, ttl).await
    }

    async fn release_leases(&self, slots: &[Slot], owner: Uuid) -> Result<(), AppendError> {
        slots::release_leases(&self.pool, self.log, slots, owner).await
    }

    async fn attend(&self, owner: &SlotOwner, ttl: Duration) -> Result<Attendance, AppendError> {
        slots::attend(&self.pool, self.log, owner, ttl).await
    }

    async fn depart(&self, owner: Uuid) -> Result<(), AppendError> {
        slots::depart(&self.pool, self.log, owner).await
    }

    async fn sealed(&self, subject: Uuid) -> Result<Option<(Uuid, Vec<u8>)>, ReadError> {
        if let Some((person, sealed)) = self.sealed.get(&subject) {
            return Ok(Some((person, sealed.to_vec())));
        }
        within(read::sealed(&self.pool, subject)).await
    }
}

const READ_ONLY: &str = "this database is a replica, fed by Kafka alone: append to the store that it is a copy of";

/// A read that gets no answer for so long is given up: its connection may be dead without a word.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

async fn within<T>(read: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    let late = |_| Err(ReadError::Unavailable(format!("no answer for {} s", READ_TIMEOUT.as_secs())));
    tokio::time::timeout(READ_TIMEOUT, read).await.unwrap_or_else(late)
}

/// What a failed read means to the caller.
fn read_error(error: sqlx::Error) -> ReadError {
    match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::TypeNotFound { .. } => {
            ReadError::Corrupt(error.to_string())
        }
        error => ReadError::Unavailable(error.to_string()),
    }
}

fn unavailable(error: sqlx::Error) -> AppendError {
    AppendError::Unavailable(error.to_string())
}

#[cfg(all(test, feature = "testing"))]
mod tests;
