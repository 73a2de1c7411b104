//! The vault: personal data, sealed under a key of the person's own. Erasing the key erases the person; events hold only the person's id.
//!
//! A data key of 32 random bytes a person lies in the store, wrapped under a master key, which the caller holds (`keyring`). Data and keys are
//! sealed by XChaCha20-Poly1305, bound to whose they are: an entry can't be moved to another subject, nor a key to another person.
//! A master key may change while others go on (`rotation`): whoever meets one that it does not hold reads its keyring again.
mod keyring;
mod ports;
mod rotation;
mod seal;

pub use keyring::{Keyring, KeyringSource, MasterKey};
pub use ports::{KnownPerson, MasterKeys, PersonKeys, WrappedKey, WrappedSecret};
pub use rotation::Rotated;

use crate::cache::Cache;
use crate::{AppendError, EventStore, ReadError, VaultEntry};
use chacha20poly1305::aead::{Generate, KeyInit};
use chacha20poly1305::{Key, XChaCha20Poly1305};
use seal::{entry_binding, keyed_hash, open, seal};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

/// How long a person's key is kept in memory: so long an erasure may take to be seen by other processes.
const BELIEVED: Duration = Duration::from_secs(60);
const CACHED: usize = 20_000;
/// The name of the secret that bodies are compared by.
const FINGERPRINTS: &str = "fingerprints";
/// How often what others change at the same moment is looked at again.
const TRIES: u32 = 3;

#[derive(Clone, Debug, Error)]
pub enum VaultError {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It was tampered with, or belongs elsewhere.
    #[error("{0} can't be opened")]
    Sealed(String),
    /// It was sealed under a master key that this process was not given.
    #[error("it lies under master key {needed}; this process holds {}", .held.join(", "))]
    UnknownMaster { needed: String, held: Vec<String> },
    /// The master key given is not the one that this database is at.
    #[error("the master key given ({given}) is an earlier one: the database has gone on to {current}")]
    OutdatedMaster { given: String, current: String },
    #[error("the master key can't be read: {0}")]
    Keyring(String),
    #[error("no random numbers: {0}")]
    Random(String),
}

/// A person whose data can be sealed.
#[derive(Clone)]
pub struct Person {
    pub id: Uuid,
    key: Key,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").field("id", &self.id).finish_non_exhaustive()
    }
}

pub struct Vault {
    keyring: RwLock<Arc<Keyring>>,
    source: Arc<dyn KeyringSource>,
    fingerprint_key: [u8; 32],
    keys: Arc<dyn PersonKeys>,
    store: Arc<dyn EventStore>,
    by_ref: Cache<(String, String), Person>,
    by_id: Cache<Uuid, Person>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("keyring", &self.keyring()).finish_non_exhaustive()
    }
}

impl Vault {
    /// Over one master key that never changes, and that nobody else has replaced: for tests.
    pub fn new(master: &[u8; 32], keys: Arc<dyn PersonKeys>, store: Arc<dyn EventStore>) -> Vault {
        let ring = Keyring::new(MasterKey::new(*master), vec![]);
        let fingerprint_key = ring.current().derived_fingerprints();
        Vault::over(ring.clone(), Arc::new(ring), fingerprint_key, keys, store)
    }

    /// Reads the keyring, and makes sure that it is the one this database needs. Announces a first master key, or the next one where
    /// a rotation stopped before it could.
    pub async fn connect(
        source: Arc<dyn KeyringSource>,
        keys: Arc<dyn PersonKeys>,
        store: Arc<dyn EventStore>,
    ) -> Result<Vault, VaultError> {
        let ring = source.load().map_err(VaultError::Keyring)?;
        let mut vault = Vault::over(ring, source, [0; 32], keys, store);
        vault.announce(&vault.keyring()).await?;
        vault.fingerprint_key = vault.own_fingerprint_key().await?;
        Ok(vault)
    }

    fn over(
        ring: Keyring,
        source: Arc<dyn KeyringSource>,
        fingerprint_key: [u8; 32],
        keys: Arc<dyn PersonKeys>,
        store: Arc<dyn EventStore>,
    ) -> Vault {
        Vault {
            keyring: RwLock::new(Arc::new(ring)),
            source,
            fingerprint_key,
            keys,
            store,
            by_ref: Cache::new(CACHED, BELIEVED).named("persons_by_ref"),
            by_id: Cache::new(CACHED, BELIEVED).named("persons_by_id"),
        }
    }

    /// Names the master key that wraps, without telling it.
    pub fn master_key_id(&self) -> String {
        self.keyring().current_id().to_owned()
    }

    /// Persons and what is sealed of them.
    pub fn persons(&self) -> &Arc<dyn PersonKeys> {
        &self.keys
    }

    /// The person that a shop calls `reference`, who is made if need be.
    pub async fn person(&self, shop: &str, reference: &str) -> Result<Person, VaultError> {
        let name = (shop.to_owned(), reference.to_owned());
        if let Some(person) = self.by_ref.get(&name) {
            return Ok(person);
        }
        let id = Uuid::now_v7();
        let key = Key::try_generate().map_err(|e| VaultError::Random(e.to_string()))?;
        let fresh = Person { id, key };
        let mut ring = self.keyring();
        for _ in 0..TRIES {
            if let Some(kept) = self.keys.person_key(ring.wrap(&fresh, shop, reference, None)?).await? {
                let person = self.unwrap(&kept).await?;
                self.by_ref.insert(name, person.clone());
                return Ok(person);
            }
            ring = self.reload().await?;
        }
        let current = self.keys.current_master().await?.unwrap_or_default();
        Err(VaultError::OutdatedMaster { given: ring.current_id().to_owned(), current })
    }

