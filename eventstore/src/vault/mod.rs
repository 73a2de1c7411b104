//! The vault: personal data, sealed under a key of the person's own. Erasing the key erases the person; events hold only the person's id.
//!
//! A data key of 32 random bytes a person lies in the store, wrapped under the master key, which the caller holds. Data and keys are sealed by
//! XChaCha20-Poly1305, bound to whose they are: an entry can't be moved to another subject, nor a key to another person.
use crate::cache::Cache;
use crate::{AppendError, EventStore, ReadError, VaultEntry};
use async_trait::async_trait;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

/// How long a person's key is kept in memory: so long an erasure may take to be seen by other processes.
const BELIEVED: Duration = Duration::from_secs(60);
const CACHED: usize = 20_000;
const NONCE_BYTES: usize = 24;
/// The first byte of what is sealed: how to open it.
const FORMAT: u8 = 1;

/// A person's wrapped key, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    pub person: Uuid,
    pub shop: String,
    /// The shop's own name for the person.
    pub reference: String,
    /// Which master key wraps it.
    pub master_key: String,
    pub wrapped: Vec<u8>,
}

/// Where persons' keys are kept. Under one contract suite: PostgreSQL and memory.
#[async_trait]
pub trait PersonKeys: Send + Sync + fmt::Debug {
    /// The key of (shop, reference); `fresh` becomes it if there is none. Durable at the latest when a later append is.
    async fn person_key(&self, fresh: WrappedKey) -> Result<WrappedKey, AppendError>;
    /// `None`: no such person, or erased.
    async fn key_of(&self, person: Uuid) -> Result<Option<WrappedKey>, ReadError>;
    /// Forgets the key for ever. Whether there was one.
    async fn erase_key(&self, person: Uuid) -> Result<bool, AppendError>;
}

#[derive(Clone, Debug, Error)]
pub enum VaultError {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It was sealed under another master key, or tampered with.
    #[error("{0} can't be opened")]
    Sealed(String),
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
    wrapping: XChaCha20Poly1305,
    fingerprint_key: [u8; 32],
    master_key: String,
    keys: Arc<dyn PersonKeys>,
    store: Arc<dyn EventStore>,
    by_ref: Cache<(String, String), Person>,
    by_id: Cache<Uuid, Person>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("master_key", &self.master_key).finish_non_exhaustive()
    }
}

impl Vault {
    /// `master` is secret, random, and must be the same for as long as the data is to be read.
    pub fn new(master: &[u8; 32], keys: Arc<dyn PersonKeys>, store: Arc<dyn EventStore>) -> Vault {
        let id = keyed_hash(master, b"waybill master key id 1");
        let mut master_key = String::with_capacity(16);
        for byte in &id[..8] {
            // Writing to a string can't fail.
            let _ = write!(master_key, "{byte:02x}");
        }
        Vault {
            wrapping: XChaCha20Poly1305::new(&Key::from(keyed_hash(master, b"waybill person keys 1"))),
            fingerprint_key: keyed_hash(master, b"waybill fingerprints 1"),
            master_key,
            keys,
            store,
            by_ref: Cache::new(CACHED, BELIEVED),
            by_id: Cache::new(CACHED, BELIEVED),
        }
    }

    /// Names the master key without telling it; stands beside each key that it wraps.
    pub fn master_key_id(&self) -> &str {
        &self.master_key
    }

    /// The person that a shop calls `reference`, who is made if need be.
    pub async fn person(&self, shop: &str, reference: &str) -> Result<Person, VaultError> {
        let name = (shop.to_owned(), reference.to_owned());
        if let Some(person) = self.by_ref.get(&name) {
            return Ok(person);
        }
        let id = Uuid::now_v7();
        let key = Key::try_generate().map_err(|e| VaultError::Random(e.to_string()))?;
        let wrapped = seal(&self.wrapping, &key, &key_binding(id, shop, reference))?;
        let fresh = WrappedKey {
            person: id,
            shop: name.0.clone(),
            reference: name.1.clone(),
            master_key: self.master_key.clone(),
            wrapped,
        };
        let person = self.unwrap(&self.keys.person_key(fresh).await?)?;
        self.by_ref.insert(name, person.clone());
        Ok(person)
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
        let person = match self.by_id.get(&id) {
            Some(person) => person,
            None => match self.keys.key_of(id).await? {
                Some(wrapped) => {
                    let person = self.unwrap(&wrapped)?;
                    self.by_id.insert(id, person.clone());
                    person
                }
                None => return Ok(None),
            },
        };
        let cipher = XChaCha20Poly1305::new(&person.key);
        open(&cipher, &sealed, &entry_binding(id, subject))
            .map(Some)
            .ok_or_else(|| VaultError::Sealed(format!("the entry of {subject}")))
    }

    /// Erases a person: here at once, elsewhere within a minute. Whether there was one.
    pub async fn erase(&self, person: Uuid) -> Result<bool, VaultError> {
        let erased = self.keys.erase_key(person).await;
        self.by_ref.clear();
        self.by_id.clear();
        Ok(erased?)
    }

    /// A keyed hash, to compare bodies that may hold personal data without keeping them.
    pub fn fingerprint(&self, data: &[u8]) -> [u8; 32] {
        keyed_hash(&self.fingerprint_key, data)
    }

    fn unwrap(&self, kept: &WrappedKey) -> Result<Person, VaultError> {
        let binding = key_binding(kept.person, &kept.shop, &kept.reference);
        let key = open(&self.wrapping, &kept.wrapped, &binding).and_then(|key| Key::try_from(key.as_slice()).ok());
        match key {
            Some(key) => Ok(Person { id: kept.person, key }),
            None if kept.master_key != self.master_key => {
                Err(VaultError::Sealed(format!("a key wrapped under master key {}", kept.master_key)))
            }
            None => Err(VaultError::Sealed(format!("the key of person {}", kept.person))),
        }
    }
}

/// Format, nonce, then the sealed text.
fn seal(cipher: &XChaCha20Poly1305, data: &[u8], binding: &[u8]) -> Result<Vec<u8>, VaultError> {
    let nonce = XNonce::try_generate().map_err(|e| VaultError::Random(e.to_string()))?;
    let text = cipher
        .encrypt(&nonce, Payload { msg: data, aad: binding })
        .map_err(|_| VaultError::Sealed("data of this size".into()))?;
    let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + text.len());
    sealed.push(FORMAT);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&text);
    Ok(sealed)
}

fn open(cipher: &XChaCha20Poly1305, sealed: &[u8], binding: &[u8]) -> Option<Vec<u8>> {
    let (&FORMAT, rest) = sealed.split_first()? else { return None };
    let (nonce, text) = rest.split_at_checked(NONCE_BYTES)?;
    let nonce = XNonce::try_from(nonce).ok()?;
    cipher.decrypt(&nonce, Payload { msg: text, aad: binding }).ok()
}

fn entry_binding(person: Uuid, subject: Uuid) -> Vec<u8> {
    [b"entry".as_slice(), person.as_bytes(), subject.as_bytes()].concat()
}

/// The length keeps shop and reference apart.
fn key_binding(person: Uuid, shop: &str, reference: &str) -> Vec<u8> {
    let length = (shop.len() as u64).to_be_bytes();
    [b"key".as_slice(), person.as_bytes(), &length, shop.as_bytes(), reference.as_bytes()].concat()
}

/// HMAC-SHA-256. It fills a shorter key up to its block of 64 bytes with zeros; so do we, and have no error to handle.
fn keyed_hash(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    mac.update(data);
    mac.finalize().into_bytes().into()
}
