//! Load, decide, append, and again when someone else was faster.
//!
//! A command carries its idempotency claim with its events, so that it is done at most once whoever repeats it, in this process or
//! another. One that changes nothing writes nothing, and so holds no claim: repeated, it decides the same again.
use crate::history::{Change, CommitError, History, HistoryError};
use domain::{Event, StreamKind};
use eventstore::{
    AppendError, Appended, Claim, EventStore, Metadata, Position, ReadError, Refusal, TakenClaim, Version,
};
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

/// How often a command that others overtake is decided.
const ATTEMPTS: u32 = 8;
/// The longest pause before the second attempt; it doubles with each.
const PAUSE: Duration = Duration::from_millis(2);

/// What became of a command.
#[derive(Debug)]
pub enum Handled<R> {
    Written(Appended),
    /// The same was asked before under the same key: what it wrote ends at this position, the order's own stream at this version.
    Repeated(Position, Version),
    /// It was so already.
    Unchanged,
    Rejected(R),
}

#[derive(Debug, Error)]
pub enum HandleError {
    #[error("the idempotency key was used for something else")]
    KeyReused,
    #[error(transparent)]
    Read(#[from] HistoryError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<ReadError> for HandleError {
    fn from(error: ReadError) -> Self {
        HandleError::Read(error.into())
    }
}

/// Whether a claim that is taken was made by the same request.
pub fn repeats(taken: &TakenClaim, claim: &Claim) -> bool {
    taken.fingerprint.is_some() && taken.fingerprint == claim.fingerprint
}

/// Decides on an order's history and appends what follows; `history` is then the order's history with it. On a version conflict it
/// is read and decided again. `change` is what goes along with the events, but for the claim, whose holder is made here.
pub async fn handle<R>(
    store: &dyn EventStore,
    history: &mut History,
    metadata: &Metadata,
    claim: &Claim,
    change: impl Fn() -> Change,
    decide: impl Fn(&History) -> Result<Vec<Event>, R>,
) -> Result<Handled<R>, HandleError> {
    let mut attempt = 0;
    loop {
        let events = match decide(history) {
            Ok(events) if !events.is_empty() => events,
            // Perhaps this very request has made it so.
            decided => {
                return match store.claim(&claim.scope, &claim.key).await? {
                    Some(taken) if repeats(&taken, claim) => Ok(repeated(&taken)),
                    Some(_) => Err(HandleError::KeyReused),
                    None => Ok(decided.map_or_else(Handled::Rejected, |_| Handled::Unchanged)),
                };
            }
        };
        let mut change = change();
        let version = events.iter().filter(|event| event.stream_kind() == StreamKind::Order);
        let version = version.fold(history.version(StreamKind::Order), |version, _| version.next());
        change.claims.push(Claim { holder: format!("{}@{}", history.order, version.0), ..claim.clone() });
        attempt += 1;
        match history.commit(store, &events, metadata.clone(), change).await {
            Ok(appended) => return Ok(Handled::Written(appended)),
            Err(CommitError::Append(AppendError::Refused(Refusal::ClaimTaken(taken))))
                if (&taken.scope, &taken.key) == (&claim.scope, &claim.key) =>
            {
                if !repeats(&taken, claim) {
                    return Err(HandleError::KeyReused);
                }
                reload(store, history).await?;
                return Ok(repeated(&taken));
            }
            Err(CommitError::Append(AppendError::Conflict { .. })) if attempt < ATTEMPTS => {
                tokio::time::sleep(jitter(attempt)).await;
                reload(store, history).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The first answer, as its claim's holder tells it: `ORDER@VERSION`.
fn repeated<R>(taken: &TakenClaim) -> Handled<R> {
    let version = taken.holder.rsplit_once('@').and_then(|(_, version)| version.parse().ok());
    Handled::Repeated(taken.position, Version(version.unwrap_or_default()))
}

async fn reload(store: &dyn EventStore, history: &mut History) -> Result<(), HistoryError> {
    if let Some(newer) = History::load(store, history.order).await? {
        *history = newer;
    }
    Ok(())
}

/// Somewhere between nothing and the longest pause of this attempt.
fn jitter(attempt: u32) -> Duration {
    let [.., random] = *Uuid::now_v7().as_bytes();
    PAUSE * 2u32.pow(attempt - 1) * u32::from(random) / 255
}
