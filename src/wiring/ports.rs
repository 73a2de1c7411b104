//! What the sagas ask of the rest: personal data from the vault, how locations work, and to hear at once of what the API appends.
use async_trait::async_trait;
use commands::{
    http::{Follower, Placed},
    locations::LocationModes,
    personal::{PersonalData, ShopDefaults},
};
use domain::{LocationCode, OrderId, location::LocationMode, order::OrderPlaced};
use eventstore::{Fence, Position, RecordedEvent, Shops, Vault};
use sagas::{Cause, LocationError, Locations, RunnerHandle, SecretError, Secrets, ShipTo};
use std::sync::Arc;

/// Personal data comes from the vault, or from the shop's defaults where the order used them.
#[derive(Debug)]
pub(super) struct VaultSecrets {
    pub(super) vault: Arc<Vault>,
    pub(super) shops: Arc<Shops>,
}

impl VaultSecrets {
    async fn defaults(&self, shop: &str) -> Result<ShopDefaults, SecretError> {
        let shop = self.shops.get(shop).await.map_err(|error| SecretError::Unavailable(error.to_string()))?;
        let defaults = shop.ok_or(SecretError::Missing("unknown_shop"))?.defaults.clone();
        serde_json::from_value(defaults).map_err(|error| SecretError::Unavailable(error.to_string()))
    }

    /// A saga meets an erased person only where an older backup was restored: that is for a person to decide.
    async fn personal(&self, order: OrderId) -> Result<Option<PersonalData>, SecretError> {
        let unavailable = |error: String| SecretError::Unavailable(error);
        let data = PersonalData::of_order(&self.vault, order).await.map_err(|error| unavailable(error.to_string()))?;
        if data.is_none() && self.vault.is_erased(order.0).await.map_err(|error| unavailable(error.to_string()))? {
            return Err(SecretError::Missing("customer_erased"));
        }
        Ok(data)
    }
}

#[async_trait]
impl Secrets for VaultSecrets {
    async fn payment_token(&self, order: OrderId, shop: &str, placed: &OrderPlaced) -> Result<String, SecretError> {
        if placed.payment.as_ref().is_some_and(|payment| payment.default) {
            let payment = self.defaults(shop).await?.payment;
            return Ok(payment.ok_or(SecretError::Missing("no_payment_token"))?.token);
        }
        let payment = self.personal(order).await?.and_then(|personal| personal.payment);
        Ok(payment.ok_or(SecretError::Missing("no_payment_token"))?.token)
    }

    async fn ship_to(&self, order: OrderId, shop: &str, placed: &OrderPlaced) -> Result<ShipTo, SecretError> {
        let address = match placed.ship_to.default {
            true => self.defaults(shop).await?.ship_to,
            false => self.personal(order).await?.and_then(|personal| personal.ship_to),
        };
        // An order that costs nothing may come without an address; the event then says at most the country.
        let country =
            address.as_ref().map(|address| address.country.clone()).or_else(|| placed.ship_to.country.clone());
        Ok(ShipTo {
            country: country.unwrap_or_else(|| "US".to_owned()),
            postal_code: address.and_then(|address| address.postal_code),
        })
    }
}

#[derive(Debug)]
pub(super) struct Modes(pub(super) Arc<LocationModes>);

#[async_trait]
impl Locations for Modes {
    async fn mode(&self, shop: &str, code: &LocationCode) -> Result<LocationMode, LocationError> {
        self.0.mode(shop, code).await.map_err(|error| LocationError(error.to_string()))
    }

    fn observe(&self, event: &RecordedEvent) {
        if let Err(error) = self.0.observe(event) {
            tracing::error!(%error, "a location's event can't be read");
        }
    }
}

/// What the API has just appended goes to the sagas at once, without a read; the feed tells of it too.
#[derive(Debug)]
pub(super) struct HandOver(pub(super) RunnerHandle);

impl Follower for HandOver {
    fn fence(&self, order: OrderId) -> Option<Fence> {
        self.0.fence(order)
    }

    fn placed(&self, placed: Placed) {
        let cause = Cause { command: Some(placed.command_id), trace_id: placed.trace_id };
        self.0.placed(placed.history, cause, placed.fence);
    }

    fn changed(&self, order: OrderId, position: Position) {
        self.0.changed(order, position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commands::personal::PaymentSecret;
    use eventstore::{MemoryEventStore, contract::given::append};
    use serde_json::json;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_saga_that_meets_an_erased_person_is_told_so() {
        let store = Arc::new(MemoryEventStore::default());
        let vault = Arc::new(Vault::new(&[1; 32], store.clone(), store.clone()));
        let secrets = VaultSecrets { vault: vault.clone(), shops: Arc::new(Shops::new(store.clone())) };
        let (order, person) = (OrderId(Uuid::now_v7()), vault.person("dev", "hh-1").await.unwrap());
        let payment = Some(PaymentSecret { token: "tok_ok".to_owned(), fingerprint: None });
        let personal = PersonalData { payment, ..PersonalData::default() };
        eventstore::EventStore::append(&*store, append().sealing(personal.seal(&vault, &person, order).unwrap()))
            .await
            .unwrap();
        let placed: OrderPlaced = serde_json::from_value(json!({
            "order_ref": "r", "placed_at": "2026-11-24T00:00:00Z", "received_at": "2026-11-24T00:00:00Z", "customer_ref": "hh-1",
            "ship_to": {"country": "CH", "default": false}, "currency": {"code": "USD", "digits": 2}, "lines": [], "charges": [],
            "prices_include_tax": false, "total": 0, "priority": 0, "on_shortage": "CANCEL",
        }))
        .unwrap();
        assert_eq!(secrets.payment_token(order, "dev", &placed).await.unwrap(), "tok_ok");
        vault.erase(person.id).await.unwrap();
        let token = secrets.payment_token(order, "dev", &placed).await;
        assert!(matches!(token, Err(SecretError::Missing("customer_erased"))), "{token:?}");
        let ship_to = secrets.ship_to(order, "dev", &placed).await;
        assert!(matches!(ship_to, Err(SecretError::Missing("customer_erased"))), "{ship_to:?}");
        let nobody = secrets.payment_token(OrderId(Uuid::now_v7()), "dev", &placed).await;
        assert!(matches!(nobody, Err(SecretError::Missing("no_payment_token"))), "{nobody:?}");
    }
}
