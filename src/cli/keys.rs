//! `waybill keys create`: a key for a shop or a member of staff, shown once. `rotate` has the other verbs.
use super::{CANNOT_RUN, fail, rotate};
use crate::{config::Settings, wiring};
use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};
use eventstore::{ApiKeys, PgEventStore, Role, Shop, Shops};
use std::{path::PathBuf, process::ExitCode, sync::Arc};

#[derive(Subcommand, Clone, Debug)]
pub enum Keys {
    /// Makes a key and prints it, once; only its hash is kept. A shop that is new is made with it
    Create {
        #[arg(long, value_enum)]
        role: RoleName,
        /// The shop it is for; needed for the role shop
        #[arg(long)]
        shop: Option<String>,
        /// Whom it is for, to tell keys apart in an order's history
        #[arg(long, default_value = "key")]
        name: String,
        /// The time zone of a new shop, an IANA name: times given without an offset are in it
        #[arg(long, default_value = "UTC")]
        time_zone: String,
    },
    /// Gives personal data a new master key: every person's key is wrapped anew, while the server runs. Interrupted, run it again
    RotateMaster,
    /// Destroys again the keys of those who were erased, after an older backup was restored
    ReapplyErasures {
        /// The record of erasures [default: DATA_DIR/erasures.jsonl]
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleName {
    Shop,
    Warehouse,
    Support,
    Operator,
}

pub async fn run(settings: &Settings, keys: &Keys) -> ExitCode {
    let Keys::Create { role, shop, name, time_zone } = keys else {
        return match keys {
            Keys::ReapplyErasures { file } => rotate::reapply(settings, file.as_deref()).await,
            _ => rotate::run(settings).await,
        };
    };
    match create(settings, *role, shop.as_deref(), name, time_zone).await {
        Ok(key) => {
            say!("{key}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn create(
    settings: &Settings,
    role: RoleName,
    shop: Option<&str>,
    name: &str,
    time_zone: &str,
) -> Result<String> {
    let role = match role {
        RoleName::Shop => Role::Shop,
        RoleName::Warehouse => Role::Warehouse,
        RoleName::Support => Role::Support,
        RoleName::Operator => Role::Operator,
    };
    match (role, shop) {
        (Role::Shop, None) => bail!("a shop key needs --shop"),
        (Role::Warehouse | Role::Support | Role::Operator, Some(_)) => bail!("--shop goes with --role shop"),
        _ => {}
    }
    if let Some(shop) = shop {
        check_shop_id(shop)?;
    }
    if !commands::is_time_zone(time_zone) {
        bail!("{time_zone:?} is no IANA time zone");
    }
    let pool = wiring::pool(&wiring::database_url(settings)?).await?;
    eventstore::sql::migrate(&pool).await?;
    let store =
        Arc::new(PgEventStore::connect(pool, eventstore::Log::MAIN, eventstore::sql::Options::default()).await?);
    if let Some(shop) = shop {
        let shop = Shop { id: shop.to_owned(), time_zone: time_zone.to_owned(), defaults: serde_json::json!({}) };
        Shops::new(store.clone()).create_shop(&shop).await?;
    }
    let (_, key) = ApiKeys::new(store).create(name, role, shop).await?;
    Ok(key)
}

/// A shop's id stands in the names of balances and in Kafka's keys.
fn check_shop_id(shop: &str) -> Result<()> {
    let fits = (1..=64).contains(&shop.len())
        && shop.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if fits { Ok(()) } else { bail!("a shop's id has 1 to 64 of a-z, 0-9, - and _") }
}
