//! `waybill verify`: do store, Kafka, projections, stock and the participants' ledgers agree, as of the head when it begins?
//!
//! On a replica it looks at what there is: the copy of the log against itself and against Kafka, and the projections; the rest is left out.
//! It reads everything and changes nothing. What a restored store has lost is told, and is no fault. An order under way is no fault; a relay or a read model that is behind has 60 s to come up.
mod books;
mod check;
mod gone;
mod ledgers;
mod store;
#[cfg(test)]
mod tests;

use super::{CANNOT_RUN, FAULTS, fail};
use crate::{
    config::{Participants, Settings},
    embedded::data_dir,
    wiring,
};
use anyhow::{Context, Result};
use books::Books;
use check::{Check, Faults, conclude};
use clap::Args;
use eventstore::{EventStore, Log, PgEventStore, Position, sql};
use indicatif::{ProgressBar, ProgressStyle};
use mirror::{Gone, KafkaConfig, Start};
use queries::projections::ProjectionError;
use sqlx::{PgPool, postgres::PgConnectOptions};
use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use store::Examined;
use uuid::Uuid;

/// How long relay and projections may take to reach the head.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Checks that store, Kafka, projections, stock and the participants' ledgers agree
#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// The store alone: density, order, versions, checksums, balances, claims, timers; of a replica, its copy of the log. Needs no more than
    /// PostgreSQL
    #[arg(long)]
    pub store: bool,
}

/// What there is to check against.
struct Parts {
    store: Arc<PgEventStore>,
    database: PgConnectOptions,
    kafka: Option<KafkaConfig>,
    ledgers: Vec<String>,
}

pub async fn run(settings: &Settings, asked: &Verify) -> ExitCode {
    let outcome = match asked.store {
        true => verify_store(settings).await,
        false => verify_all(settings).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAULTS),
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn verify_all(settings: &Settings) -> Result<bool> {
    verify(&connect(settings).await?).await
}

async fn connect(settings: &Settings) -> Result<Parts> {
    let run = data_dir::read_run_json(&settings.data_dir)?.unwrap_or_default();
    let url = wiring::database_url(settings)?;
    let pool = wiring::pool(&url).await?;
    let store = PgEventStore::connect(pool, Log::MAIN, sql::Options::default()).await?;
    let ledgers = match settings.participants {
        Participants::Http => run.payment.into_iter().chain(run.shipping).collect(),
        Participants::InProcess => vec![],
    };
    let start = if run.kafka_in_process { Start::AtHead } else { Start::Beginning };
    let brokers = settings.kafka_brokers.clone().or(run.kafka);
    let kafka = brokers.map(|brokers| KafkaConfig { start, ..KafkaConfig::new(brokers) });
    Ok(Parts { store: Arc::new(store), database: url.parse()?, kafka, ledgers })
}

/// Prints each check as it is done, and a table at the end; `false` when something is wrong.
async fn verify(parts: &Parts) -> Result<bool> {
    let Examined { head, books, mut checks } = examine(parts.store.pool()).await?;
    let (kafka, gone) = kafka_check(parts, head).await?;
    for check in [kafka, ledger_check(parts, &books, &gone).await?, projection_check(parts, head).await?] {
        check.report();
        checks.push(check);
    }
    Ok(conclude(&checks))
}

/// The store alone: nothing else has to be there, nor to run.
async fn verify_store(settings: &Settings) -> Result<bool> {
    let pool = wiring::pool(&wiring::database_url(settings)?).await?;
    Ok(conclude(&examine(&pool).await?.checks))
}

async fn examine(pool: &PgPool) -> Result<Examined> {
    let examined = store::examine(pool, Log::MAIN, |head| progress("reading the log", head.0)).await?;
    examined.checks.iter().for_each(Check::report);
    Ok(examined)
}

async fn ledger_check(parts: &Parts, books: &Books, gone: &[Gone]) -> Result<Check> {
    if parts.ledgers.is_empty() {
        return Ok(Check::left_out("ledgers", "not looked at, since the participants are not ours"));
    }
    let accounts = ledgers::read(&parts.ledgers, books).await?;
    let known = |id: &Uuid| books.orders.contains_key(id);
    let (told, unexplained) = gone::unknown_orders(parts.store.as_ref(), &accounts, known, gone).await?;
    let agreeing = accounts.keys().filter(|id| known(id)).count();
    let what = format!("{agreeing} orders in the participants' ledgers agree with the store");
    let faults = ledgers::compare(&accounts, books).into_iter().chain(unexplained).collect();
    Ok(Check::done("ledgers", accounts.len() as u64, what, faults).with_gone(told))
}

async fn kafka_check(parts: &Parts, head: Position) -> Result<(Check, Vec<Gone>)> {
    let Some(kafka) = &parts.kafka else {
        return Ok((Check::left_out("kafka", "not looked at, since none is set"), Vec::new()));
    };
    let bar = progress("reading Kafka", head.0);
    let progress = |done: Position| bar.set_position(done.0.unsigned_abs());
    let chain = wiring::verify_chain(kafka, parts.store.as_ref(), head, CATCH_UP, &progress)
        .await
        .context("Kafka can't be verified")?;
    bar.finish_and_clear();
    let told = gone::tell(&chain.gone, &parts.store.lives().await?);
    let faults = chain.faults.into_iter().collect();
    Ok((Check::done("kafka", head.0.unsigned_abs(), chain.what, faults).with_gone(told), chain.gone))
}

async fn projection_check(parts: &Parts, head: Position) -> Result<Check> {
    let bar = progress("replaying the projections", head.0);
    let deadline = Instant::now() + CATCH_UP;
    let mut compared = match queries::projections::verify_projections(parts.store.clone(), &parts.database).await {
        Err(ProjectionError::OtherVersion { found, ours }) if found < ours => {
            bar.finish_and_clear();
            return Ok(Check::left_out("projections", "not looked at, since a release before this one made the rows"));
        }
        compared => compared?,
    };
    while compared.position < head && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(500)).await;
        compared = queries::projections::verify_projections(parts.store.clone(), &parts.database).await?;
    }
    bar.finish_and_clear();
    let mut faults: Faults = compared
        .differences
        .iter()
        .map(|difference| {
            let side = if difference.missing { "lacks" } else { "has, and a replay has not," };
            format!("{} {side} {}", difference.table, difference.row)
        })
        .collect();
    if compared.position < head {
        faults.add(format!("they are at {}, not at {head}, after {} s", compared.position, CATCH_UP.as_secs()));
    }
    let parked = match compared.parked {
        0 => String::new(),
        parked => format!("; {parked} keys are parked: see `waybill parked`"),
    };
    let what = format!("{} rows equal a replay up to {}{parked}", compared.rows, compared.position);
    Ok(Check::done("projections", compared.rows, what, faults))
}

fn progress(what: &str, length: i64) -> ProgressBar {
    let bar = ProgressBar::new(length.unsigned_abs());
    if let Ok(style) = ProgressStyle::with_template("{msg}  {bar:30} {percent:>3} %  {elapsed} of about {duration}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
