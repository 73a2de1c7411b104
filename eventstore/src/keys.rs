//! API keys: who may call, and as what. A key is shown once, when it is made; only its SHA-256 is kept.
use crate::cache::Cache;
use crate::{AppendError, ReadError};
use async_trait::async_trait;
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use uuid::Uuid;

const PREFIX: &str = "wbk_";
/// Random bytes of a key; written in hex.
const KEY_BYTES: usize = 32;
/// How long a key is believed without asking: so long a revocation may take to be seen by other processes.
const BELIEVED: Duration = Duration::from_secs(3);
const CACHED: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Shop,
    Warehouse,
    Support,
    Operator,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Shop, Role::Warehouse, Role::Support, Role::Operator];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Shop => "shop",
            Role::Warehouse => "warehouse",
            Role::Support => "support",
            Role::Operator => "operator",
        }
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Role::ALL.into_iter().find(|role| role.as_str() == name).ok_or_else(|| format!("{name} is no role"))
    }
}

/// Whom a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub id: Uuid,
    pub name: String,
    pub role: Role,
    /// Always there for `Role::Shop`.
    pub shop: Option<String>,
}

/// Where keys are kept. Under one contract suite: PostgreSQL and memory.
#[async_trait]
pub trait KeyStore: Send + Sync + std::fmt::Debug {
    async fn insert_key(&self, key: &ApiKey, hash: [u8; 32]) -> Result<(), AppendError>;
    /// The key of this hash, and the hash as it is kept; none that is revoked.
    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<(ApiKey, [u8; 32])>, ReadError>;
    /// Whether there was such a key.
    async fn revoke_key(&self, id: Uuid) -> Result<bool, AppendError>;
}

#[derive(Debug)]
pub struct ApiKeys {
    store: Arc<dyn KeyStore>,
    known: Cache<[u8; 32], Arc<ApiKey>>,
}

impl ApiKeys {
    pub fn new(store: Arc<dyn KeyStore>) -> ApiKeys {
        ApiKeys { store, known: Cache::new(CACHED, BELIEVED).named("api_keys") }
    }

    /// Makes a key; answers it with its only plain text. The shop must exist; a `Role::Shop` key needs one.
    pub async fn create(&self, name: &str, role: Role, shop: Option<&str>) -> Result<(ApiKey, String), AppendError> {
        if role == Role::Shop && shop.is_none() {
            return Err(AppendError::Invalid("a shop's key needs the shop's id".into()));
        }
        let mut secret = [0_u8; KEY_BYTES];
        SysRng.try_fill_bytes(&mut secret).map_err(|e| AppendError::Unavailable(format!("no random numbers: {e}")))?;
        let mut plaintext = String::with_capacity(PREFIX.len() + 2 * KEY_BYTES);
        plaintext.push_str(PREFIX);
        for byte in secret {
            // Writing to a string can't fail.
            let _ = write!(plaintext, "{byte:02x}");
        }
        let key = ApiKey { id: Uuid::now_v7(), name: name.to_owned(), role, shop: shop.map(str::to_owned) };
        self.store.insert_key(&key, hash(&plaintext)).await?;
        Ok((key, plaintext))
    }

    /// Whom this key stands for; `None` when it is unknown or revoked.
    pub async fn authenticate(&self, bearer: &str) -> Result<Option<Arc<ApiKey>>, ReadError> {
        if bearer.len() != PREFIX.len() + 2 * KEY_BYTES || !bearer.starts_with(PREFIX) {
            return Ok(None);
        }
        // Whoever guesses controls the text, not its hash: looking the hash up tells nothing by the time it takes.
        let hash = hash(bearer);
        if let Some(key) = self.known.get(&hash) {
            return Ok(Some(key));
        }
        let found = self.store.find_key(hash).await?;
        Ok(found.filter(|(_, kept)| bool::from(kept.ct_eq(&hash))).map(|(key, _)| {
            let key = Arc::new(key);
            self.known.insert(hash, key.clone());
            key
        }))
    }

    /// Takes effect here at once, elsewhere within seconds. Whether there was such a key.
    pub async fn revoke(&self, id: Uuid) -> Result<bool, AppendError> {
        let revoked = self.store.revoke_key(id).await;
        self.known.clear();
        revoked
    }
}

fn hash(plaintext: &str) -> [u8; 32] {
    Sha256::digest(plaintext.as_bytes()).into()
}
