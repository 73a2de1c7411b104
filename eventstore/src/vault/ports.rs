//! Where keys are kept. Two ports under one contract suite: PostgreSQL and memory.
use crate::{AppendError, ReadError};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::fmt;
use uuid::Uuid;

/// A person's wrapped key, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    pub person: Uuid,
    pub shop: String,
    /// The shop's own name for the person; once the person has parted from it, one that no shop knows.
    pub reference: String,
    /// What `reference` was before the person parted from it.
    pub former: Option<String>,
    /// Which master key wraps it.
    pub master_key: String,
    pub wrapped: Vec<u8>,
}

/// A key that belongs to no person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedSecret {
    pub name: String,
    pub master_key: String,
    pub wrapped: Vec<u8>,
}

/// What is known of a person besides the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPerson {
    pub person: Uuid,
    pub shop: String,
    /// The shop's name for the person, now or before.
    pub reference: String,
    /// The ref no longer stands for this person: an erasure is asked for, or done.
    pub parted: bool,
    pub erased_at: Option<DateTime<Utc>>,
}

/// Persons, their keys, and what is sealed of them.
#[async_trait]
pub trait PersonKeys: MasterKeys {
    /// The key of (shop, reference); `fresh` becomes it if there is none. Durable at the latest when a later append is.
    /// `None`: there is none, and `fresh` is wrapped under a master key that is no longer the current one.
    async fn person_key(&self, fresh: WrappedKey) -> Result<Option<WrappedKey>, AppendError>;

    /// `None`: no such person, or erased.
    async fn key_of(&self, person: Uuid) -> Result<Option<WrappedKey>, ReadError>;

    /// Puts `new` in the place of `kept`, if that is still there to the byte; whether it was. An erased key never comes back.
    async fn replace_key(&self, kept: &WrappedKey, new: &WrappedKey) -> Result<bool, AppendError>;

    /// Forgets the key for ever; durable when it returns. Whether there was one.
    async fn erase_key(&self, person: Uuid) -> Result<bool, AppendError>;

    /// The persons that a ref stands for or stood for, the latest first, at most `limit`.
    async fn known_as(&self, shop: &str, reference: &str, limit: usize) -> Result<Vec<KnownPerson>, ReadError>;

    async fn find_person(&self, person: Uuid) -> Result<Option<KnownPerson>, ReadError>;

    /// The subjects of which something is sealed for this person, by id, after `after`, at most `limit`.
    async fn subjects_of(&self, person: Uuid, after: Option<Uuid>, limit: usize) -> Result<Vec<Uuid>, ReadError>;

    /// Those subjects that have a timer of this name, by id, at most `limit`; and how many there are in all.
    async fn subjects_with_timer(&self, person: Uuid, timer: &str, limit: usize)
    -> Result<(Vec<Uuid>, u64), ReadError>;
}

/// Which master keys there were, and what lies under them.
#[async_trait]
pub trait MasterKeys: Send + Sync + fmt::Debug {
    /// The id of the one that wraps now; `None`: none was ever announced.
    async fn current_master(&self) -> Result<Option<String>, ReadError>;

    /// Makes `id` the one that wraps, if `before` still is. `false`: it is not, or `id` once was and no longer is.
    /// From then on a fresh key under another is refused.
    async fn announce_master(&self, id: &str, before: Option<&str>) -> Result<bool, AppendError>;

    async fn secret(&self, name: &str) -> Result<Option<WrappedSecret>, ReadError>;

    /// Keeps a secret in the place of `kept`; `None`: there must be none. Whether it was so.
    async fn keep_secret(&self, kept: Option<&WrappedSecret>, new: &WrappedSecret) -> Result<bool, AppendError>;

    /// Keys that lie under another master key than this, by person, after `after`, at most `limit`.
    async fn keys_not_under(
        &self,
        master: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<WrappedKey>, ReadError>;

    /// How many keys and secrets lie under each master key. Returns after all writes of keys that were under way have ended.
    async fn under_each_master(&self) -> Result<Vec<(String, u64)>, ReadError>;
}
