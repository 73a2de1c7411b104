//! The sagas under way in our slots: which is driven, which queues, which waits for what.
//!
//! One entry a saga, about a hundred bytes with its place in the schedule, so that a saga is never driven twice at a time and no wake-up is lost: whatever changes
//! an entry and whatever decides to put a saga down does so under one lock. Nothing here waits or reads.
use crate::job::{Job, Leave, Seed, Signal};
use crate::limits::Participant;
use crate::slots::Slots;
use eventstore::{Position, SLOTS, Slot, slot_of};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// Ended sagas remembered until the feed has passed them; the oldest is forgotten beyond that, which costs a read, no more.
const MAX_ENDED: usize = 100_000;
/// Places in the schedule that nobody holds any more are cleared away once there are more of them than sagas, and more than this.
const MAX_STALE: usize = 4096;

#[derive(Debug)]
pub(crate) struct Live {
    inner: Mutex<Inner>,
    slots: Arc<Slots>,
    max_active: usize,
    max_seeds: usize,
    /// The queue is short again.
    room: Notify,
    /// Something is due earlier than before.
    pub(crate) sooner: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    sagas: HashMap<Uuid, Stage>,
    queue: VecDeque<Uuid>,
    /// Queued entries that hold a history.
    seeds: usize,
    active: usize,
    /// Soonest first. An entry that was taken up meanwhile, or is due at another time, is passed over.
    schedule: BinaryHeap<Reverse<(Instant, Uuid)>>,
    ended: VecDeque<(Position, Uuid)>,
    /// How far the feed is: what lies before was heard of, or lies in the timers of slots that became ours later.
    passed: Position,
    stopped: bool,
}

#[derive(Debug)]
enum Stage {
    Queued {
        seed: Option<Box<Seed>>,
        /// When its timer was due, if that is why.
        due: Option<Instant>,
    },
    Active(Arc<Signal>),
    /// Put down until `due`, or until the participant is back. `upto`: what was known when it was put down.
    Waiting {
        due: Instant,
        parked: Option<Participant>,
        upto: Position,
    },
    /// For someone else to do something.
    Idle {
        upto: Position,
    },
    Ended {
        upto: Position,
    },
}

impl Live {
    pub(crate) fn new(slots: Arc<Slots>, max_active: usize, max_seeds: usize) -> Live {
        let (room, sooner) = (Notify::new(), Notify::new());
        Live { inner: Mutex::default(), slots, max_active: max_active.max(1), max_seeds, room, sooner }
    }

    /// An order was placed. Heard of twice, it is taken up once.
    #[must_use]
    pub(crate) fn placed(&self, seed: Seed) -> Option<Job> {
        let mut inner = self.lock();
        let order = seed.history.order.0;
        let position = seed.history.position;
        match inner.sagas.get(&order) {
            Some(Stage::Active(signal)) => {
                signal.raise(position);
                return None;
            }
            // The feed has told of it before.
            Some(Stage::Waiting { upto, .. }) if *upto < position => {}
            None if inner.passed < position => {}
            Some(_) | None => return None,
        }
        self.enqueue(&mut inner, order, Some(Box::new(seed)), None)
    }

    /// An order was placed, and its saga has begun with that: whoever appended it hands it over. Where nobody does, it is taken up when it is
    /// due.
    pub(crate) fn begun(&self, order: Uuid, position: Position, due: Instant) {
        let mut inner = self.lock();
        let is_ours = !inner.stopped && self.slots.holds(slot_of(order));
        if is_ours && inner.passed < position && !inner.sagas.contains_key(&order) {
            self.put_down(&mut inner, order, due);
        }
    }

    /// Someone else appended to an order.
    #[must_use]
    pub(crate) fn changed(&self, order: Uuid, position: Position) -> Option<Job> {
        let mut inner = self.lock();
        if position <= inner.passed {
            return None;
        }
        match inner.sagas.get(&order) {
            Some(Stage::Active(signal)) => {
                signal.raise(position);
                return None;
            }
            Some(Stage::Queued { .. }) => return None,
            // What has ended may begin again: a return.
            Some(Stage::Waiting { upto, .. } | Stage::Idle { upto } | Stage::Ended { upto }) if position <= *upto => {
                return None;
            }
            Some(Stage::Waiting { .. } | Stage::Idle { .. } | Stage::Ended { .. }) | None => {}
        }
        self.enqueue(&mut inner, order, None, None)
    }

