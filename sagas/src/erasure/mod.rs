//! Erasures: what becomes of a person whose erasure was asked for, by the owner of the person's slot.
//!
//! ```text
//! asked for ─▶ wait for open orders ─▶ tell payment and shipping ─▶ destroy the key ─▶ say so in each order ─▶ PersonErased
//! ```
//!
//! Invariants:
//! - the participants know before the key is gone, and the key is gone, durably, before anything says so;
//! - each part may be done again: a crash at any point is resumed from the person's stream and the timer that came with the request;
//! - one person at a time; nothing polls: an order's end is heard of from the tail, and a fallback looks again after a long while.
mod table;
mod worker;

pub(crate) use table::Table;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use eventstore::Vault;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// A person's key that was destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destroyed {
    pub person: Uuid,
    pub shop: String,
    pub customer_ref: String,
    pub at: DateTime<Utc>,
}

/// Keeps, outside the store and durably, whose keys were destroyed: a store restored from an older backup has them again.
#[async_trait]
pub trait ErasureRecord: Send + Sync + fmt::Debug {
    /// It may be told of the same one again.
    async fn keep(&self, destroyed: &Destroyed) -> Result<(), String>;
}

/// What erasing needs besides what sagas have.
#[derive(Clone, Debug)]
pub struct ErasureDeps {
    pub vault: Arc<Vault>,
    pub record: Arc<dyn ErasureRecord>,
}

pub(crate) use worker::run;
