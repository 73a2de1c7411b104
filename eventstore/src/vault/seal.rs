//! Sealing: XChaCha20-Poly1305 under a random nonce, bound to what the data belongs to.
use super::VaultError;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

const NONCE_BYTES: usize = 24;
/// The first byte of what is sealed: how to open it.
const FORMAT: u8 = 1;

/// Format, nonce, then the sealed text.
pub(super) fn seal(cipher: &XChaCha20Poly1305, data: &[u8], binding: &[u8]) -> Result<Vec<u8>, VaultError> {
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

pub(super) fn open(cipher: &XChaCha20Poly1305, sealed: &[u8], binding: &[u8]) -> Option<Vec<u8>> {
    let (&FORMAT, rest) = sealed.split_first()? else { return None };
    let (nonce, text) = rest.split_at_checked(NONCE_BYTES)?;
    let nonce = XNonce::try_from(nonce).ok()?;
    cipher.decrypt(&nonce, Payload { msg: text, aad: binding }).ok()
}

pub(super) fn entry_binding(person: Uuid, subject: Uuid) -> Vec<u8> {
    [b"entry".as_slice(), person.as_bytes(), subject.as_bytes()].concat()
}

/// The length keeps shop and reference apart.
pub(super) fn key_binding(person: Uuid, shop: &str, reference: &str) -> Vec<u8> {
    let length = (shop.len() as u64).to_be_bytes();
    [b"key".as_slice(), person.as_bytes(), &length, shop.as_bytes(), reference.as_bytes()].concat()
}

pub(super) fn secret_binding(name: &str) -> Vec<u8> {
    [b"secret".as_slice(), name.as_bytes()].concat()
}

/// HMAC-SHA-256. It fills a shorter key up to its block of 64 bytes with zeros; so do we, and have no error to handle.
pub(super) fn keyed_hash(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    mac.update(data);
    mac.finalize().into_bytes().into()
}
