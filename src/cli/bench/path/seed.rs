//! Orders that are there before a measurement: as those that are measured, with their claims and sealed data, but free of charge and shipped by
//! staff, so that no provider has to know of them.
use super::{
    orders::{self, CUSTOMERS},
    shop::Shops,
};
use crate::{
    cli::bench::histories::{self, At},
    config::Settings,
    master_keys::KeyFiles,
};
use anyhow::Result;
use commands::{
    Change,
    personal::{Address, Contact, PaymentSecret, PersonalData},
};
use domain::{
    Amount, LineId, OrderId, Sku,
    order::{OrderLine, OrderPlaced},
};
use eventstore::{Append, Claim, EventStore, Lifetime, Person, PgEventStore, Vault};
use std::sync::Arc;
use uuid::Uuid;

#[derive(Clone)]
pub(super) struct Seed {
    store: Arc<dyn EventStore>,
    vault: Arc<Vault>,
    skus: usize,
    shops: Arc<[Customers]>,
}

/// A shop's, by number.
struct Customers {
    shop: String,
    persons: Vec<Person>,
}

impl Seed {
    pub(super) async fn new(settings: Settings, store: Arc<PgEventStore>, shops: &Shops, skus: usize) -> Result<Seed> {
        let keys = Arc::new(KeyFiles::of(&settings, &settings.data_dir));
        let vault = Vault::connect(keys, store.clone(), store.clone()).await?;
        let mut all = vec![];
        for shop in &shops.all {
            let mut persons = vec![];
            for number in 0..CUSTOMERS.div_ceil(shops.all.len()) {
                persons.push(vault.person(&shop.id, &orders::customer(number)).await?);
            }
            all.push(Customers { shop: shop.id.clone(), persons });
        }
        Ok(Seed { store, vault: Arc::new(vault), skus, shops: all.into() })
    }

    /// So many more.
    pub(super) async fn append(&self, count: usize, at: At) -> Result<()> {
        let seed = self.clone();
        histories::append_all(&self.store, 0..count, move |number| seed.order(number, at)).await
    }

    fn order(&self, number: usize, at: At) -> Result<Append> {
        let customers = &self.shops[number % self.shops.len()];
        let nth = number / self.shops.len() % customers.persons.len();
        let (shop, person, order) = (&customers.shop, &customers.persons[nth], OrderId(Uuid::now_v7()));
        let order_ref = format!("{at:?}-{number:032}").to_lowercase();
        let claim = |scope: String| Claim {
            scope,
            key: order_ref.clone(),
            holder: order.to_string(),
            fingerprint: Some(self.vault.fingerprint(order_ref.as_bytes())),
            lifetime: Lifetime::Forever,
        };
        let change = Change {
            claims: vec![claim(format!("idem:{shop}:orders")), claim(format!("order_ref:{shop}"))],
            vault: vec![personal().seal(&self.vault, person, order)?],
            ..Change::default()
        };
        let placed = self.placed(number, order_ref, orders::customer(nth), person);
        histories::append(order, shop, placed, at, change)
    }

    fn placed(&self, number: usize, order_ref: String, customer_ref: String, person: &Person) -> OrderPlaced {
        let line = |(line_id, (sku, quantity)): (usize, (String, i64))| OrderLine {
            line_id: LineId(line_id.to_string()),
            sku: Sku::from(sku.as_str()),
            quantity,
            line_total: Amount::ZERO,
            discount: None,
            unit: None,
        };
        let lines = (1..).zip(orders::lines(number, self.skus)).map(line).collect();
        let mut placed = histories::placed(order_ref, customer_ref, "DE", "EUR", lines);
        placed.person_id = Some(person.id);
        placed.ship_to.postal_prefix = Some("101".to_owned());
        placed
    }
}

fn personal() -> PersonalData {
    let text = |text: &str| Some(text.to_owned());
    let ship_to = Address {
        name: text("Ada"),
        line1: text("Example Street 12"),
        city: text("Berlin"),
        postal_code: text("10115"),
        country: "DE".to_owned(),
        ..Address::default()
    };
    PersonalData {
        customer: Some(Contact::default()),
        ship_to: Some(ship_to),
        payment: Some(PaymentSecret { token: "tok_ok".to_owned(), fingerprint: None }),
        ..PersonalData::default()
    }
}
