//! Which slots this process owns: leases taken, renewed, handed over, lost.
//!
//! All who are there say so in the store and deal the slots among themselves (`deal`). An owner takes what is free of its share, and gives up
//! what has been dealt to another. Kafka has no part in it.
//!
//! An owner that can't renew in time stops by itself before its lease is over; one that lost a slot unawares is refused by the
//! store, by its epoch. Between the two nobody else's history can be touched.
use crate::deal;
use crate::retry::StoreBackoff;
use crate::runner::Shared;
use eventstore::{AppendError, Attendance, Fence, Incarnation, Lease, SLOTS, Slot};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The slots of this process, by their numbers.
#[derive(Debug)]
pub(crate) struct Slots {
    held: Mutex<Vec<Option<Held>>>,
    /// Given up, and not free yet: what was begun in them is being finished.
    leaving: Mutex<BTreeSet<Slot>>,
    /// Which life of the log it was when the last of them were taken.
    life: AtomicI32,
}

/// One slot of ours.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) fence: Fence,
    until: Instant,
    /// Cancelled when the slot is no longer ours.
    pub(crate) lost: CancellationToken,
}

impl Slots {
    pub(crate) fn new() -> Slots {
        let (held, leaving) = (Mutex::new(vec![None; SLOTS]), Mutex::default());
        Slots { held, leaving, life: AtomicI32::new(0) }
    }

    /// The life of the log that we drive sagas in. Who ends a life takes all slots from their owners: so it is known before any saga is driven.
    pub(crate) fn life(&self) -> Incarnation {
        Incarnation(self.life.load(Ordering::SeqCst))
    }

    /// Whether this lease was granted before.
    fn knows(&self, lease: &Lease) -> bool {
        let slots = self.lock();
        let held = slots[usize::from(lease.slot.0)].as_ref();
        held.is_some_and(|held| held.fence.epoch == lease.epoch && !held.lost.is_cancelled())
    }

    /// Takes in what was granted, good until `until`; answers the slots that are new. What was held before and is not granted is lost.
    pub(crate) fn granted(&self, leases: &[Lease], until: Instant) -> Granted {
        let mut slots = self.lock();
        let mut granted = Granted::default();
        let mut seen = [false; SLOTS];
        for lease in leases {
            let at = usize::from(lease.slot.0);
            seen[at] = true;
            match &mut slots[at] {
                Some(held) if held.fence.epoch == lease.epoch && !held.lost.is_cancelled() => held.until = until,
                place => {
                    if let Some(held) = place.take() {
                        held.lost.cancel();
                        granted.lost.push(lease.slot);
                    }
                    let fence = Fence { slot: lease.slot, epoch: lease.epoch };
                    *place = Some(Held { fence, until, lost: CancellationToken::new() });
                    granted.new.push(lease.slot);
                }
            }
        }
        for (place, _) in slots.iter_mut().zip(seen).filter(|(_, seen)| !seen) {
            if let Some(held) = place.take() {
                held.lost.cancel();
                granted.lost.push(held.fence.slot);
            }
        }
        granted
    }

    /// Lets go of these, for someone else to take once they are free: nothing more is begun in them, what was begun may be finished under
    /// the lease, which is not renewed.
    fn give_up(&self, slots: &[Slot]) {
        let mut held = self.lock();
        let given = slots.iter().filter_map(|slot| held[usize::from(slot.0)].take());
        given.for_each(|held| held.lost.cancel());
        drop(held);
        self.leaving().extend(slots);
    }

    fn freed(&self, slots: &[Slot]) {
        self.leaving().retain(|slot| !slots.contains(slot));
    }

    /// What is asked for: the share, and what is held beside it until it is given up.
    fn wanted(&self, share: &[Slot]) -> Vec<Slot> {
        let (held, leaving) = (self.lock(), self.leaving());
        let share: BTreeSet<&Slot> = share.iter().collect();
        let is_ours = |slot: &Slot| held[usize::from(slot.0)].is_some() || share.contains(slot);
        (0..=u8::MAX).map(Slot).filter(|slot| is_ours(slot) && !leaving.contains(slot)).collect()
    }

