//! The near end of group commit: hands appends in within the queue's bounds, and waits for what becomes of them, never for ever.
//!
//! An append has a place and room for its bytes from before it is queued until it is answered, so what waits and what is under way
//! are bounded together. Who gives up before its turn is told so for certain: then nobody sends it any more.
use super::Limits;
use crate::prepared::Prepared;
use crate::{AppendError, Appended};
use metrics::{counter, gauge};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Bytes are counted in pieces of this size.
const PIECE: usize = 1024;

#[derive(Debug)]
pub(crate) struct GroupCommit {
    queue: mpsc::Sender<Waiting>,
    places: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
    limits: Limits,
}

/// An append that was handed in.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) prepared: Arc<Prepared>,
    pub(super) since: Instant,
    pub(super) sends: u32,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
    pub(super) turn: Arc<Turn>,
    _room: Room,
}

/// Its place in the queue and its bytes; free again when it is dropped.
#[derive(Debug)]
struct Room {
    bytes: f64,
    _place: OwnedSemaphorePermit,
    _pieces: OwnedSemaphorePermit,
}

/// Either its turn comes, and then it may be written; or its caller withdraws it, and then it never is.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicU8);

impl Turn {
    const WAITS: u8 = 0;
    const CAME: u8 = 1;
    const WITHDRAWN: u8 = 2;

    /// Its turn has come. `false`: it was withdrawn.
    pub(super) fn comes(&self) -> bool {
        self.decide(Turn::CAME)
    }

    /// `false`: too late.
    fn withdraw(&self) -> bool {
        self.decide(Turn::WITHDRAWN)
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire) == Turn::WITHDRAWN
    }

    fn decide(&self, how: u8) -> bool {
        match self.0.compare_exchange(Turn::WAITS, how, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(decided) => decided == how,
        }
    }
}

impl GroupCommit {
    /// The two ends of a new queue.
    pub(super) fn new(limits: Limits) -> (GroupCommit, mpsc::Receiver<Waiting>) {
        let most = limits.queue.max(1);
        let (queue, waiting) = mpsc::channel(most);
        let pieces = pieces(limits.queue_bytes).max(1) as usize;
        let near = GroupCommit {
            queue,
            places: Arc::new(Semaphore::new(most)),
            pieces: Arc::new(Semaphore::new(pieces)),
            limits,
        };
        (near, waiting)
    }

    /// Answers after `Limits::longest_answer` at the latest.
    pub(crate) async fn append(&self, prepared: Arc<Prepared>) -> Result<Appended, AppendError> {
        let since = Instant::now();
        let room = self.enter(prepared.bytes).await?;
        let (answer, mut outcome) = oneshot::channel();
        let turn = Arc::new(Turn::default());
        let waiting = Waiting { prepared, since, sends: 0, answer, turn: turn.clone(), _room: room };
        // It has a place: the queue is never full.
        self.queue.try_send(waiting).map_err(|_| AppendError::Unavailable("the store is stopping".into()))?;
        let stopping = |_| Err(AppendError::Unknown("the store is stopping".into()));
        let patience = self.limits.patience;
        if let Ok(outcome) = timeout(patience, &mut outcome).await {
            return outcome.unwrap_or_else(stopping);
        }
        if turn.withdraw() {
            counter!("waybill_append_failures_total", "kind" => "unavailable").increment(1);
            let why = format!("it has waited for its turn for {} ms; nothing was written", patience.as_millis());
            return Err(AppendError::Unavailable(why));
        }
        match timeout(patience, &mut outcome).await {
            Ok(outcome) => outcome.unwrap_or_else(stopping),
            Err(_) => Err(AppendError::Unknown("the database takes too long to answer".into())),
        }
    }

    /// Waits for a place, and for room for its bytes; in order of arrival.
    async fn enter(&self, bytes: usize) -> Result<Room, AppendError> {
        // One that is larger than all the room there is goes alone.
        let wanted = pieces(bytes).clamp(1, pieces(self.limits.queue_bytes).max(1));
        let both = async {
            let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
            Some((place, Arc::clone(&self.pieces).acquire_many_owned(wanted).await.ok()?))
        };
        let wait = self.limits.queue_wait;
        let Ok(Some((place, pieces))) = timeout(wait, both).await else {
            counter!("waybill_append_failures_total", "kind" => "unavailable").increment(1);
            counter!("waybill_append_turned_away_total").increment(1);
            let why = format!("too many appends wait already, for {} ms", wait.as_millis());
            return Err(AppendError::Unavailable(why));
        };
        let bytes = bytes as f64;
        gauge!("waybill_append_queue_depth").increment(1.0);
        gauge!("waybill_append_queue_bytes").increment(bytes);
        Ok(Room { bytes, _place: place, _pieces: pieces })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        gauge!("waybill_append_queue_depth").decrement(1.0);
        gauge!("waybill_append_queue_bytes").decrement(self.bytes);
    }
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
}
