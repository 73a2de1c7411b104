//! `waybill sagas`: sagas as operators see them, and what they do to them. All of it goes through a running server: what is read, by GraphQL;
//! what is asked of a saga, by REST.
mod act;
mod filter;
mod incidents;
mod list;
mod saga;
mod show;
mod table;

use super::{
    CANNOT_RUN, FAULTS,
    client::{Client, DevKeys},
    fail,
};
use crate::config::Settings;
use clap::Subcommand;
use domain::saga::operator::Verb;
use std::process::ExitCode;

#[derive(Subcommand, Clone, Debug)]
pub enum Sagas {
    List(list::List),
    Show(show::Show),
    Incidents(incidents::Incidents),
    /// Lets what an incident has paused try again: under the same key, or after a definite no under a new one
    Retry(act::Act),
    /// Passes over a step that has stopped, on evidence that it needn't be done, or undone
    Skip(act::Skip),
    /// Says that a step that has stopped was done elsewhere, by the participant's own reference of it
    MarkDone(act::MarkDone),
    /// Undoes whatever was done and cancels the order; of a return, closes it. Possible until goods have moved
    Compensate(act::Act),
    /// Stops sagas where they stand, until they are resumed
    Pause(act::Act),
    /// Lets what an operator has paused go on
    Resume(act::Act),
}

pub async fn run(settings: &Settings, command: &Sagas) -> ExitCode {
    // Only operators may do anything to a saga; whoever reads needs no more than support.
    let pick = match command {
        Sagas::List(_) | Sagas::Show(_) | Sagas::Incidents(_) => |keys: DevKeys| keys.support,
        _ => |keys: DevKeys| keys.operator,
    };
    let client = match Client::find(settings, pick) {
        Ok(client) => client,
        Err(error) => return fail(&error, CANNOT_RUN),
    };
    let done = match command {
        Sagas::List(list) => list::run(&client, list).await,
        Sagas::Show(show) => show::run(&client, show).await,
        Sagas::Incidents(incidents) => incidents::run(&client, incidents).await,
        Sagas::Retry(act) => act.run(&client, Verb::Retry).await,
        Sagas::Skip(skip) => skip.run(&client).await,
        Sagas::MarkDone(done) => done.run(&client).await,
        Sagas::Compensate(act) => act.run(&client, Verb::Compensate).await,
        Sagas::Pause(act) => act.run(&client, Verb::Pause).await,
        Sagas::Resume(act) => act.run(&client, Verb::Resume).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAULTS),
        Err(error) => fail(&error, CANNOT_RUN),
    }
}
