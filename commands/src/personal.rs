//! What names a person. It lies sealed in the vault, never in an event; and what a shop says for orders that leave it out.
//!
//! `Debug` of these types tells nothing of what they hold.
use crate::history::History;
use domain::OrderId;
use eventstore::{Person, Shop, Vault, VaultEntry, vault::VaultError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use thiserror::Error;
use uuid::Uuid;

/// How much of a postal code an event keeps, in characters.
const POSTAL_PREFIX: usize = 3;
/// The person whose key seals staff's notes that belong to no customer: no shop can name a customer so, since refs aren't empty.
const STAFF: &str = "";

/// The vault's entry of an order.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct PersonalData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Contact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_to: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentSecret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
    /// A JSON object, as the shop gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line1: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line2: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentSecret {
    /// What the provider is shown.
    pub token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// The vault's entry of a free-text reason.
#[derive(Clone, Serialize, Deserialize)]
pub struct Note {
    pub note: String,
}

/// `Shop::defaults`: what an order of this shop may leave out.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShopDefaults {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_to: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<DefaultPayment>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultPayment {
    /// For example `card`.
    pub method: String,
    pub token: String,
}

#[derive(Debug, Error)]
pub enum PersonalError {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("personal data can't be read or written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl PersonalData {
    pub fn is_empty(&self) -> bool {
        self.customer.is_none()
            && self.ship_to.is_none()
            && self.billing.is_none()
            && self.payment.is_none()
            && self.client.is_none()
            && self.metadata.is_none()
    }

    pub fn seal(&self, vault: &Vault, person: &Person, order: OrderId) -> Result<VaultEntry, PersonalError> {
        Ok(vault.seal(person, order.0, &serde_json::to_vec(self)?)?)
    }

    /// What is known of the person behind an order; `None` when nothing was given, or the person is erased.
    pub async fn of_order(vault: &Vault, order: OrderId) -> Result<Option<PersonalData>, PersonalError> {
        let data = vault.open(order.0).await?;
        Ok(data.map(|data| serde_json::from_slice(&data)).transpose()?)
    }
}

impl Address {
    /// As much of the postal code as an event may keep.
    pub fn postal_prefix(&self) -> Option<String> {
        self.postal_code.as_ref().map(|code| code.chars().take(POSTAL_PREFIX).collect())
    }
}

impl Note {
    /// Seals a note under the key of the shop's staff.
    pub async fn seal(vault: &Vault, shop: &str, note: String) -> Result<(Uuid, VaultEntry), PersonalError> {
        let staff = vault.person(shop, STAFF).await?;
        Note { note }.sealed(vault, &staff)
    }

    /// Seals a note under the key of the person that it is about, with whom it is erased. `None`: that has happened, and what is said
    /// of them now is not kept either.
    pub async fn about(vault: &Vault, person: Uuid, note: String) -> Result<Option<(Uuid, VaultEntry)>, PersonalError> {
        let person = vault.person_of_id(person).await?;
        person.map(|person| Note { note }.sealed(vault, &person)).transpose()
    }

    /// Seals what is said of an order: about its person, if it has one.
    pub async fn of_order(
        vault: &Vault,
        history: &History,
        note: String,
    ) -> Result<Option<(Uuid, VaultEntry)>, PersonalError> {
        match history.fulfillment.order.placed.as_ref().and_then(|placed| placed.person_id) {
            Some(person) => Note::about(vault, person, note).await,
            None => Note::seal(vault, &history.shop, note).await.map(Some),
        }
    }

    fn sealed(&self, vault: &Vault, person: &Person) -> Result<(Uuid, VaultEntry), PersonalError> {
        let id = Uuid::now_v7();
        Ok((id, vault.seal(person, id, &serde_json::to_vec(self)?)?))
    }

    pub async fn read(vault: &Vault, note_id: Uuid) -> Result<Option<Note>, PersonalError> {
        let data = vault.open(note_id).await?;
        Ok(data.map(|data| serde_json::from_slice(&data)).transpose()?)
    }
}

impl ShopDefaults {
    pub fn of(shop: &Shop) -> Result<ShopDefaults, serde_json::Error> {
        match &shop.defaults {
            serde_json::Value::Null => Ok(ShopDefaults::default()),
            defaults => ShopDefaults::deserialize(defaults),
        }
    }

    /// Those of shop `dev`: everything goes to one invented address and is paid by a token that always works.
    pub fn dev() -> ShopDefaults {
        let text = |text: &str| Some(text.to_owned());
        let ship_to = Address {
            name: text("A. Customer"),
            line1: text("1 Example Street"),
            city: text("Cincinnati"),
            region: text("OH"),
            postal_code: text("45202"),
            country: "US".to_owned(),
            ..Address::default()
        };
        let payment = DefaultPayment { method: "card".to_owned(), token: "tok_ok".to_owned() };
        ShopDefaults { ship_to: Some(ship_to), payment: Some(payment) }
    }
}

macro_rules! silent {
    ($($name:ident),+) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })+
    };
}
silent!(PersonalData, Contact, Address, PaymentSecret, Client, Note, ShopDefaults, DefaultPayment);
