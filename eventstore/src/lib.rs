//! The event store: the one place where something is written down, and the ports through which the rest of Waybill reads it.
//!
//! It knows nothing of orders: streams, events as JSON, claims, balances, timers, leases, checkpoints. Invariants:
//! - positions are dense and in commit order; nothing updates or deletes an event;
//! - what changes with an event (claims, balances, timers, vault, a checkpoint) changes in the same transaction;
//! - an answer is given after the commit, never before.
//!
//! It may not know the domain. SQL lies in `sql/` alone; `memory` is the reference implementation of the contract suite.
pub mod append;
pub mod as_of;
mod cache;
mod checksum;
#[cfg(feature = "testing")]
pub mod contract;
pub mod error;
pub mod event;
pub mod feed;
mod group_commit;
pub mod ids;
pub mod keys;
pub mod lives;
pub mod log_file;
pub mod memory;
mod prepared;
mod recent;
pub mod shops;
pub mod sql;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod vault;

pub use append::{
    Append, Appended, BalanceChange, CheckpointWrite, Claim, Expected, Fence, Lifetime, NewEvent, StreamAppend,
    TimerChange, VaultEntry,
};
pub use as_of::{AsOf, AsOfError};
pub use error::{AppendError, ReadError, Refusal, TakenClaim};
pub use event::{Actor, ActorKind, Metadata, RecordedEvent, Source};
pub use feed::{EventFeed, FeedError, StoreFeed};
pub use group_commit::Limits;
pub use ids::{Incarnation, Log, Position, SLOTS, Slot, StreamId, Version, slot_of};
pub use keys::{ApiKey, ApiKeys, Role};
pub use lives::{Abandoned, Life, Lives};
pub use memory::MemoryEventStore;
pub use shops::{Shop, Shops};
pub use sql::PgEventStore;
pub use store::{Attendance, ClaimRecord, EventStore, Lease, LogHead, MAX_READ_AT_ONCE, SlotOwner, Timer, TimerMove};
pub use vault::{Person, Vault};
