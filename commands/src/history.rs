//! One order's history as read, and the append that carries it on.
//!
//! Every append made here expects the exact version of every stream of the order, written or only read: what was decided on
//! stale knowledge is never written. Balances follow from the events; nobody else moves them.
use crate::patience::patience;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{DecodeError, Decoded, Event, OrderId, StreamKind, fulfillment::Fulfillment, returns::ReturnEvent, stock};
use eventstore::{
    Append, AppendError, Appended, BalanceChange, Claim, EventStore, Expected, Fence, Incarnation, Metadata, NewEvent,
    Position, ReadError, RecordedEvent, StreamAppend, StreamId, TimerChange, VaultEntry, Version,
};
use std::{borrow::Cow, collections::BTreeMap, time::Duration};
use thiserror::Error;

/// The timer that says an order's saga is under way. Set when the order is placed, cleared when the saga ends.
pub const SAGA_TIMER: &str = "saga";

#[derive(Debug, Error)]
pub enum HistoryError {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This build can't read what is recorded: `newer` when a newer one wrote it.
    #[error("the event at position {position}, version {} of stream {stream}, can't be read: {message}", .version.0)]
    Undecodable { stream: StreamId, version: Version, position: Position, newer: bool, message: String },
    #[error(
        "{event_type} in version {schema_version} must not be written by this release: the one before it can't read it"
    )]
    NotYetWritten { event_type: &'static str, schema_version: i16 },
    #[error("an event can't be written as JSON: {0}")]
    Unencodable(#[from] serde_json::Error),
}

#[derive(Clone, Debug)]
pub struct History {
    pub order: OrderId,
    /// Empty before the first event.
    pub shop: String,
    pub fulfillment: Fulfillment,
    /// The first event's position: of the placement.
    pub placed: Position,
    /// The last event's position.
    pub position: Position,
    /// When the last event was recorded.
    pub updated_at: Option<DateTime<Utc>>,
    /// Which life of the log the order was placed in; `None`: it wasn't read from the log, but placed just now.
    placed_in: Option<Incarnation>,
    versions: BTreeMap<StreamKind, Version>,
}

/// What is appended to an order besides its events.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub claims: Vec<Claim>,
    pub timers: Vec<TimerChange>,
    pub vault: Vec<VaultEntry>,
    pub fence: Option<Fence>,
    /// Streams that must not have begun: someone whose erasure is asked for gets no new order.
    pub unbegun: Vec<StreamId>,
}

/// Reads a recorded event back into the domain's terms: what it means today.
pub fn decode(recorded: &RecordedEvent) -> Result<Decoded, HistoryError> {
    Event::decode(&recorded.stream.kind, &recorded.event_type, recorded.schema_version, &*recorded.payload).map_err(
        |error| HistoryError::Undecodable {
            stream: recorded.stream.clone(),
            version: recorded.version,
            position: recorded.position,
            newer: matches!(error, DecodeError::Unknown { .. }),
            message: error.to_string(),
        },
    )
}

/// Writes an event of the domain as the store takes it; only what every release that may be running can read.
pub fn encode(event: &Event, rank: usize) -> Result<NewEvent, HistoryError> {
    if !event.is_written() {
        let (event_type, schema_version) = (event.event_type(), event.schema_version());
        return Err(HistoryError::NotYetWritten { event_type, schema_version });
    }
    Ok(NewEvent {
        event_type: Cow::Borrowed(event.event_type()),
        schema_version: event.schema_version(),
        payload: serde_json::value::to_raw_value(event)?.into(),
        rank: u16::try_from(rank).unwrap_or(u16::MAX),
    })
}

impl History {
    pub fn new(order: OrderId, shop: impl Into<String>) -> History {
        History {
            order,
            shop: shop.into(),
            fulfillment: Fulfillment::default(),
            placed: Position::ZERO,
            position: Position::ZERO,
            updated_at: None,
            placed_in: None,
            versions: BTreeMap::new(),
        }
    }

    /// Its saga is to look at it now: whoever drives it, and whoever takes it over before anyone has.
    pub fn due(&self, now: DateTime<Utc>) -> TimerChange {
        self.due_in(Duration::ZERO, now)
    }

    fn due_in(&self, wait: Duration, now: DateTime<Utc>) -> TimerChange {
        let due_at = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
        let (stream, name) = (self.stream(StreamKind::Order), Cow::Borrowed(SAGA_TIMER));
        TimerChange::Set { stream, name, due_at, set_at: now }
    }

    /// `None` when there is no such order.
    pub async fn load(store: &dyn EventStore, order: OrderId) -> Result<Option<History>, HistoryError> {
        let events = store.read_streams(order.0).await?;
        let Some(first) = events.first() else { return Ok(None) };
        let mut history = History::new(order, first.shop.clone());
        for event in &events {
            history.apply(event)?;
        }
        Ok(Some(history))
    }