    fn leaving(&self) -> MutexGuard<'_, BTreeSet<Slot>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of what has run out.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Slot> {
        let mut lost = Vec::new();
        for place in self.lock().iter_mut() {
            if let Some(held) = place.take_if(|held| held.until <= now) {
                held.lost.cancel();
                lost.push(held.fence.slot);
            }
        }
        lost
    }

    /// The store says that this epoch is over.
    pub(crate) fn fenced(&self, fence: Fence) {
        let mut slots = self.lock();
        if let Some(held) = slots[usize::from(fence.slot.0)].take_if(|held| held.fence == fence) {
            held.lost.cancel();
        }
    }

    /// `None` when it is not ours, or no longer.
    pub(crate) fn held(&self, slot: Slot) -> Option<Held> {
        self.lock()[usize::from(slot.0)].as_ref().filter(|held| held.until > Instant::now()).cloned()
    }

    pub(crate) fn holds(&self, slot: Slot) -> bool {
        self.held(slot).is_some()
    }

    pub(crate) fn count(&self) -> usize {
        let now = Instant::now();
        self.lock().iter().flatten().filter(|held| held.until > now).count()
    }

    /// When the first of them runs out.
    fn first_end(&self) -> Option<Instant> {
        self.lock().iter().flatten().map(|held| held.until).min()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Granted {
    pub(crate) new: Vec<Slot>,
    pub(crate) lost: Vec<Slot>,
}

/// Takes its share of the slots, renews what it holds, gives up what has been dealt to others and, when there is no renewing, lets go.
/// Slots newly ours go to `taken`.
pub(crate) async fn keep(shared: &Arc<Shared>, taken: mpsc::Sender<Vec<Slot>>) {
    let ttl = shared.config.lease_ttl;
    let mut backoff = StoreBackoff::new();
    let mut hungry = HUNGRY;
    loop {
        let asked = Instant::now();
        let round = take(shared, ttl);
        // A renewal that hangs must not keep us from letting go in time.
        let answer = tokio::select! {
            biased;
            () = end_of(shared) => None,
            answer = tokio::time::timeout(ttl, round) => answer.ok(),
        };
        match answer {
            Some(Ok(Round { leases, share })) => {
                backoff = StoreBackoff::new();
                // Counted from before the question, and less a margin: over for us before it is over for the store.
                let granted = shared.slots.granted(&leases, asked + ttl.mul_f64(0.9));
                lose(shared, &granted.lost, "held by another owner");
                // What is known of them is from before, if anything.
                shared.live.drop_slots(&granted.new);
                if !granted.new.is_empty() {
                    hungry = HUNGRY;
                    tracing::info!(slots = granted.new.len(), "slots taken");
                    if taken.send(granted.new).await.is_err() {
                        return;
                    }
                }
                let (share, leased): (BTreeSet<Slot>, BTreeSet<Slot>) =
                    (share.into_iter().collect(), leases.iter().map(|lease| lease.slot).collect());
                hand_over(shared, leased.difference(&share).copied().collect());
                let has_all = share.is_subset(&leased);
                let pause = if has_all { ttl / 3 } else { hungry };
                // What another holds may stay with him for as long as he likes.
                hungry = if has_all { HUNGRY } else { (hungry * 2).min(ttl / 3) };
                tokio::select! {
                    biased;
                    () = end_of(shared) => lose(shared, &shared.slots.expire(Instant::now()), "ran out"),
                    () = tokio::time::sleep_until(asked + pause) => {}
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "leases can't be renewed now");
                tokio::select! {
                    biased;
                    () = end_of(shared) => lose(shared, &shared.slots.expire(Instant::now()), "ran out"),
                    () = backoff.pause(&shared.jitter) => {}
                }
            }
            None => lose(shared, &shared.slots.expire(Instant::now()), "ran out"),
        }
    }
}

/// What the store granted, and what is ours of all slots by who is there.
struct Round {
    leases: Vec<Lease>,
    share: Vec<Slot>,
}

/// Says that we are there, takes and renews; before slots that are new are driven, finds out which life of the log it is.
async fn take(shared: &Shared, ttl: Duration) -> Result<Round, AppendError> {
    let owner = &shared.config.owner;
    let Attendance { owners, now } = shared.store.attend(owner, ttl).await?;
    shared.time.told(now);
    let share = deal::share(&owners, owner.id);
    let leases = shared.store.take_leases(&shared.slots.wanted(&share), owner.id, ttl).await?;
    if leases.iter().any(|lease| !shared.slots.knows(lease)) {
        let head = shared.store.head().await.map_err(|error| AppendError::Unavailable(error.to_string()))?;
        shared.slots.life.store(head.incarnation.0, Ordering::SeqCst);
    }
    Ok(Round { leases, share })
}

/// Gives slots up that were dealt to someone else who is there: what was begun in them is finished, if that doesn't take too long, then
/// they are freed. Should that fail, their leases run out.
fn hand_over(shared: &Arc<Shared>, slots: Vec<Slot>) {
    if slots.is_empty() {
        return;
    }
    shared.slots.give_up(&slots);
    shared.live.drop_slots(&slots);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let until = Instant::now() + shared.config.hand_over_within;
        while shared.live.is_driving(&slots) && Instant::now() < until {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
        let freed = tokio::time::timeout(RELEASE_WITHIN, shared.store.release_leases(&slots, shared.config.owner.id));
        match freed.await {
            Ok(Ok(())) => tracing::info!(slots = slots.len(), "slots handed over: they are dealt to another owner"),
            Ok(Err(error)) => tracing::warn!(%error, "slots handed over will be free when their leases run out"),
            Err(_) => tracing::warn!("slots handed over will be free when their leases run out"),
        }
        shared.slots.freed(&slots);
    });
}

async fn end_of(shared: &Shared) {
    match shared.slots.first_end() {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn lose(shared: &Shared, lost: &[Slot], why: &str) {
    if !lost.is_empty() {
        tracing::warn!(slots = lost.len(), why, "slots lost");
        shared.live.drop_slots(lost);
    }
}

/// How soon slots that are ours and still another's are asked for again, at first; twice as late each time.
const HUNGRY: Duration = Duration::from_millis(250);
/// How often it is looked whether all is finished in slots that are given up.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long a released lease may take.
pub(crate) const RELEASE_WITHIN: Duration = Duration::from_secs(2);
