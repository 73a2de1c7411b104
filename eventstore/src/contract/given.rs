//! Builders: the shortest way to say an append.
use crate::{
    Actor, ActorKind, Append, BalanceChange, CheckpointWrite, Claim, EventStore, Expected, Fence, Incarnation, Log,
    Metadata, NewEvent, Position, RecordedEvent, Source, StreamAppend, StreamId, TimerChange, VaultEntry, Version,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;
use std::sync::Arc;
use uuid::Uuid;

pub fn stream() -> StreamId {
    StreamId::new(Uuid::now_v7(), "order")
}

pub fn metadata() -> Metadata {
    Metadata {
        command_id: Uuid::now_v7(),
        causation_id: None,
        correlation_id: Uuid::now_v7(),
        actor: Actor { kind: ActorKind::Shop, id: "dev".into(), key: None, on_behalf_of: None },
        source: Source::Api,
        reason_code: None,
        // As the database keeps it.
        occurred_at: DateTime::from_timestamp(1_483_271_606, 123_456_000).unwrap(),
        trace_id: None,
        app_version: "test".into(),
    }
}

pub fn payload(json: &str) -> Arc<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap().into()
}

pub fn event(event_type: &'static str) -> NewEvent {
    NewEvent { event_type: event_type.into(), schema_version: 1, payload: payload(r#"{"n": 1}"#), rank: 0 }
}

/// An event that means nothing, the first of its stream.
pub fn recorded(stream: StreamId, position: i64) -> RecordedEvent {
    RecordedEvent {
        log: Log::MAIN,
        incarnation: Incarnation(1),
        position: Position(position),
        stream,
        version: Version(1),
        shop: "dev".into(),
        event_type: "Traded".into(),
        schema_version: 1,
        payload: payload("{}"),
        metadata: metadata().into(),
        recorded_at: at(0),
    }
}

pub fn append() -> Append {
    Append::new("dev", metadata())
}

impl Append {
    #[must_use]
    pub fn with(mut self, stream: &StreamId, expected: i32, types: &[&'static str]) -> Append {
        let events = types.iter().copied().map(event).collect();
        self.streams.push(StreamAppend {
            stream: stream.clone(),
            expected: Expected::Exact(Version(expected)),
            events,
        });
        self
    }

    #[must_use]
    pub fn with_any(mut self, stream: &StreamId, types: &[&'static str]) -> Append {
        let events = types.iter().copied().map(event).collect();
        self.streams.push(StreamAppend { stream: stream.clone(), expected: Expected::Any, events });
        self
    }

    #[must_use]
    pub fn claiming(mut self, key: &str, holder: &str) -> Append {
        self.claims.push(Claim {
            scope: "order_ref:dev".into(),
            key: key.into(),
            holder: holder.into(),
            fingerprint: Some([7; 32]),
            lifetime: crate::Lifetime::Forever,
        });
        self
    }

    #[must_use]
    pub fn claiming_for_a_day(mut self, key: &str, holder: &str) -> Append {
        self = self.claiming(key, holder);
        if let Some(claim) = self.claims.last_mut() {
            claim.scope = "idem:dev:cancel".into();
            claim.lifetime = crate::Lifetime::Day;
        }
        self
    }

    #[must_use]
    pub fn changing(mut self, account: &str, delta: i64, floor: Option<i64>) -> Append {
        self.balances.push(BalanceChange { account: account.into(), delta, floor });
        self
    }

    #[must_use]
    pub fn setting(mut self, stream: &StreamId, name: &'static str, due_at: DateTime<Utc>) -> Append {
        self.timers.push(TimerChange::Set { stream: stream.clone(), name: name.into(), due_at, set_at: at(0) });
        self
    }

    #[must_use]
    pub fn clearing(mut self, stream: &StreamId, name: &'static str) -> Append {
        self.timers.push(TimerChange::Clear { stream: stream.clone(), name: name.into() });
        self
    }

    #[must_use]
    pub fn sealing(mut self, entry: VaultEntry) -> Append {
        self.vault.push(entry);
        self
    }

    #[must_use]
    pub fn fenced(mut self, fence: Fence) -> Append {
        self.fence = Some(fence);
        self
    }

    /// In the first incarnation.
    #[must_use]
    pub fn moving(mut self, name: &str, from: Option<i64>, to: i64) -> Append {
        let from = from.map(|from| (Incarnation(1), Position(from)));
        self.checkpoint = Some(CheckpointWrite { name: name.into(), from, to: (Incarnation(1), Position(to)) });
        self
    }
}

/// A time as the database keeps it.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + seconds)
}

/// The whole log.
pub async fn everything(store: &impl EventStore) -> Vec<RecordedEvent> {
    store.read_log(Position::ZERO, usize::MAX).await.unwrap()
}

/// Fails unless positions begin at 1 and leave none out, and each stream's versions do too.
pub fn assert_whole(events: &[RecordedEvent]) {
    let mut versions = std::collections::HashMap::new();
    for (event, position) in events.iter().zip(1..) {
        assert_eq!(event.position, Position(position), "positions are dense");
        let version = versions.entry(event.stream.clone()).or_insert(Version::NONE);
        assert_eq!(event.version, version.next(), "versions are dense in {}", event.stream);
        *version = event.version;
    }
}