    /// A timer in the store says that this saga is under way; to be taken up now, or when it is due.
    #[must_use]
    pub(crate) fn found(&self, order: Uuid, due: Option<Instant>) -> Option<Job> {
        let mut inner = self.lock();
        if inner.sagas.contains_key(&order) {
            return None;
        }
        match due {
            None => self.enqueue(&mut inner, order, None, None),
            Some(due) => {
                self.put_down(&mut inner, order, due);
                None
            }
        }
    }

    /// What is due now, and when the next is.
    pub(crate) fn due(&self, now: Instant, most: usize) -> (Vec<Job>, Option<Instant>) {
        let mut inner = self.lock();
        let mut jobs = Vec::new();
        for _ in 0..most {
            match inner.schedule.peek() {
                Some(Reverse((due, _))) if *due <= now => {}
                Some(Reverse((due, _))) => return (jobs, Some(*due)),
                None => return (jobs, None),
            }
            let Some(Reverse((at, order))) = inner.schedule.pop() else { break };
            match inner.sagas.get(&order) {
                Some(Stage::Waiting { due, .. }) if *due == at => {}
                _ => continue,
            }
            jobs.extend(self.enqueue(&mut inner, order, None, Some(at)));
        }
        (jobs, Some(now))
    }

    /// The participant is back, or is to be probed. `None`: this saga does not wait for it any more.
    pub(crate) fn unpark(&self, order: Uuid, participant: Participant) -> Option<Option<Job>> {
        let mut inner = self.lock();
        match inner.sagas.get(&order) {
            Some(Stage::Waiting { parked: Some(at), .. }) if *at == participant => {}
            _ => return None,
        }
        Some(self.enqueue(&mut inner, order, None, None))
    }

    /// A driver puts its saga down, knowing all up to `position`. `false`: it must go on, there is more.
    pub(crate) fn leave(&self, job: &Job, leave: Leave, position: Position) -> bool {
        let mut inner = self.lock();
        let order = job.order;
        let more = matches!(leave, Leave::Idle | Leave::Until { .. }) && job.signal.is_beyond(position);
        if more && !inner.stopped {
            return false;
        }
        inner.active -= 1;
        let ours = self.slots.holds(slot_of(order)) && !inner.stopped;
        let stage = match leave {
            _ if !ours => None,
            Leave::Stopped => None,
            // Ours again, under a new epoch: found while it was still held, so nobody else takes it up.
            Leave::Lost => {
                inner.queue.push_back(order);
                Some(Stage::Queued { seed: None, due: None })
            }
            Leave::Ended => {
                inner.ended.push_back((position, order));
                Some(Stage::Ended { upto: position })
            }
            Leave::Idle => Some(Stage::Idle { upto: position }),
            Leave::Until { due, parked } => {
                self.schedule(&mut inner, due, order);
                Some(Stage::Waiting { due, parked, upto: position })
            }
        };
        match stage {
            Some(stage) => {
                inner.sagas.insert(order, stage);
            }
            None => {
                inner.sagas.remove(&order);
            }
        }
        while inner.ended.len() > MAX_ENDED {
            inner.forget_oldest();
        }
        true
    }

    /// The next saga of the queue, when there is one and a driver is free.
    #[must_use]
    pub(crate) fn next_job(&self) -> Option<Job> {
        self.take(&mut self.lock())
    }

    /// The feed has come to this position: ended sagas up to there will not be heard of again.
    pub(crate) fn passed(&self, position: Position) {
        let mut inner = self.lock();
        inner.passed = inner.passed.max(position);
        while inner.ended.front().is_some_and(|(upto, _)| *upto <= position) {
            inner.forget_oldest();
        }
    }

    /// Slots that are no longer ours. What is being driven ends by itself.
    pub(crate) fn drop_slots(&self, lost: &[Slot]) {
        let mut is_lost = [false; SLOTS];
        lost.iter().for_each(|slot| is_lost[usize::from(slot.0)] = true);
        let mut inner = self.lock();
        let is_lost = |order: &Uuid| is_lost[usize::from(slot_of(*order).0)];
        inner.sagas.retain(|order, stage| matches!(stage, Stage::Active(_)) || !is_lost(order));
        inner.seeds = inner.sagas.values().filter(|stage| matches!(stage, Stage::Queued { seed: Some(_), .. })).count();
    }

