//! `waybill keys rotate-master`: a new master key, under which every person's key is wrapped anew while the server runs.
use super::{CANNOT_RUN, FAULTS, fail};
use crate::{config::Settings, erasures, master_keys::KeyFiles, wiring};
use anyhow::{Context, Result, bail};
use eventstore::{
    Log, PgEventStore, Vault,
    sql::{self, Options},
    vault::{MasterKeys, Rotated},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

pub async fn run(settings: &Settings) -> ExitCode {
    match rotate(settings).await {
        Ok(rotated) if rotated.left.is_empty() => {
            let Rotated { current, rewrapped, .. } = rotated;
            say!("done: {rewrapped} keys were wrapped anew, and all lie under master key {current}");
            say!(
                "earlier master keys open nothing in this database any more; keep them for as long as you keep backups of before"
            );
            ExitCode::SUCCESS
        }
        Ok(rotated) => {
            for (master, keys) in &rotated.left {
                say!("{keys} keys lie under master key {master} still");
            }
            say!("not done: run it again");
            ExitCode::from(FAULTS)
        }
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn rotate(settings: &Settings) -> Result<Rotated> {
    let files = KeyFiles::of(settings, &settings.data_dir);
    let _turn = files.lock()?;
    let held = files.read()?.context("there is no master key yet: `waybill up` makes one")?;
    let store = store(settings).await?;
    let announced = store.current_master().await?;
    // It may be that a rotation was cut short, or that the new key was put into its file by hand: then that one is carried out.
    let is_current = announced.as_deref() == Some(held.current_id());
    let vault = Vault::connect(Arc::new(files.clone()), store.clone(), store.clone()).await?;
    if announced.is_none() || (is_current && vault.left_under_earlier().await?.is_empty()) {
        if !files.are_ours {
            bail!(
                "everything lies under the key of {master} already. For a new one: put the key that is there now into {previous}, one a \
                 line, then the new one into {master}, wherever a waybill of this database runs, and run this again",
                master = files.place(),
                previous = files.previous.display()
            );
        }
        files.replace()?;
        say!("a new master key is in {}, the one before in {}", files.master.display(), files.previous.display());
    }
    Ok(vault.rewrap(|keys| say!("{keys} keys are wrapped anew")).await?)
}

/// `waybill keys reapply-erasures`.
pub async fn reapply(settings: &Settings, file: Option<&Path>) -> ExitCode {
    let file: PathBuf = file.map_or_else(|| settings.data_dir.join(erasures::FILE), Path::to_owned);
    let outcome = async {
        let store = store(settings).await?;
        erasures::reapply(store, &file).await
    };
    match outcome.await {
        Ok(done) => {
            let erasures::Reapplied { destroyed, already, absent, unreadable } = done;
            say!(
                "{destroyed} keys were destroyed again, {already} had been, {absent} persons are not in this database"
            );
            if unreadable > 0 {
                say!("{unreadable} lines of {} can't be read: they were cut off by a crash", file.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn store(settings: &Settings) -> Result<Arc<PgEventStore>> {
    let pool = wiring::pool(&wiring::database_url(settings)?).await?;
    sql::migrate(&pool).await?;
    Ok(Arc::new(PgEventStore::connect(pool, Log::MAIN, Options::default()).await?))
}
