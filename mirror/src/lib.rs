//! The mirror: everything that the event store has committed, in Kafka, each event once and in order by key.
//!
//! `relay` writes, one a log; `feed` reads for a read side elsewhere; `verify` proves that both hold the same, and `audit` does so all the
//! time; `recover` settles a Kafka that is ahead of a restored store.
//! Invariants:
//! - what is in Kafka is committed in the store; the mirror never invents, changes or skips an event;
//! - a record's partition follows from its slot alone, so that all that shares an id lies in one;
//! - each record names the one before it in its partition (`waybill-prev`): nothing can be lost or doubled unseen;
//! - a record that isn't ours stops nobody: it is passed over and told, and the chain proves that nothing of ours is left out;
//! - what an earlier life of the log told the world and the store has lost stays there, marked as gone by the records after it.
//!
//! It knows no domain: of a payload it reads `location` and `sku`, to make a key. Only this crate may use rdkafka.
pub mod audit;
pub mod bench;
pub mod chain;
pub mod config;
pub mod error;
pub mod feed;
mod foreign;
pub mod gone;
pub mod in_process;
mod lanes;
pub mod place;
pub mod reachable;
pub mod recover;
pub mod relay;
mod seek;
pub mod topics;
mod trimmed;
pub mod verify;
pub mod wire;

pub use audit::{Audit, AuditHandle, AuditState, AuditStatus, Pace};
pub use config::{KafkaConfig, Start};
pub use error::MirrorError;
pub use feed::KafkaFeed;
pub use gone::Gone;
pub use in_process::InProcessKafka;
pub use place::Place;
pub use relay::{Halt, Relay, RelayConfig, RelayHandle, RelayState, RelayStatus};
pub use topics::{Routing, Topic};
pub use trimmed::trimmed_beyond;
pub use verify::{ChainFault, ChainReport, FaultKind, Range, reached, verify_chain};
