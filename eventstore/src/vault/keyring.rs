//! The master keys that a process holds: the one that wraps, and earlier ones that still open.
//!
//! An id names a master key without telling it; it stands beside whatever the key wraps. Nothing here is written anywhere.
use super::ports::{WrappedKey, WrappedSecret};
use super::seal::{key_binding, keyed_hash, open, seal, secret_binding};
use super::{Person, VaultError};
use chacha20poly1305::aead::KeyInit;
use chacha20poly1305::{Key, XChaCha20Poly1305};
use std::fmt;
use std::fmt::Write;
use uuid::Uuid;

/// A secret of 32 random bytes that only wraps keys.
#[derive(Clone)]
pub struct MasterKey {
    id: String,
    secret: [u8; 32],
    wrapping: XChaCha20Poly1305,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl MasterKey {
    pub fn new(secret: [u8; 32]) -> MasterKey {
        let hash = keyed_hash(&secret, b"waybill master key id 1");
        let mut id = String::with_capacity(16);
        for byte in &hash[..8] {
            // Writing to a string can't fail.
            let _ = write!(id, "{byte:02x}");
        }
        let wrapping = XChaCha20Poly1305::new(&Key::from(keyed_hash(&secret, b"waybill person keys 1")));
        MasterKey { id, secret, wrapping }
    }

    /// 16 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What bodies were compared by before that had a key of its own.
    pub(super) fn derived_fingerprints(&self) -> [u8; 32] {
        keyed_hash(&self.secret, b"waybill fingerprints 1")
    }
}

/// The master keys of this process.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: MasterKey,
    earlier: Vec<MasterKey>,
}

impl Keyring {
    pub fn new(current: MasterKey, earlier: Vec<MasterKey>) -> Keyring {
        let earlier = earlier.into_iter().filter(|key| key.id != current.id).collect();
        Keyring { current, earlier }
    }

    /// The id of the key that wraps.
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    /// The ids of all keys here, the current one first.
    pub fn ids(&self) -> Vec<String> {
        self.all().map(|key| key.id.clone()).collect()
    }

    pub(super) fn current(&self) -> &MasterKey {
        &self.current
    }

    pub(super) fn holds(&self, id: &str) -> bool {
        self.all().any(|key| key.id == id)
    }

    /// A person's key, wrapped under the current master key.
    pub(super) fn wrap(
        &self,
        person: &Person,
        shop: &str,
        reference: &str,
        former: Option<String>,
    ) -> Result<WrappedKey, VaultError> {
        let wrapped = seal(&self.current.wrapping, &person.key, &key_binding(person.id, shop, reference))?;
        Ok(WrappedKey {
            person: person.id,
            shop: shop.to_owned(),
            reference: reference.to_owned(),
            former,
            master_key: self.current.id.clone(),
            wrapped,
        })
    }

    pub(super) fn unwrap(&self, kept: &WrappedKey) -> Result<Person, VaultError> {
        let binding = key_binding(kept.person, &kept.shop, &kept.reference);
        let key = open(&self.master(&kept.master_key)?.wrapping, &kept.wrapped, &binding);
        let key = key.and_then(|key| Key::try_from(key.as_slice()).ok());
        key.map(|key| Person { id: kept.person, key }).ok_or_else(|| sealed_key(kept.person))
    }

    pub(super) fn wrap_secret(&self, name: &str, secret: &[u8; 32]) -> Result<WrappedSecret, VaultError> {
        let wrapped = seal(&self.current.wrapping, secret, &secret_binding(name))?;
        Ok(WrappedSecret { name: name.to_owned(), master_key: self.current.id.clone(), wrapped })
    }

    pub(super) fn unwrap_secret(&self, kept: &WrappedSecret) -> Result<[u8; 32], VaultError> {
        let secret = open(&self.master(&kept.master_key)?.wrapping, &kept.wrapped, &secret_binding(&kept.name));
        let secret = secret.and_then(|secret| <[u8; 32]>::try_from(secret.as_slice()).ok());
        secret.ok_or_else(|| VaultError::Sealed(format!("the secret {}", kept.name)))
    }

    fn master(&self, id: &str) -> Result<&MasterKey, VaultError> {
        let found = self.all().find(|key| key.id == id);
        found.ok_or_else(|| VaultError::UnknownMaster { needed: id.to_owned(), held: self.ids() })
    }

    fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.earlier)
    }
}

fn sealed_key(person: Uuid) -> VaultError {
    VaultError::Sealed(format!("the key of person {person}"))
}

/// Where the keyring is read from: at the start, and again when a key turns up that it does not hold.
pub trait KeyringSource: Send + Sync + fmt::Debug {
    /// The text of an error is for people.
    fn load(&self) -> Result<Keyring, String>;
}

/// A keyring that never changes.
impl KeyringSource for Keyring {
    fn load(&self) -> Result<Keyring, String> {
        Ok(self.clone())
    }
}
