//! A person's own stream, and where an erasure stands.
//!
//! The stream's id is the person's. Its first event is the request; an order of the person expects that there is none, so that the set of
//! a person's orders stands still once the erasure is asked for.
use crate::history::{HistoryError, SAGA_TIMER, decode, encode};
use chrono::{DateTime, Utc};
use domain::{
    Decider, Event, OrderId, StreamKind,
    person::{Command, Person, PersonEvent, Rejection},
};
use eventstore::{Append, EventStore, Expected, Metadata, Position, ReadError, StreamAppend, StreamId, Vault, Version};
use serde::Serialize;
use uuid::Uuid;

/// The timer that says an erasure is under way. Set with the request, cleared when the person is erased.
pub const ERASURE_TIMER: &str = "erasure";
/// Open orders that are listed by name; the others are counted.
pub const LISTED_ORDERS: usize = 100;

/// The stream of one person.
pub fn person_stream(person: Uuid) -> StreamId {
    StreamId::new(person, StreamKind::Person.name())
}

/// `per_<32 hex digits>`: how those outside hear of a person.
pub fn person_name(person: Uuid) -> String {
    format!("per_{}", person.simple())
}

/// What is recorded of a person.
#[derive(Clone, Debug)]
pub struct PersonHistory {
    pub person: Uuid,
    pub state: Person,
    pub version: Version,
    /// Of the request.
    pub position: Position,
    pub shop: String,
    pub requested_at: Option<DateTime<Utc>>,
    pub erased_at: Option<DateTime<Utc>>,
    /// The command that asked.
    pub cause: Option<Uuid>,
    pub trace_id: Option<String>,
}

impl PersonHistory {
    pub async fn load(store: &dyn EventStore, person: Uuid) -> Result<PersonHistory, HistoryError> {
        let mut history = PersonHistory {
            person,
            state: Person::initial(),
            version: Version::NONE,
            position: Position::ZERO,
            shop: String::new(),
            requested_at: None,
            erased_at: None,
            cause: None,
            trace_id: None,
        };
        for recorded in store.read_streams(person).await? {
            history.version = recorded.version;
            for event in &decode(&recorded)? {
                let Event::Person(event) = event else { continue };
                Person::evolve(&mut history.state, event);
                match event {
                    PersonEvent::ErasureRequested(_) => {
                        history.requested_at = Some(recorded.recorded_at);
                        history.position = recorded.position;
                        history.shop.clone_from(&recorded.shop);
                        history.cause = Some(recorded.metadata.command_id);
                        history.trace_id.clone_from(&recorded.metadata.trace_id);
                    }
                    PersonEvent::PersonErased(_) => history.erased_at = Some(recorded.recorded_at),
                }
            }
        }
        Ok(history)
    }

    /// The append that a command comes to; `None` when it was carried out already.
    pub fn decide(
        &self,
        shop: &str,
        metadata: Metadata,
        command: Command,
    ) -> Result<Option<Append>, Result<Rejection, HistoryError>> {
        let events = Person::decide(&self.state, command).map_err(Ok)?;
        if events.is_empty() {
            return Ok(None);
        }
        let encoded = events.into_iter().enumerate().map(|(rank, event)| encode(&Event::Person(event), rank));
        let stream = StreamAppend {
            stream: person_stream(self.person),
            expected: Expected::Exact(self.version),
            events: encoded.collect::<Result<_, _>>().map_err(Err)?,
        };
        Ok(Some(Append { streams: vec![stream], ..Append::new(shop, metadata) }))
    }
}

/// How far an erasure has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErasureStatus {
    /// For orders that are under way.
    Waiting,
    /// Participants are told, the key is destroyed, histories say so.
    Erasing,
    Erased,
}

/// Where an erasure stands.
#[derive(Clone, Debug)]
pub struct Erasure {
    pub status: ErasureStatus,
    /// At most [`LISTED_ORDERS`].
    pub open_orders: Vec<OrderId>,
    pub open_order_count: u64,
}

impl Erasure {
    pub async fn of(vault: &Vault, history: &PersonHistory) -> Result<Erasure, ReadError> {
        if history.state.erased {
            return Ok(Erasure { status: ErasureStatus::Erased, open_orders: vec![], open_order_count: 0 });
        }
        let (open, open_order_count) =
            vault.persons().subjects_with_timer(history.person, SAGA_TIMER, LISTED_ORDERS).await?;
        let status = if open_order_count > 0 { ErasureStatus::Waiting } else { ErasureStatus::Erasing };
        Ok(Erasure { status, open_orders: open.into_iter().map(OrderId).collect(), open_order_count })
    }
}
