//! Which slots this process owns: leases taken, renewed, lost.
//!
//! An owner that can't renew in time stops by itself before its lease is over; one that lost a slot unawares is refused by the
//! store, by its epoch. Between the two nobody else's history can be touched.
use crate::retry::StoreBackoff;
use crate::runner::Shared;
use eventstore::{AppendError, Fence, Incarnation, Lease, SLOTS, Slot};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The slots held now, and which life of the log it was when the last of them were taken.
#[derive(Debug)]
pub(crate) struct Slots(Mutex<Vec<Option<Held>>>, AtomicI32);

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
        Slots(Mutex::new(vec![None; SLOTS]), AtomicI32::new(0))
    }

    /// The life of the log that we drive sagas in. Who ends a life takes all slots from their owners: so it is known before any saga is driven.
    pub(crate) fn life(&self) -> Incarnation {
        Incarnation(self.1.load(Ordering::SeqCst))
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Held>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Granted {
    pub(crate) new: Vec<Slot>,
    pub(crate) lost: Vec<Slot>,
}

/// Takes, renews and, when there is no renewing, lets go. Slots newly ours go to `taken`.
pub(crate) async fn keep(shared: &Shared, taken: mpsc::Sender<Vec<Slot>>) {
    let ttl = shared.config.lease_ttl;
    let mut backoff = StoreBackoff::new();
    loop {
        let asked = Instant::now();
        let leases = take(shared, ttl);
        // A renewal that hangs must not keep us from letting go in time.
        let answer = tokio::select! {
            answer = tokio::time::timeout(ttl, leases) => answer.ok(),
            () = end_of(shared) => None,
        };
        match answer {
            Some(Ok(leases)) => {
                backoff = StoreBackoff::new();
                // Counted from before the question, and less a margin: over for us before it is over for the store.
                let granted = shared.slots.granted(&leases, asked + ttl.mul_f64(0.9));
                lose(shared, &granted.lost, "held by another owner");
                // What is known of them is from before, if anything.
                shared.live.drop_slots(&granted.new);
                if !granted.new.is_empty() {
                    tracing::info!(slots = granted.new.len(), "slots taken");
                    if taken.send(granted.new).await.is_err() {
                        return;
                    }
                }
                let renewal = asked + ttl / 3;
                tokio::select! {
                    () = tokio::time::sleep_until(renewal) => {}
                    () = end_of(shared) => lose(shared, &shared.slots.expire(Instant::now()), "ran out"),
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "leases can't be renewed now");
                tokio::select! {
                    () = backoff.pause(&shared.jitter) => {}
                    () = end_of(shared) => lose(shared, &shared.slots.expire(Instant::now()), "ran out"),
                }
            }
            None => lose(shared, &shared.slots.expire(Instant::now()), "ran out"),
        }
    }
}

/// Takes and renews; before slots that are new are driven, finds out which life of the log it is.
async fn take(shared: &Shared, ttl: Duration) -> Result<Vec<Lease>, AppendError> {
    let leases = shared.store.take_leases(&shared.config.slots, shared.config.owner, ttl).await?;
    if leases.iter().any(|lease| !shared.slots.knows(lease)) {
        let head = shared.store.head().await.map_err(|error| AppendError::Unavailable(error.to_string()))?;
        shared.slots.1.store(head.incarnation.0, Ordering::SeqCst);
    }
    Ok(leases)
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

/// How long a released lease may take at a stop.
pub(crate) const RELEASE_WITHIN: Duration = Duration::from_secs(2);