    /// Takes in an event read from the store. One that was seen already changes nothing; `false` says that one before it is missing.
    pub fn apply(&mut self, recorded: &RecordedEvent) -> Result<bool, HistoryError> {
        let Some(kind) = StreamKind::from_name(&recorded.stream.kind) else {
            decode(recorded)?;
            return Ok(true);
        };
        let version = self.version(kind);
        if recorded.version <= version {
            return Ok(true);
        }
        if recorded.version != version.next() {
            return Ok(false);
        }
        self.take_in(kind, recorded, &decode(recorded)?);
        Ok(true)
    }

    /// The log is in that life now. If it was in an earlier one when the order was placed, a part of the order's history may be lost.
    pub fn goes_on_in(&mut self, life: Incarnation) {
        if self.placed_in.is_some_and(|placed_in| placed_in < life) {
            self.fulfillment.lose_a_life();
        }
    }

    /// What the recorded event is today may be nothing, or several: it is one version and one position all the same.
    fn take_in(&mut self, kind: StreamKind, recorded: &RecordedEvent, events: &[Event]) {
        events.iter().for_each(|event| self.fulfillment.evolve(event));
        if self.position == Position::ZERO {
            (self.placed_in, self.placed) = (Some(recorded.incarnation), recorded.position);
        }
        self.goes_on_in(recorded.incarnation);
        self.versions.insert(kind, recorded.version);
        self.position = self.position.max(recorded.position);
        self.updated_at = self.updated_at.max(Some(recorded.recorded_at));
    }

    /// How many events a stream of this order holds.
    pub fn version(&self, kind: StreamKind) -> Version {
        self.versions.get(&kind).copied().unwrap_or_default()
    }

    pub fn stream(&self, kind: StreamKind) -> StreamId {
        StreamId::new(self.order.0, kind.name())
    }

    /// The append of these events: positions in the order given, balances as they follow from the events, and, when the order
    /// ends with them, the saga's timer cleared. Where the saga itself appends (under its fence) and is left waiting for people, its timer
    /// says when it would have waited for longer than expected: until then whoever takes it over need not read it.
    pub fn append(&self, events: &[Event], metadata: Metadata, change: Change) -> Result<Append, HistoryError> {
        self.append_to(&self.with(events), events, metadata, change)
    }

    /// `after`: what the order is once these have happened too.
    fn append_to(
        &self,
        after: &Fulfillment,
        events: &[Event],
        metadata: Metadata,
        change: Change,
    ) -> Result<Append, HistoryError> {
        // Nothing that is decided before an order's first return depends on there being none.
        let is_return = |event: &Event| event.stream_kind() == StreamKind::Return;
        let has_returns = self.version(StreamKind::Return) > Version::NONE || events.iter().any(is_return);
        let mut streams: Vec<_> = StreamKind::OF_ORDER
            .into_iter()
            .filter(|kind| has_returns || *kind != StreamKind::Return)
            .map(|kind| StreamAppend {
                stream: self.stream(kind),
                expected: Expected::Exact(self.version(kind)),
                events: vec![],
            })
            .collect();
        for (rank, event) in events.iter().enumerate() {
            let kind = event.stream_kind();
            if let Some(stream) = streams.iter_mut().find(|stream| stream.stream.kind == kind.name()) {
                stream.events.push(encode(event, rank)?);
            }
        }
        let Change { claims, mut timers, vault, fence, unbegun } = change;
        let unbegun = unbegun.into_iter();
        streams.extend(unbegun.map(|stream| StreamAppend { stream, expected: Expected::NO_STREAM, events: vec![] }));
        let ends = |event: &Event| {
            use domain::order::OrderEvent::{OrderCancelled, OrderCompleted};
            let is_orders = matches!(event, Event::Order(OrderCancelled(_) | OrderCompleted(_)));
            is_orders || matches!(event, Event::Return(ReturnEvent::ReturnCompleted(_) | ReturnEvent::ReturnClosed(_)))
        };
        // Only what is about to end, or is the saga's own, changes when it is to be looked at.
        if fence.is_some() || events.iter().any(ends) {
            if after.all_ended() {
                let (stream, name) = (self.stream(StreamKind::Order), Cow::Borrowed(SAGA_TIMER));
                timers.push(TimerChange::Clear { stream, name });
            } else if let Some(patience) = patience(after, self.order).filter(|_| fence.is_some()) {
                timers.push(self.due_in(patience.lasts, metadata.occurred_at));
            }
        }
        Ok(Append {
            streams,
            claims,
            balances: balance_changes(&self.shop, events),
            timers,
            vault,
            fence,
            ..Append::new(self.shop.clone(), metadata)
        })
    }

    fn with(&self, events: &[Event]) -> Fulfillment {
        let mut fulfillment = self.fulfillment.clone();
        events.iter().for_each(|event| fulfillment.evolve(event));
        fulfillment
    }

