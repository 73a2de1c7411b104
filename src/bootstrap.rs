//! The first start: the master key, shop `dev`, its location, and one key a role.
//!
//! Each part is made once and found again; a start that was cut short goes on where it stopped.
use crate::{
    cli::client::{DEV_KEYS, DevKeys},
    config::Settings,
    embedded::data_dir::DataDir,
};
use anyhow::{Context, Result, bail};
use chrono::Utc;
use commands::locations::LocationModes;
use domain::{
    LocationCode,
    location::{self, LocationMode},
};
use eventstore::{Actor, ActorKind, ApiKeys, Metadata, Role, Shop, Shops, Source};
use rand::{TryRng, rngs::SysRng};
use serde_json::json;
use std::{fs, path::Path};
use uuid::Uuid;

pub const DEV_SHOP: &str = "dev";
const MASTER_KEY: &str = "master.key";
const MASTER_KEY_BYTES: usize = 32;

/// The key that personal data's keys are wrapped under: from its file, made at the first start if it is ours to make.
pub fn master_key(settings: &Settings, data_dir: &DataDir) -> Result<[u8; MASTER_KEY_BYTES]> {
    if let Some(path) = &settings.master_key_file {
        return read_master_key(path);
    }
    let path = data_dir.join(MASTER_KEY);
    if !path.exists() {
        let mut key = [0; MASTER_KEY_BYTES];
        SysRng.try_fill_bytes(&mut key).context("the system gives no random numbers")?;
        let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        data_dir.write_secret(MASTER_KEY, text.as_bytes())?;
    }
    read_master_key(&path)
}

fn read_master_key(path: &Path) -> Result<[u8; MASTER_KEY_BYTES]> {
    let text = fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let text = text.trim();
    let mut key = [0; MASTER_KEY_BYTES];
    if text.len() != 2 * MASTER_KEY_BYTES || !text.is_ascii() {
        bail!("{} must hold {} hexadecimal digits", path.display(), 2 * MASTER_KEY_BYTES);
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = str::from_utf8(digits).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16)
            .with_context(|| format!("{} holds no hexadecimal digits", path.display()))?;
    }
    Ok(key)
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
