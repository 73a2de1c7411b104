//! A new master key: announced, then every key wrapped anew under it, in bounded batches, while others go on.
//!
//! Invariants:
//! - a key is replaced only where it still lies as it was read, so that no erasure is undone;
//! - once the new master key is announced, none is freshly wrapped under an older one: what is counted as left only falls;
//! - interrupted at any point it is run again, and goes on with what is left.
use super::{Vault, VaultError};
use uuid::Uuid;

/// Keys that are read at once.
const BATCH: usize = 500;
/// Passes over all keys; a second one finds what was being written during the first.
const PASSES: usize = 5;

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The master key that wraps now.
    pub current: String,
    /// How many keys this run has wrapped anew.
    pub rewrapped: u64,
    /// How many lie under each earlier master key still: none, once it is done.
    pub left: Vec<(String, u64)>,
}

impl Vault {
    /// Brings everything under the keyring's current master key. `progress` hears of each batch.
    pub async fn rewrap(&self, progress: impl Fn(u64)) -> Result<Rotated, VaultError> {
        let ring = self.reload().await?;
        self.announce(&ring).await?;
        let current = ring.current_id().to_owned();
        let mut rewrapped = self.rewrap_secrets(&current).await?;
        let mut left = Vec::new();
        for _ in 0..PASSES {
            let mut after = None;
            loop {
                let page = self.keys.keys_not_under(&current, after, BATCH).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.person);
                for kept in &page {
                    let person = ring.unwrap(kept)?;
                    let new = ring.wrap(&person, &kept.shop, &kept.reference, kept.former.clone())?;
                    rewrapped += u64::from(self.keys.replace_key(kept, &new).await?);
                }
                progress(rewrapped);
            }
            left = self.keys.under_each_master().await?;
            left.retain(|(master, _)| *master != current);
            if left.is_empty() {
                break;
            }
        }
        Ok(Rotated { current, rewrapped, left })
    }

    /// How many keys lie under each master key but the current one.
    pub async fn left_under_earlier(&self) -> Result<Vec<(String, u64)>, VaultError> {
        let current = self.keyring().current_id().to_owned();
        let mut left = self.keys.under_each_master().await?;
        left.retain(|(master, _)| *master != current);
        Ok(left)
    }

    async fn rewrap_secrets(&self, current: &str) -> Result<u64, VaultError> {
        let Some(kept) = self.keys.secret(super::FINGERPRINTS).await? else { return Ok(0) };
        if kept.master_key == current {
            return Ok(0);
        }
        let ring = self.keyring();
        let new = ring.wrap_secret(&kept.name, &ring.unwrap_secret(&kept)?)?;
        Ok(u64::from(self.keys.keep_secret(Some(&kept), &new).await?))
    }

    /// From now on whoever is called so by the shop is someone else; what is sealed opens as before. It may be said again.
    pub async fn part(&self, person: Uuid) -> Result<(), VaultError> {
        loop {
            let Some(kept) = self.keys.key_of(person).await? else { break };
            if kept.former.is_some() {
                break;
            }
            let known = self.unwrap(&kept).await?;
            // No ref of a shop reads so, unless it tries to.
            let reference = format!("{}\u{1}{person}", kept.reference);
            let new = self.keyring().wrap(&known, &kept.shop, &reference, Some(kept.reference.clone()))?;
            if self.keys.replace_key(&kept, &new).await? {
                break;
            }
        }
        self.by_ref.clear();
        Ok(())
    }
}