    /// Appends, and carries this history on by what was written. After an error it is as it was.
    pub async fn commit(
        &mut self,
        store: &dyn EventStore,
        events: &[Event],
        metadata: Metadata,
        change: Change,
    ) -> Result<Appended, CommitError> {
        let after = self.with(events);
        let appended = store.append(self.append_to(&after, events, metadata, change)?).await?;
        self.fulfillment = after;
        for event in events {
            let kind = event.stream_kind();
            self.versions.insert(kind, self.version(kind).next());
        }
        if self.position == Position::ZERO {
            self.placed = appended.first;
        }
        self.position = appended.last;
        self.updated_at = Some(appended.recorded_at);
        Ok(appended)
    }
}

#[derive(Debug, Error)]
pub enum CommitError {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// What these events take from or give back to what is free, one change an account: reservations and negative adjustments
/// may not go below 0; receipts, releases, found goods and what is restocked have no floor.
pub fn balance_changes(shop: &str, events: &[Event]) -> Vec<BalanceChange> {
    use domain::{order::OrderEvent, stock::StockEvent};
    let mut changes: BTreeMap<String, i64> = BTreeMap::new();
    let mut add = |account: String, delta: i64| *changes.entry(account).or_default() += delta;
    for event in events {
        match event {
            Event::Order(OrderEvent::StockReserved(reserved)) => {
                for line in &reserved.lines {
                    add(stock::account(shop, &line.location, &line.sku), -line.quantity);
                }
            }
            Event::Order(OrderEvent::StockReleased(released)) => {
                for line in &released.lines {
                    add(stock::account(shop, &line.location, &line.sku), line.quantity);
                }
            }
            Event::Stock(StockEvent::StockReceived(received)) => {
                add(stock::account(shop, &received.location, &received.sku), received.quantity);
            }
            Event::Stock(StockEvent::StockAdjusted(adjusted)) => {
                add(stock::account(shop, &adjusted.location, &adjusted.sku), adjusted.delta);
            }
            Event::Return(ReturnEvent::ReturnRestocked(restocked)) => {
                for line in &restocked.lines {
                    add(stock::account(shop, &line.location, &line.sku), line.quantity);
                }
            }
            _ => {}
        }
    }
    let change = |(account, delta): (String, i64)| BalanceChange { account, delta, floor: (delta < 0).then_some(0) };
    changes.into_iter().filter(|(_, delta)| *delta != 0).map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::{Change, History, decode};
    use chrono::Utc;
    use domain::{
        Event, OrderId, StreamKind,
        order::{CancelReason, CancelRequested, OrderCancelled},
    };
    use eventstore::{Actor, ActorKind, EventStore, Expected, MemoryEventStore, Metadata, Source, Version};
    use uuid::Uuid;

    fn metadata() -> Metadata {
        Metadata {
            command_id: Uuid::now_v7(),
            causation_id: None,
            correlation_id: Uuid::now_v7(),
            actor: Actor { kind: ActorKind::Shop, id: "dev".to_owned(), key: None, on_behalf_of: None },
            source: Source::Api,
            reason_code: None,
            occurred_at: Utc::now(),
            trace_id: None,
            app_version: "test".into(),
        }
    }

    #[tokio::test]
    async fn a_retired_or_a_split_event_is_one_version_and_one_position_and_the_next_append_expects_that() {
        let (store, order) = (MemoryEventStore::default(), OrderId(Uuid::now_v7()));
        let requested: Event = CancelRequested { note_id: None }.into();
        let cancelled: Event = OrderCancelled { reason: CancelReason::Requested }.into();
        let mut written = History::new(order, "dev");
        for _ in 0..2 {
            written.commit(&store, std::slice::from_ref(&requested), metadata(), Change::default()).await.unwrap();
        }
        let recorded = store.read_streams(order.0).await.unwrap();
        assert_eq!(decode(&recorded[0]).unwrap().len(), 1);

        let mut history = History::new(order, "dev");
        history.take_in(StreamKind::Order, &recorded[0], &[]);
        assert_eq!(history.fulfillment, History::new(order, "dev").fulfillment, "nothing happened");
        assert_eq!((history.version(StreamKind::Order), history.position), (Version(1), recorded[0].position));
        history.take_in(StreamKind::Order, &recorded[1], &[requested.clone(), cancelled]);
        assert!(history.fulfillment.order.cancel_requested && history.fulfillment.has_ended(), "both happened");
        assert_eq!((history.version(StreamKind::Order), history.position), (Version(2), recorded[1].position));

        let append = history.append(&[requested], metadata(), Change::default()).unwrap();
        assert_eq!(append.streams[0].expected, Expected::Exact(Version(2)));
        store.append(append).await.unwrap();
    }
}