    /// A person that an event names; `None` once erased.
    pub async fn person_of_id(&self, id: Uuid) -> Result<Option<Person>, VaultError> {
        if let Some(person) = self.by_id.get(&id) {
            return Ok(Some(person));
        }
        let Some(kept) = self.keys.key_of(id).await? else { return Ok(None) };
        let person = self.unwrap(&kept).await?;
        self.by_id.insert(id, person.clone());
        Ok(Some(person))
    }

    /// Seals what is known of the person behind a subject; the entry goes with an append.
    pub fn seal(&self, person: &Person, subject: Uuid, data: &[u8]) -> Result<VaultEntry, VaultError> {
        let cipher = XChaCha20Poly1305::new(&person.key);
        let sealed = seal(&cipher, data, &entry_binding(person.id, subject))?;
        Ok(VaultEntry { subject, person: person.id, sealed })
    }

    /// What was sealed for the subject; `None` when nothing was, or the person is erased.
    pub async fn open(&self, subject: Uuid) -> Result<Option<Vec<u8>>, VaultError> {
        let Some((id, sealed)) = self.store.sealed(subject).await? else {
            return Ok(None);
        };
        let Some(person) = self.person_of_id(id).await? else { return Ok(None) };
        let cipher = XChaCha20Poly1305::new(&person.key);
        open(&cipher, &sealed, &entry_binding(id, subject))
            .map(Some)
            .ok_or_else(|| VaultError::Sealed(format!("the entry of {subject}")))
    }

    /// Whether something was sealed for the subject, for a person who is erased since.
    pub async fn is_erased(&self, subject: Uuid) -> Result<bool, VaultError> {
        let Some((person, _)) = self.store.sealed(subject).await? else { return Ok(false) };
        Ok(self.keys.key_of(person).await?.is_none())
    }

    /// Erases a person: here at once, elsewhere within a minute. Whether there was one.
    pub async fn erase(&self, person: Uuid) -> Result<bool, VaultError> {
        let erased = self.keys.erase_key(person).await;
        self.by_ref.clear();
        self.by_id.clear();
        Ok(erased?)
    }

    /// A keyed hash, to compare bodies that may hold personal data without keeping them. The same under every master key.
    pub fn fingerprint(&self, data: &[u8]) -> [u8; 32] {
        keyed_hash(&self.fingerprint_key, data)
    }

    fn keyring(&self) -> Arc<Keyring> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keyring as it lies at its source now.
    async fn reload(&self) -> Result<Arc<Keyring>, VaultError> {
        let source = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || source.load()).await;
        let ring = Arc::new(loaded.map_err(|e| VaultError::Keyring(e.to_string()))?.map_err(VaultError::Keyring)?);
        let mut held = self.keyring.write().unwrap_or_else(PoisonError::into_inner);
        if held.current_id() != ring.current_id() {
            tracing::info!(from = held.current_id(), to = ring.current_id(), "a new master key");
        }
        *held = ring.clone();
        Ok(ring)
    }

    async fn unwrap(&self, kept: &WrappedKey) -> Result<Person, VaultError> {
        match self.keyring().unwrap(kept) {
            // The master key may have changed since the keyring was read.
            Err(VaultError::UnknownMaster { .. }) => self.reload().await?.unwrap(kept),
            outcome => outcome,
        }
    }

    async fn announce(&self, ring: &Keyring) -> Result<(), VaultError> {
        let (given, mut before) = (ring.current_id(), self.keys.current_master().await?);
        for _ in 0..TRIES {
            match before {
                Some(current) if current == given => return Ok(()),
                Some(current) if !ring.holds(&current) => {
                    return Err(VaultError::UnknownMaster { needed: current, held: ring.ids() });
                }
                _ => {}
            }
            if self.keys.announce_master(given, before.as_deref()).await? {
                return Ok(());
            }
            before = self.keys.current_master().await?;
        }
        let current = before.unwrap_or_default();
        if current == given { Ok(()) } else { Err(VaultError::OutdatedMaster { given: given.to_owned(), current }) }
    }

    /// Random, unless bodies were compared before it had a place of its own: then what they were compared by.
    async fn own_fingerprint_key(&self) -> Result<[u8; 32], VaultError> {
        let ring = self.keyring();
        for _ in 0..TRIES {
            if let Some(kept) = self.keys.secret(FINGERPRINTS).await? {
                return ring.unwrap_secret(&kept);
            }
            let is_new = self.store.head().await?.position == crate::Position::ZERO;
            let key = match is_new {
                true => Key::try_generate().map_err(|e| VaultError::Random(e.to_string()))?.into(),
                false => ring.current().derived_fingerprints(),
            };
            self.keys.keep_secret(None, &ring.wrap_secret(FINGERPRINTS, &key)?).await?;
        }
        Err(VaultError::Sealed(format!("the secret {FINGERPRINTS}")))
    }
}
