//! Goods in and adjustments: events of stock streams, appended under a ref that is unique for ever.
//!
//! They expect no version: what guards them is the balance and the ref.
use crate::{
    handler::repeats,
    history::{HistoryError, balance_changes, encode},
    ids::stock_stream_id,
};
use domain::{Event, stock::StockEvent};
use eventstore::{
    Append, AppendError, Claim, EventStore, Expected, Metadata, Position, Refusal, StreamAppend, StreamId, VaultEntry,
};
use std::collections::BTreeMap;
use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum StockError {
    #[error("the idempotency key was used for something else")]
    KeyReused,
    #[error("the ref was used before")]
    RefTaken { same_body: bool },
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Where it was written, and whether that was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) position: Position,
    pub(crate) repeated: bool,
}

/// Appends these events once: repeated under its key it tells of the first time, under another key the ref is taken.
pub(crate) async fn record(
    store: &dyn EventStore,
    shop: &str,
    events: Vec<StockEvent>,
    metadata: Metadata,
    (key, reference): (&Claim, &Claim),
    vault: Vec<VaultEntry>,
) -> Result<Recorded, StockError> {
    let events: Vec<Event> = events.into_iter().map(Event::from).collect();
    let append = Append {
        streams: streams(shop, &events)?,
        claims: vec![key.clone(), reference.clone()],
        balances: balance_changes(shop, &events),
        vault,
        ..Append::new(shop, metadata)
    };
    let taken = match store.append(append).await {
        Ok(appended) => return Ok(Recorded { position: appended.last, repeated: false }),
        Err(AppendError::Refused(Refusal::ClaimTaken(taken))) => taken,
        // Refused for want of goods, it may still have been done before.
        Err(refused @ AppendError::Refused(Refusal::BelowFloor { .. })) => {
            match store.claim(&reference.scope, &reference.key).await.map_err(HistoryError::from)? {
                Some(taken) => taken,
                None => return Err(refused.into()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    let of_key = match (&taken.scope, &taken.key) == (&key.scope, &key.key) {
        true => Some(taken.clone()),
        false => store.claim(&key.scope, &key.key).await.map_err(HistoryError::from)?,
    };
    match of_key {
        Some(first) if repeats(&first, key) => Ok(Recorded { position: first.position, repeated: true }),
        Some(_) => Err(StockError::KeyReused),
        None => Err(StockError::RefTaken { same_body: repeats(&taken, reference) }),
    }
}

/// One part a stream, each event ranked by its place in the request.
fn streams(shop: &str, events: &[Event]) -> Result<Vec<StreamAppend>, HistoryError> {
    let mut parts: BTreeMap<StreamId, StreamAppend> = BTreeMap::new();
    for (rank, event) in events.iter().enumerate() {
        let (location, sku) = match event {
            Event::Stock(StockEvent::StockReceived(received)) => (&received.location, &received.sku),
            Event::Stock(StockEvent::StockAdjusted(adjusted)) => (&adjusted.location, &adjusted.sku),
            _ => continue,
        };
        let stream = stock_stream_id(shop, location, sku);
        let part = parts.entry(stream.clone()).or_insert_with(|| StreamAppend {
            stream,
            expected: Expected::Any,
            events: vec![],
        });
        part.events.push(encode(event, rank)?);
    }
    Ok(parts.into_values().collect())
}
