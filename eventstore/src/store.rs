//! The port of the event store. Implementations: `sql` (PostgreSQL) and `memory`, under one contract suite.
use crate::{
    Append, AppendError, Appended, Incarnation, Log, Position, ReadError, RecordedEvent, Slot, StreamId, TakenClaim,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::borrow::Cow;
use uuid::Uuid;

/// Ids whose streams are read by one query: their histories are in memory at the same time.
pub const MAX_READ_AT_ONCE: usize = 256;

/// The store of one log.
#[async_trait]
pub trait EventStore: Send + Sync + std::fmt::Debug {
    fn log(&self) -> Log;

    /// Appends all or nothing; answers after the commit. Appends that wait at the same time share one commit.
    /// Where several things stand in its way it hears of its lease first, then of its checkpoint, a claim, a stream, a balance.
    /// The same `command_id` again answers what was written the first time, when its streams expect `Exact` versions; without
    /// events, when it has a checkpoint, as long as nobody has moved that on.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// All streams that share this id, in position order: for an order, its whole history.
    async fn read_streams(&self, id: Uuid) -> Result<Vec<RecordedEvent>, ReadError>;

    /// `read_streams` of many ids, each named once, in their order; of one that has no streams there is nothing. One query for every
    /// `MAX_READ_AT_ONCE` of them.
    async fn read_streams_of(&self, ids: &[Uuid]) -> Result<Vec<Vec<RecordedEvent>>, ReadError> {
        let mut read = Vec::with_capacity(ids.len());
        for id in ids {
            read.push(self.read_streams(*id).await?);
        }
        Ok(read)
    }

    /// Events after `after`, in position order, at most `limit`. Empty at the head; never a gap.
    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, ReadError>;

    /// What comes after `after` and was appended by this very process, as far as it still holds it in memory: as `read_log` tells it, without
    /// asking the database. Empty: it can't tell.
    fn recent(&self, _after: Position, _limit: usize) -> Vec<RecordedEvent> {
        Vec::new()
    }

    /// `read_log` for whoever follows the head.
    async fn read_next(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        let recent = self.recent(after, limit);
        if recent.is_empty() { self.read_log(after, limit).await } else { Ok(recent) }
    }

    /// `read_streams` as it was at a position: what came later is left out.
    async fn read_streams_as_of(&self, id: Uuid, upto: Position) -> Result<Vec<RecordedEvent>, ReadError> {
        let mut events = self.read_streams(id).await?;
        events.retain(|event| event.position <= upto);
        Ok(events)
    }

    /// `read_log` up to and with a position: empty once `after` has come there.
    async fn read_log_as_of(
        &self,
        after: Position,
        upto: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let left = usize::try_from(upto.0.saturating_sub(after.0.max(0))).unwrap_or(0);
        if left == 0 {
            return Ok(Vec::new());
        }
        self.read_log(after, limit.min(left)).await
    }

    /// The last position recorded at or before an instant; `Position::ZERO` before the first event. Found by halving, since positions are
    /// dense and `recorded_at` never goes back along them.
    async fn position_at(&self, time: DateTime<Utc>) -> Result<Position, ReadError> {
        // Up to `low` all is recorded by then; `high` is later, or beyond the head.
        let (mut low, mut high) = (0, self.head().await?.position.0 + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.read_log(Position(middle - 1), 1).await?.first() {
                Some(event) if event.recorded_at <= time => low = middle,
                _ => high = middle,
            }
        }
        Ok(Position(low))
    }

    async fn head(&self) -> Result<LogHead, ReadError>;

    /// The log's lives, and what of the earlier ones is lost.
    async fn lives(&self) -> Result<crate::Lives, ReadError>;

    /// A watch of the head as this process knows it: moved by its own appends at once, by others' through `NOTIFY`.
    fn watch_head(&self) -> tokio::sync::watch::Receiver<Position>;

    async fn claim(&self, scope: &str, key: &str) -> Result<Option<ClaimRecord>, ReadError>;

    /// How far this reader of the log has come.
    async fn checkpoint(&self, name: &str) -> Result<Option<(Incarnation, Position)>, ReadError>;

    /// Balances of the accounts that exist.
    async fn balances(&self, accounts: &[String]) -> Result<Vec<(String, i64)>, ReadError>;

    /// Every account whose name begins with `prefix`, by name, after `after`, at most `limit`.
    async fn list_balances(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, i64)>, ReadError>;

    /// Timers of these slots, soonest first, after (`due_at`, id) `after`, at most `limit`; more only where the last ones share
    /// (`due_at`, id), so that the next page leaves none out.
    async fn timers(
        &self,
        slots: &[Slot],
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError>;

    /// Moves timers outside of an append (a retry's due time). One that is gone stays gone, and one that an append after `upto` has set stays
    /// as it set it. Each is named once.
    async fn move_timers(&self, moves: &[TimerMove]) -> Result<(), AppendError>;

    /// Takes the slots that are free, expired or ours, for `ttl`; answers those now held. The epoch rises when the owner changes.
    async fn take_leases(
        &self,
        slots: &[Slot],
        owner: Uuid,
        ttl: std::time::Duration,
    ) -> Result<Vec<Lease>, AppendError>;

    /// Frees these slots, where this owner holds them.
    async fn release_leases(&self, slots: &[Slot], owner: Uuid) -> Result<(), AppendError>;

    /// Says that this owner is there for `ttl` more; answers all who are, and what time it is here.
    async fn attend(&self, owner: &SlotOwner, ttl: std::time::Duration) -> Result<Attendance, AppendError>;

    /// Frees all that this owner holds, and it is not there any more: a graceful stop.
    async fn depart(&self, owner: Uuid) -> Result<(), AppendError>;

    /// The sealed personal data of a subject: (person, sealed bytes).
    async fn sealed(&self, subject: Uuid) -> Result<Option<(Uuid, Vec<u8>)>, ReadError>;
}

pub type ClaimRecord = TakenClaim;

/// How far the log has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    pub incarnation: Incarnation,
    pub position: Position,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub stream: StreamId,
    pub name: String,
    pub due_at: DateTime<Utc>,
    /// When it was set or moved, by the same clock; `None`: the release before did, or a log's import.
    pub set_at: Option<DateTime<Utc>>,
}

/// When a timer is due instead, as decided by someone who knew all up to a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerMove {
    pub stream: StreamId,
    pub name: Cow<'static, str>,
    pub due_at: DateTime<Utc>,
    /// Now, by the clock that `due_at` is told by.
    pub set_at: DateTime<Utc>,
    /// The position of the last event that was known.
    pub upto: Position,
}

/// Who is there to drive sagas, and the time by the store's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attendance {
    /// By id; whoever asked is among them.
    pub owners: Vec<Uuid>,
    pub now: DateTime<Utc>,
}

/// Who drives the sagas of the slots that it holds: a process, and what people call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotOwner {
    pub id: Uuid,
    /// For example `host:1234`.
    pub name: String,
    pub app_version: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub slot: Slot,
    pub epoch: i64,
    pub expires_at: DateTime<Utc>,
}

/// Moves a watch of the head on; never back.
pub(crate) fn raise(head: &tokio::sync::watch::Sender<Position>, position: Position) {
    head.send_if_modified(|known| {
        let higher = position > *known;
        *known = position.max(*known);
        higher
    });
}
