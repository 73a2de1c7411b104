//! The first start: the master key, shop `dev`, its location, and one key a role.
//!
//! Each part is made once and found again; a start that was cut short goes on where it stopped.
use crate::{
    cli::client::{DEV_KEYS, DevKeys},
    config::Settings,
    embedded::data_dir::DataDir,
    master_keys::KeyFiles,
};
use anyhow::{Context, Result};
use chrono::Utc;
use commands::locations::LocationModes;
use domain::{
    LocationCode,
    location::{self, LocationMode},
};
use eventstore::{Actor, ActorKind, ApiKeys, Metadata, Role, Shop, Shops, Source, vault::Keyring};
use serde_json::json;
use std::path::Path;
use uuid::Uuid;

pub const DEV_SHOP: &str = "dev";

/// The files of the master keys that personal data's keys are wrapped under; the first key is made if it is ours to make.
pub fn master_keys(settings: &Settings, data_dir: &DataDir) -> Result<KeyFiles> {
    let files = KeyFiles::of(settings, data_dir.path());
    files.begin()?;
    Ok(files)
}

/// The master keys that there are; none is made.
pub fn keyring(settings: &Settings, data_dir: &Path) -> Result<Option<Keyring>> {
    KeyFiles::of(settings, data_dir).read()
}

/// Whether the store has no shop of anybody's own yet: then `dev` is of use, whoever started PostgreSQL.
pub async fn is_fresh(shops: &Shops) -> Result<bool> {
    Ok(shops.list(2).await?.iter().all(|shop| shop == DEV_SHOP))
}

/// Shop `dev`, which may leave out address and payment, and one key a role in `DATA_DIR/dev-keys.json`.
pub async fn dev_shop(data_dir: &DataDir, shops: &Shops, keys: &ApiKeys) -> Result<()> {
    let defaults = json!({
        "ship_to": {"name": "Dev Customer", "line1": "1 Example Street", "city": "Springfield", "postal_code": "00000", "country": "US"},
        "payment": {"method": "card", "token": "tok_ok"},
    });
    let shop = Shop { id: DEV_SHOP.to_owned(), time_zone: "UTC".to_owned(), defaults };
    shops.create_shop(&shop).await.context("shop dev can't be made")?;
    if data_dir.join(DEV_KEYS).exists() {
        return Ok(());
    }
    let create = async |role: Role| {
        let shop = (role == Role::Shop).then_some(DEV_SHOP);
        let (_, key) =
            keys.create("dev", role, shop).await.with_context(|| format!("no {} key can be made", role.as_str()))?;
        anyhow::Ok(key)
    };
    let dev_keys = DevKeys {
        shop: create(Role::Shop).await?,
        warehouse: create(Role::Warehouse).await?,
        support: create(Role::Support).await?,
        operator: create(Role::Operator).await?,
    };
    data_dir.write_secret(DEV_KEYS, &serde_json::to_vec_pretty(&dev_keys)?)?;
    Ok(())
}

/// Shop `dev` has the location `main`, which does its work by itself; staff may have set it otherwise since.
pub async fn main_location(locations: &LocationModes) -> Result<()> {
    let main = LocationCode::from(location::MAIN);
    if locations.is_set(DEV_SHOP, &main).await? {
        return Ok(());
    }
    let id = Uuid::now_v7();
    let metadata = Metadata {
        command_id: id,
        causation_id: None,
        correlation_id: id,
        actor: Actor { kind: ActorKind::System, id: "waybill".to_owned(), key: None, on_behalf_of: None },
        source: Source::Cli,
        reason_code: Some("first_start".to_owned()),
        occurred_at: Utc::now(),
        trace_id: None,
        app_version: env!("CARGO_PKG_VERSION").into(),
    };
    locations.set_mode(DEV_SHOP, &main, LocationMode::Auto, metadata).await.context("location main can't be made")?;
    Ok(())
}
