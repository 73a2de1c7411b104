//! The lines of a ledger: as they lie in the file ([`Record`]), and as the world is shown them ([`Entry`]).

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::Fact;
use crate::participants::fault::Fault;

/// Keys and references are no longer.
const MAX_TEXT: usize = 255;

/// What acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Money was set aside.
    Authorize,
    /// Money was taken.
    Capture,
    /// Money was no longer set aside.
    Void,
    /// Money was given back.
    Refund,
    /// A label was bought.
    Label,
    /// A label was given back.
    VoidLabel,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Label => "label",
            Self::VoidLabel => "void_label",
        })
    }
}

/// One line of `GET /ledger`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without holes.
    pub seq: u64,
    /// What acted.
    pub kind: Kind,
    /// The idempotency key.
    pub key: String,
    /// The order's id.
    pub reference: String,
    /// A decimal string of the currency's digits.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
    /// When, by the provider's clock.
    #[serde(serialize_with = "as_micros")]
    pub at: DateTime<Utc>,
}

fn as_micros<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// A definite answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::participants) enum Answer<F> {
    Done(F),
    Refused { code: String, message: String },
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record<F> {
    pub(super) key: Arc<str>,
    pub(super) fingerprint: u64,
    pub(super) reference: String,
    pub(super) at: DateTime<Utc>,
    pub(super) answer: Answer<F>,
    /// The key was used before, and forgotten since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) again: bool,
}

impl<F: Fact> Record<F> {
    pub(super) fn entry(&self, seq: u64) -> Option<Entry> {
        let Answer::Done(fact) = &self.answer else { return None };
        let (kind, amount) = fact.acted()?;
        Some(Entry {
            seq,
            kind,
            key: self.key.to_string(),
            reference: self.reference.clone(),
            amount: amount.value(),
            currency: amount.currency.clone(),
            at: self.at,
        })
    }
}

/// A call that acts, as the ledger sees it.
#[derive(Debug, Clone, Copy)]
pub(in crate::participants) struct Call<'a> {
    pub(super) key: &'a str,
    pub(super) reference: &'a str,
    pub(super) fingerprint: u64,
    pub(super) owns_key: bool,
}

impl<'a> Call<'a> {
    /// Refuses keys and references that no ledger could hold; such a refusal is not remembered.
    pub(in crate::participants) fn new(key: &'a str, reference: &'a str, fingerprint: u64) -> Result<Self, Fault> {
        if key.is_empty() || key.len() > MAX_TEXT || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Fault::refused("invalid_key", "a key has 1 to 255 visible ASCII characters"));
        }
        if reference.is_empty() || reference.len() > MAX_TEXT {
            return Err(Fault::refused("invalid_reference", "a reference has 1 to 255 bytes"));
        }
        Ok(Self { key, reference, fingerprint, owns_key: false })
    }

    /// What tells its request apart.
    pub(in crate::participants) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The same call from the one who marked the key as running.
    pub(in crate::participants) fn owning_key(self) -> Self {
        Self { owns_key: true, ..self }
    }
}

/// Tells requests apart: FNV-1a, 64 bits, over the parts and their lengths. It lies in files, so it may never change.
pub(in crate::participants) fn fingerprint(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for part in parts {
        (part.len() as u64).to_le_bytes().into_iter().chain(part.bytes()).for_each(&mut eat);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn fingerprints_are_those_of_every_ledger_ever_written() {
        assert_eq!(fingerprint(&[]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(&["authorize", "ord_1", "10.99"]), fingerprint(&["authorize", "ord_1", "10.99"]));
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
    }
}
