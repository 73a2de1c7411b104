//! An append: a group of streams, and all that must change with them or not at all.
use crate::{Incarnation, Metadata, Position, Slot, StreamId, Version};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use uuid::Uuid;

/// The largest payload of one event, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// The most events one append may hold.
pub const MAX_EVENTS_PER_APPEND: usize = 2_000;
/// About how much one append may send in all, in bytes.
pub const MAX_APPEND_BYTES: usize = 16 << 20;
/// The most claims, balance changes, timer changes or vault entries one append may hold, of each.
pub const MAX_CHANGES_PER_APPEND: usize = 2_000;
/// The largest change of a balance, either way: the sum over a batch stays far from overflow.
pub const MAX_DELTA: i64 = 1 << 53;
/// The longest scope or key of a claim, in bytes; an account may have twice as many. What an index entry can hold.
pub const MAX_KEY_BYTES: usize = 1_200;
/// The longest other text (a shop, a kind, a type, a holder), in bytes.
pub const MAX_TEXT_BYTES: usize = 2_048;

/// One member of a batch: all of it is committed, or none.
#[derive(Clone, Debug)]
pub struct Append {
    pub shop: String,
    /// Shared by every event of the append. `metadata.command_id` is the append's identity: sent twice, it is written once.
    pub metadata: Arc<Metadata>,
    pub streams: Vec<StreamAppend>,
    pub claims: Vec<Claim>,
    pub balances: Vec<BalanceChange>,
    pub timers: Vec<TimerChange>,
    pub vault: Vec<VaultEntry>,
    /// When given, the append is refused unless this owner still holds the slot.
    pub fence: Option<Fence>,
    /// How far its author has read the log, moved on with what the author makes of it.
    pub checkpoint: Option<CheckpointWrite>,
}

impl Append {
    /// Nothing yet: the beginning of an append.
    pub fn new(shop: impl Into<String>, metadata: impl Into<Arc<Metadata>>) -> Append {
        Append {
            shop: shop.into(),
            metadata: metadata.into(),
            streams: Vec::new(),
            claims: Vec::new(),
            balances: Vec::new(),
            timers: Vec::new(),
            vault: Vec::new(),
            fence: None,
            checkpoint: None,
        }
    }
}

/// What one stream is expected to be, and what is added to it. Without events the stream is only read: its version is checked.
/// A stream may appear once in an append.
#[derive(Clone, Debug)]
pub struct StreamAppend {
    pub stream: StreamId,
    pub expected: Expected,
    pub events: Vec<NewEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The stream has exactly this many events; `Version::NONE`: it must not exist.
    Exact(Version),
    Any,
}

impl Expected {
    /// The stream must not exist.
    pub const NO_STREAM: Expected = Expected::Exact(Version::NONE);
}

#[derive(Clone, Debug)]
pub struct NewEvent {
    pub event_type: Cow<'static, str>,
    pub schema_version: i16,
    pub payload: Arc<RawValue>,
    /// Within its append, events take their positions by this rank, then by the order given: causes before effects across streams.
    pub rank: u16,
}

/// Makes `(scope, key)` unique: idempotency keys, order refs, receipt refs. All keys of a scope have one lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub scope: String,
    pub key: String,
    /// Who holds it, for example an order's id.
    pub holder: String,
    /// What was asked for under this key, to tell a repeat from a reuse.
    pub fingerprint: Option<[u8; 32]>,
    pub lifetime: Lifetime,
}

/// How long a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the log.
    Forever,
    /// For the UTC day of its append and the one after, by the log's time: 24 to 48 hours.
    Day,
}

/// A guarded counter. The change is refused when the account would end below `floor`.
/// Each change's floor applies to the account's value after all of this append's changes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceChange {
    pub account: String,
    pub delta: i64,
    /// `None`: no floor for this change (goods in, a release).
    pub floor: Option<i64>,
}

/// A timer of a stream; its slot is `slot_of(stream.id)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// Sets it, or moves it.
    Set {
        stream: StreamId,
        name: Cow<'static, str>,
        due_at: DateTime<Utc>,
        /// Now, by the clock that `due_at` is told by. Whoever reads the timer waits no longer than from here to there.
        set_at: DateTime<Utc>,
    },
    Clear {
        stream: StreamId,
        name: Cow<'static, str>,
    },
}

/// Personal data of one subject (an order), sealed under its person's key. See `vault`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultEntry {
    pub subject: Uuid,
    pub person: Uuid,
    pub sealed: Vec<u8>,
}

/// Who appends by virtue of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    pub slot: Slot,
    pub epoch: i64,
}

/// Moves a reader's checkpoint on, from where it must be. It only goes forward, so that no two appends move it from the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointWrite {
    /// Unique in its log.
    pub name: String,
    /// Where it must be now; `None`: it must not exist.
    pub from: Option<(Incarnation, Position)>,
    /// Beyond `from`, by incarnation, then by position.
    pub to: (Incarnation, Position),
}

/// A committed append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Positions of its first and last event; they are consecutive. Without events: both where the log stood.
    pub first: Position,
    pub last: Position,
    pub recorded_at: DateTime<Utc>,
}
