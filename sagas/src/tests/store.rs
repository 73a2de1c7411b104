//! A store that loses answers and repeats itself, and whose leases run out by the test's own clock.
use super::faults::{Faults, Ice};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{
    ActorKind, Append, AppendError, Appended, Attendance, ClaimRecord, EventStore, Incarnation, Lease, Log, LogHead,
    Position, ReadError, RecordedEvent, Slot, SlotOwner, Timer, TimerMove,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

/// A store whose answers get lost, and whose leases run out by the test's own clock.
#[derive(Clone, Debug)]
pub(super) struct FaultyStore {
    pub(super) inner: Arc<dyn EventStore>,
    pub(super) faults: Arc<Faults>,
    /// Who is there, and when each lease was taken or renewed: both run out by the test's clock.
    there: Arc<Mutex<BTreeMap<Uuid, Instant>>>,
    renewed: Arc<Mutex<HashMap<Slot, (Uuid, Instant)>>>,
    /// When appends were made, by the test's clock, and by their last position.
    times: Arc<Mutex<BTreeMap<Position, DateTime<Utc>>>>,
    pub(super) began: (DateTime<Utc>, Instant),
    /// Owners whose renewals do not get through.
    pub(super) cut_off: Arc<Mutex<Vec<Uuid>>>,
    ice: Ice,
}

impl FaultyStore {
    pub(super) fn new(inner: Arc<dyn EventStore>, faults: Arc<Faults>) -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            inner,
            faults,
            there: Arc::default(),
            renewed: Arc::default(),
            times: Arc::default(),
            began: (Utc::now(), Instant::now()),
            cut_off: Arc::default(),
            ice: Ice::default(),
        })
    }

    /// The server was lost, and this was restored in its place; time goes on.
    pub(super) fn restored(&self, inner: Arc<dyn EventStore>) -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            inner,
            faults: Arc::clone(&self.faults),
            there: Arc::default(),
            renewed: Arc::default(),
            times: Arc::new(Mutex::new(self.times.lock().unwrap().clone())),
            began: self.began,
            cut_off: Arc::default(),
            ice: Ice::default(),
        })
    }

    /// The same for one runner, which may freeze.
    pub(super) fn of(&self, ice: &Ice) -> FaultyStore {
        FaultyStore { ice: ice.clone(), ..self.clone() }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.began.0 + TimeDelta::from_std(self.began.1.elapsed()).unwrap()
    }

    /// An append was made just now.
    pub(super) fn stamp(&self, appended: Appended) -> Appended {
        let recorded_at = self.now();
        self.times.lock().unwrap().insert(appended.last, recorded_at);
        Appended { recorded_at, ..appended }
    }

    /// Of an owner that is cut off nothing comes here, nor any answer there.
    async fn unless_cut_off(&self, owner: Uuid) {
        self.ice.thawed().await;
        if self.cut_off.lock().unwrap().contains(&owner) {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn stamped(&self, mut events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        let times = self.times.lock().unwrap();
        for event in &mut events {
            if let Some((_, at)) = times.range(event.position..).next() {
                event.recorded_at = *at;
            }
        }
        events
    }
}

#[async_trait]
impl EventStore for FaultyStore {
    fn log(&self) -> Log {
        self.inner.log()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        assert_eq!(append.metadata.actor.kind, ActorKind::Saga, "only sagas append through here");
        assert!(append.fence.is_some(), "a saga's append is fenced");
        self.faults.appends.fetch_add(1, Ordering::SeqCst);
        self.faults.point().await;
        self.ice.thawed().await;
        let rate = *self.faults.rate.lock().unwrap() / 10.0;
        let answer = match self.faults.up_to(3) {
            _ if !self.faults.chance(rate) => self.inner.append(append).await.map(|appended| self.stamp(appended)),
            0 => Err(AppendError::Unavailable("not now".into())),
            1 => Err(AppendError::Unknown("lost on the way there".into())),
            _ => {
                let _ = self.inner.append(append).await.map(|appended| self.stamp(appended));
                Err(AppendError::Unknown("lost on the way back".into()))
            }
        };
        self.faults.point().await;
        self.ice.thawed().await;
        answer
    }

    async fn read_streams(&self, id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        self.faults.reads.fetch_add(1, Ordering::SeqCst);
        if self.faults.chance(*self.faults.rate.lock().unwrap() / 10.0) {
            return Err(ReadError::Unavailable("not now".into()));
        }
        self.ice.thawed().await;
        self.inner.read_streams(id).await.map(|events| self.stamped(events))
    }
    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        self.ice.thawed().await;
        if self.faults.chance(*self.faults.rate.lock().unwrap() / 10.0) {
            return Err(ReadError::Unavailable("not now".into()));
        }
        // Some of it is heard twice.
        let again = if self.faults.is_stormy() { self.faults.up_to(4) as i64 } else { 0 };
        let after = Position((after.0 - again).max(0));
        self.inner.read_log(after, limit).await.map(|events| self.stamped(events))
    }
    async fn lives(&self) -> Result<eventstore::Lives, ReadError> {
        self.inner.lives().await
    }
    async fn head(&self) -> Result<LogHead, ReadError> {
        self.inner.head().await
    }
    fn watch_head(&self) -> watch::Receiver<Position> {
        self.inner.watch_head()
    }
    async fn claim(&self, scope: &str, key: &str) -> Result<Option<ClaimRecord>, ReadError> {
        self.inner.claim(scope, key).await
    }
    async fn checkpoint(&self, name: &str) -> Result<Option<(Incarnation, Position)>, ReadError> {
        self.inner.checkpoint(name).await
    }
    async fn balances(&self, accounts: &[String]) -> Result<Vec<(String, i64)>, ReadError> {
        self.inner.balances(accounts).await
    }
    async fn list_balances(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, i64)>, ReadError> {
        self.inner.list_balances(prefix, after, limit).await
    }
    async fn timers(
        &self,
        slots: &[Slot],
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError> {
        let mut page = self.inner.timers(slots, after, limit).await?;
        page.truncate(limit);
        Ok(page)
    }
    async fn move_timers(&self, moves: &[TimerMove]) -> Result<(), AppendError> {
        self.faults.point().await;
        self.faults.moves.fetch_add(moves.len(), Ordering::SeqCst);
        self.inner.move_timers(moves).await
    }

    async fn take_leases(&self, slots: &[Slot], owner: Uuid, ttl: Duration) -> Result<Vec<Lease>, AppendError> {
        self.unless_cut_off(owner).await;
        let over: BTreeMap<Uuid, Vec<Slot>> = {
            let (mut over, now) = (BTreeMap::<_, Vec<_>>::new(), Instant::now());
            self.renewed.lock().unwrap().retain(|slot, (owner, at)| {
                let is_over = now - *at > ttl;
                if is_over {
                    over.entry(*owner).or_default().push(*slot);
                }
                !is_over
            });
            over
        };
        for (owner, slots) in over {
            self.inner.release_leases(&slots, owner).await?;
        }
        let leases = self.inner.take_leases(slots, owner, Duration::from_secs(86_400)).await?;
        let now = Instant::now();
        self.renewed.lock().unwrap().extend(leases.iter().map(|lease| (lease.slot, (owner, now))));
        Ok(leases)
    }

    async fn release_leases(&self, slots: &[Slot], owner: Uuid) -> Result<(), AppendError> {
        self.unless_cut_off(owner).await;
        self.renewed.lock().unwrap().retain(|slot, (held_by, _)| *held_by != owner || !slots.contains(slot));
        self.inner.release_leases(slots, owner).await
    }

    async fn attend(&self, owner: &SlotOwner, ttl: Duration) -> Result<Attendance, AppendError> {
        self.unless_cut_off(owner.id).await;
        let mut there = self.there.lock().unwrap();
        there.insert(owner.id, Instant::now());
        let owners = there.iter().filter(|(_, at)| at.elapsed() <= ttl).map(|(owner, _)| *owner).collect();
        Ok(Attendance { owners, now: self.now() })
    }

    async fn depart(&self, owner: Uuid) -> Result<(), AppendError> {
        self.there.lock().unwrap().remove(&owner);
        self.renewed.lock().unwrap().retain(|_, (held_by, _)| *held_by != owner);
        self.inner.depart(owner).await
    }
    async fn sealed(&self, subject: Uuid) -> Result<Option<(Uuid, Vec<u8>)>, ReadError> {
        self.inner.sealed(subject).await
    }
}
