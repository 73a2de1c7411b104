//! `waybill migrate`: brings the schema up to date, without starting anything.
use super::{CANNOT_RUN, fail};
use crate::{config::Settings, wiring};
use std::process::ExitCode;

pub async fn run(settings: &Settings) -> ExitCode {
    match migrate(settings).await {
        Ok(()) => {
            say!("the schema is up to date");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let pool = wiring::pool(&wiring::database_url(settings)?).await?;
    eventstore::sql::migrate(&pool).await?;
    Ok(())
}
