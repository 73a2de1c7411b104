//! A log as programs of two ages see it: the older one does not know the event `OrderTeleported`, to the newer it is a cancel.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use eventstore::{
    Append, AppendError, Appended, ClaimRecord, EventStore, Incarnation, Lease, Lives, Log, LogHead, MemoryEventStore,
    Position, ReadError, RecordedEvent, Slot, SlotOwner, Timer, TimerMove,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

#[derive(Debug)]
pub(super) struct Taught {
    store: Arc<MemoryEventStore>,
    knows: AtomicBool,
    /// Each page of the log takes one.
    pages: Semaphore,
}

impl Taught {
    pub(super) fn new(store: &Arc<MemoryEventStore>, knows: bool) -> Arc<Taught> {
        let pages = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Taught { store: store.clone(), knows: AtomicBool::new(knows), pages })
    }

    /// Whoever reads the log waits from now on until `let_read`.
    pub(super) fn hold(&self) {
        self.pages.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(super) fn let_read(&self) {
        self.pages.add_permits(1_000);
    }

    pub(super) fn learn(&self) {
        self.knows.store(true, Ordering::SeqCst);
    }

    fn see(&self, mut events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        if self.knows.load(Ordering::SeqCst) {
            for event in events.iter_mut().filter(|event| event.event_type == "OrderTeleported") {
                event.event_type = "CancelRequested".into();
                event.payload =
                    serde_json::value::RawValue::from_string(r#"{"note_id":null}"#.to_owned()).unwrap().into();
            }
        }
        events
    }
}

#[async_trait]
impl EventStore for Taught {
    fn log(&self) -> Log {
        self.store.log()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.store.append(append).await
    }
    async fn read_streams(&self, id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        Ok(self.see(self.store.read_streams(id).await?))
    }
    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        self.pages.acquire().await.unwrap().forget();
        Ok(self.see(self.store.read_log(after, limit).await?))
    }
    async fn head(&self) -> Result<LogHead, ReadError> {
        self.store.head().await
    }
    async fn lives(&self) -> Result<Lives, ReadError> {
        self.store.lives().await
    }
    fn watch_head(&self) -> watch::Receiver<Position> {
        self.store.watch_head()
    }
    async fn claim(&self, scope: &str, key: &str) -> Result<Option<ClaimRecord>, ReadError> {
        self.store.claim(scope, key).await
    }
    async fn checkpoint(&self, name: &str) -> Result<Option<(Incarnation, Position)>, ReadError> {
        self.store.checkpoint(name).await
    }
    async fn balances(&self, accounts: &[String]) -> Result<Vec<(String, i64)>, ReadError> {
        self.store.balances(accounts).await
    }
    async fn list_balances(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, i64)>, ReadError> {
        self.store.list_balances(prefix, after, limit).await
    }
    async fn timers(
        &self,
        slots: &[Slot],
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError> {
        self.store.timers(slots, after, limit).await
    }
    async fn move_timers(&self, moves: &[TimerMove]) -> Result<(), AppendError> {
        self.store.move_timers(moves).await
    }
    async fn take_leases(&self, slots: &[Slot], owner: Uuid, ttl: Duration) -> Result<Vec<Lease>, AppendError> {
        self.store.take_leases(slots, owner, ttl).await
    }
    async fn release_leases(&self, slots: &[Slot], owner: Uuid) -> Result<(), AppendError> {
        self.store.release_leases(slots, owner).await
    }
    async fn attend(&self, owner: &SlotOwner, ttl: Duration) -> Result<eventstore::Attendance, AppendError> {
        self.store.attend(owner, ttl).await
    }
    async fn depart(&self, owner: Uuid) -> Result<(), AppendError> {
        self.store.depart(owner).await
    }
    async fn sealed(&self, subject: Uuid) -> Result<Option<(Uuid, Vec<u8>)>, ReadError> {
        self.store.sealed(subject).await
    }
}
