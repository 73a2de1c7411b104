//! The proof that Kafka holds what the store holds: each event once, in its partition, in order, unaltered.
//!
//! Both are read side by side in position order, so memory is bounded whatever the length of the log. Any range of positions can be
//! looked at, at the cost of that range: where it begins in each partition is sought, and the record before it is read, so that the chain
//! into it is proved, too. Records after a range are not looked at: the relay may be at work. What an earlier life of the log wrote and the
//! store has lost is no fault: it is told apart.
//!
//! At the edge of a range a fault can be told as another kind than by a run from the beginning (what comes too late is missing in the one
//! range and stray in the next), but none is passed over.
mod report;
mod rests;
mod run;

pub use report::{ChainFault, ChainReport, FaultKind};
pub(crate) use rests::Rests;

use crate::{
    KafkaConfig, MirrorError, chain,
    lanes::{self, Fetch},
    topics::{self, blocking},
};
use eventstore::{EventStore, Position};
use run::Run;
use std::time::Duration;

/// Events of the store that are compared at a time.
const BATCH: usize = 2_000;
/// The same where it rests after each: the less at a time, the less others wait for a processor that it has.
const SMALL_BATCH: usize = 200;
/// Of a range up to this long, partitions aren't read ahead.
const SHORT: i64 = 20_000;
const FETCH_WAIT: Duration = Duration::from_millis(20);
/// The same while it rests in between: whatever has reached its end is asked about again after this.
const RESTING_FETCH_WAIT: Duration = Duration::from_millis(100);

/// The positions after `after`, up to and with `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub after: Position,
    pub upto: Position,
}

impl Range {
    /// From the beginning of the log.
    pub fn upto(upto: Position) -> Range {
        Range { after: Position::ZERO, upto }
    }
}

/// The position up to which the relay has come: the latest that Kafka holds and the store still has. While a topic is filled again, no
/// further than that one.
pub async fn reached(config: &KafkaConfig, store: &dyn EventStore) -> Result<Position, MirrorError> {
    let (config, log, lives) = (config.clone(), store.log(), store.lives().await?);
    blocking(move || {
        let consumer = lanes::consumer(&config, "waybill-verify", "read_committed", Fetch::Little, FETCH_WAIT)?;
        let Some(routing) = topics::find(&config, log, &consumer)? else { return Ok(Position::ZERO) };
        let tails = chain::tails(&consumer, &routing)?;
        Ok(chain::whole_upto(&tails, &routing, &lives))
    })
    .await
}

/// Compares Kafka with the store for every event of a range. `progress` is told the position reached, now and then.
pub async fn verify_chain(
    config: &KafkaConfig,
    store: &dyn EventStore,
    range: Range,
    progress: &(dyn Fn(Position) + Send + Sync),
) -> Result<ChainReport, MirrorError> {
    compare(config, store, range, None, progress).await
}

/// As `verify_chain`, resting after every few events.
pub(crate) async fn verify_at_leisure(
    config: &KafkaConfig,
    store: &dyn EventStore,
    range: Range,
    rests: &mut Rests,
) -> Result<ChainReport, MirrorError> {
    compare(config, store, range, Some(rests), &|_| {}).await
}

async fn compare(
    config: &KafkaConfig,
    store: &dyn EventStore,
    range: Range,
    mut rests: Option<&mut Rests>,
    progress: &(dyn Fn(Position) + Send + Sync),
) -> Result<ChainReport, MirrorError> {
    let (config, log, lives) = (config.clone(), store.log(), store.lives().await?);
    let (most, wait) = match rests {
        Some(_) => (SMALL_BATCH, RESTING_FETCH_WAIT),
        None => (BATCH, FETCH_WAIT),
    };
    let mut run = blocking(move || Run::open(&config, log, lives, range, wait)).await?;
    let mut after = run.after();
    while after < range.upto {
        let batch = store.read_log_as_of(after, range.upto, most).await?;
        let Some(last) = batch.last() else { break };
        after = last.position;
        run = blocking(move || run.compare(batch)).await?;
        progress(after);
        if let Some(rests) = &mut rests {
            rests.rest().await;
        }
    }
    blocking(move || run.drain()).await
}
