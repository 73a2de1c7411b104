//! `waybill sagas`: sagas as operators see them, one file a verb. All of it goes through a running server: what is read, by GraphQL.
mod filter;
mod incidents;
mod list;
mod saga;
mod show;
mod table;

use super::{CANNOT_RUN, FAULTS, client::Client, fail};
use crate::config::Settings;
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Subcommand, Clone, Debug)]
pub enum Sagas {
    List(list::List),
    Show(show::Show),
    Incidents(incidents::Incidents),
}

pub async fn run(settings: &Settings, command: &Sagas) -> ExitCode {
    let client = match Client::find(settings, |keys| keys.support) {
        Ok(client) => client,
        Err(error) => return fail(&error, CANNOT_RUN),
    };
    let done = match command {
        Sagas::List(list) => list::run(&client, list).await,
        Sagas::Show(show) => show::run(&client, show).await,
        Sagas::Incidents(incidents) => incidents::run(&client, incidents).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAULTS),
        Err(error) => fail(&error, CANNOT_RUN),
    }
}