    /// Whether any saga of these slots is being driven.
    pub(crate) fn is_driving(&self, slots: &[Slot]) -> bool {
        let inner = self.lock();
        let driven =
            |(order, stage): (&Uuid, &Stage)| matches!(stage, Stage::Active(_)) && slots.contains(&slot_of(*order));
        inner.active > 0 && inner.sagas.iter().any(driven)
    }

    /// Takes up nothing more.
    pub(crate) fn stop(&self) {
        let mut inner = self.lock();
        inner.stopped = true;
        inner.queue.clear();
        inner.schedule.clear();
        drop(inner);
        self.room.notify_one();
    }

    pub(crate) fn queued(&self) -> usize {
        self.lock().queue.len()
    }

    /// Waits until the queue is no longer than there are drivers.
    pub(crate) async fn has_room(&self) {
        while self.queued() > self.max_active {
            self.room.notified().await;
        }
    }

    pub(crate) fn active(&self) -> usize {
        self.lock().active
    }

    /// About how many wait for someone, for a participant or for their time: whoever neither is driven nor queues nor has ended.
    pub(crate) fn waiting(&self) -> usize {
        let inner = self.lock();
        inner.sagas.len().saturating_sub(inner.active + inner.queue.len() + inner.ended.len())
    }

    fn enqueue(&self, inner: &mut Inner, order: Uuid, seed: Option<Box<Seed>>, due: Option<Instant>) -> Option<Job> {
        if inner.stopped || !self.slots.holds(slot_of(order)) {
            return None;
        }
        let seed = seed.filter(|_| inner.seeds < self.max_seeds);
        inner.seeds += usize::from(seed.is_some());
        inner.sagas.insert(order, Stage::Queued { seed, due });
        inner.queue.push_back(order);
        self.take(inner)
    }

    fn take(&self, inner: &mut Inner) -> Option<Job> {
        while inner.active < self.max_active && !inner.stopped {
            let order = inner.queue.pop_front()?;
            if inner.queue.len() <= self.max_active {
                self.room.notify_one();
            }
            let Some(stage @ Stage::Queued { .. }) = inner.sagas.get_mut(&order) else { continue };
            let signal = Arc::new(Signal::default());
            if let Stage::Queued { seed, due } = std::mem::replace(stage, Stage::Active(Arc::clone(&signal))) {
                inner.seeds -= usize::from(seed.is_some());
                inner.active += 1;
                return Some(Job { order, seed, signal, due });
            }
        }
        None
    }

    /// Nothing is known of it but when it is due.
    fn put_down(&self, inner: &mut Inner, order: Uuid, due: Instant) {
        inner.sagas.insert(order, Stage::Waiting { due, parked: None, upto: Position::ZERO });
        self.schedule(inner, due, order);
    }

    fn schedule(&self, inner: &mut Inner, due: Instant, order: Uuid) {
        let first = inner.schedule.peek().is_none_or(|Reverse((first, _))| due < *first);
        inner.schedule.push(Reverse((due, order)));
        if inner.schedule.len() > 2 * inner.sagas.len() + MAX_STALE {
            // Put down until tomorrow and taken up since, or lost with their slots.
            let Inner { schedule, sagas, .. } = inner;
            let holds =
                |at: &Instant, of: &Uuid| matches!(sagas.get(of), Some(Stage::Waiting { due, .. }) if due == at);
            schedule.retain(|Reverse((at, of))| (*at, *of) == (due, order) || holds(at, of));
        }
        if first {
            self.sooner.notify_one();
        }
    }

    #[cfg(test)]
    fn scheduled(&self) -> usize {
        self.lock().schedule.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget_oldest(&mut self) {
        if let Some((position, order)) = self.ended.pop_front()
            && matches!(self.sagas.get(&order), Some(Stage::Ended { upto }) if *upto <= position)
        {
            self.sagas.remove(&order);
        }
    }
}

#[cfg(test)]
mod tests;
