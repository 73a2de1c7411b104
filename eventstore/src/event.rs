//! An event as it is recorded, and what is known about how it came to be.
use crate::{Incarnation, Log, Position, StreamId, Version};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use uuid::Uuid;

/// An event of the log. Equal to what every other reader of this position sees, for ever.
#[derive(Clone, Debug)]
pub struct RecordedEvent {
    pub log: Log,
    pub incarnation: Incarnation,
    pub position: Position,
    pub stream: StreamId,
    pub version: Version,
    /// The shop whose event it is, e.g. `dev`.
    pub shop: String,
    /// For example `OrderPlaced`.
    pub event_type: Cow<'static, str>,
    pub schema_version: i16,
    /// The JSON text as it was appended, byte for byte; at most 256 KiB.
    pub payload: Arc<RawValue>,
    /// The same for all events of an append.
    pub metadata: Arc<Metadata>,
    /// Server time of the append; never goes back along positions.
    pub recorded_at: DateTime<Utc>,
}

/// How an event came to be. No personal data: the vault keeps that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Metadata {
    /// The command that caused it; an append whose outcome is unknown recognises itself by it.
    pub command_id: Uuid,
    /// The event or command that this one answers, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// The same for all that follows from one request: the order's id.
    pub correlation_id: Uuid,
    /// Who did it.
    pub actor: Actor,
    /// The way by which it came in.
    pub source: Source,
    /// Why, in one word, for example `out_of_stock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// When it happened in the world, by the clock of whoever reports it.
    pub occurred_at: DateTime<Utc>,
    /// W3C trace id, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The release of Waybill that wrote it.
    pub app_version: Cow<'static, str>,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// For example the shop's id, the key's name or `fulfillment`.
    pub id: String,
    /// The id of the API key, when one was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// For whom, where someone acts for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

/// What kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    Shop,
    Warehouse,
    Support,
    Operator,
    Saga,
    Provider,
    System,
}

/// The way by which something came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Api,
    Import,
    Saga,
    Webhook,
    Cli,
}

#[cfg(test)]
mod contract;
