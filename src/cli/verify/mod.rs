//! `waybill verify`: do store, Kafka, projections, stock and the participants' ledgers agree, as of the head when it begins?
//!
//! It reads everything and changes nothing. An order under way is no fault; a relay or a read model that is behind has 60 s to come up.
mod books;
mod ledgers;

use super::{CANNOT_RUN, FAULTS, fail};
use crate::{
    config::{Participants, Settings},
    embedded::data_dir,
    wiring,
};
use anyhow::{Context, Result};
use books::Books;
use clap::Args;
use domain::Amount;
use eventstore::{EventStore, Log, PgEventStore, Position, sql};
use indicatif::{ProgressBar, ProgressStyle};
use mirror::{KafkaConfig, Start};
use sqlx::postgres::PgConnectOptions;
use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

const PAGE: usize = 5_000;
/// How long relay and projections may take to reach the head.
const CATCH_UP: Duration = Duration::from_secs(60);
/// How often the head is caught up with, to compare balances when nothing moves.
const BALANCE_TRIES: u32 = 8;
/// More than these are counted, not shown.
const SHOWN: usize = 50;

/// Checks that store, Kafka, projections, stock and the participants' ledgers agree
#[derive(Args, Clone, Debug)]
pub struct Verify {}

/// What there is to check against.
struct Parts {
    store: Arc<PgEventStore>,
    database: PgConnectOptions,
    kafka: Option<KafkaConfig>,
    ledgers: Vec<String>,
}

/// One check: what was looked at, and what is wrong.
struct Check {
    what: String,
    faults: Vec<String>,
}

pub async fn run(settings: &Settings, _: &Verify) -> ExitCode {
    let parts = match connect(settings).await {
        Ok(parts) => parts,
        Err(error) => return fail(&error, CANNOT_RUN),
    };
    match verify(&parts).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAULTS),
        Err(error) => fail(&error, CANNOT_RUN),
    }
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

/// Prints each check as it is done; `false` when something is wrong.
async fn verify(parts: &Parts) -> Result<bool> {
    let head = parts.store.head().await?.position;
    say!("verifying up to position {head}");
    let (mut books, turnover) = read_books(parts, head).await?;
    let mut checks = vec![Check {
        what: format!("store: {head} events, dense and in order; {turnover}"),
        faults: std::mem::take(&mut books.faults),
    }];
    report(&checks[0]);
    for check in
        [ledger_check(parts, &books).await?, kafka_check(parts, head).await?, projection_check(parts, head).await?]
    {
        report(&check);
        checks.push(check);
    }
    let faults: usize = checks.iter().map(|check| check.faults.len()).sum();
    match faults {
        0 => say!("all is well"),
        faults => say!("{faults} faults"),
    }
    Ok(faults == 0)
}

fn report(check: &Check) {
    match check.faults.len() {
        0 => say!("ok     {}", check.what),
        faults => {
            let part = check.what.split(':').next().unwrap_or_default();
            say!("FAULT  {part}: {faults} found");
        }
    }
    for fault in check.faults.iter().take(SHOWN) {
        say!("       {fault}");
    }
    if check.faults.len() > SHOWN {
        say!("       and {} more", check.faults.len() - SHOWN);
    }
}

/// The whole log, folded; positions and versions are checked on the way.
async fn read_books(parts: &Parts, head: Position) -> Result<(Books, String)> {
    let bar = progress("reading the log", head.0);
    let mut books = Books::default();
    // The balances as of the head can't be read; where nothing was appended meanwhile they are those of the head.
    // Under load the head never rests: a few tries, each with less to read.
    let (mut at, mut upto, mut balances) = (Position::ZERO, head, None);
    for _ in 0..BALANCE_TRIES {
        at = read_range(parts, &mut books, at, upto, &bar).await?;
        let read = all_balances(parts).await?;
        let now = parts.store.head().await?.position;
        if now == upto {
            balances = Some(read);
            break;
        }
        upto = now;
    }
    bar.finish_and_clear();
    let mut turnover: Vec<_> = books
        .turnover()
        .into_iter()
        .filter(|((code, _), _)| !code.is_empty())
        .map(|((code, digits), (completed, captured))| {
            if completed != captured {
                books.faults.push(format!(
                    "money: completed orders are worth {} {code}, {} was captured",
                    Amount(completed).display(digits),
                    Amount(captured).display(digits)
                ));
            }
            format!("completed orders are worth {} {code}, all of it captured", Amount(completed).display(digits))
        })
        .collect();
    books.close(balances.as_ref());
    if balances.is_none() {
        turnover.push("balances not compared, since orders kept coming in".to_owned());
    }
    if turnover.is_empty() {
        turnover.push("no orders".to_owned());
    }
    Ok((books, turnover.join("; ")))
}

async fn read_range(
    parts: &Parts,
    books: &mut Books,
    mut at: Position,
    upto: Position,
    bar: &ProgressBar,
) -> Result<Position> {
    while at < upto {
        let events = parts.store.read_log(at, PAGE).await?;
        if events.is_empty() {
            books.faults.push(format!("store: the log ends at {at}, its head is {upto}"));
            return Ok(upto);
        }
        for recorded in events.iter().take_while(|recorded| recorded.position <= upto) {
            if recorded.position.0 != at.0 + 1 {
                books.faults.push(format!("store: position {} follows {at}", recorded.position));
            }
            at = recorded.position;
            match commands::history::decode(recorded) {
                Ok(events) => books.take(recorded, &events),
                Err(error) => books.faults.push(format!("store: {error}")),
            }
        }
        bar.set_position(at.0.unsigned_abs());
    }
    Ok(at)
}

async fn all_balances(parts: &Parts) -> Result<BTreeMap<String, i64>> {
    let mut all = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = parts.store.list_balances("stock:", &after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(all) };
        after.clone_from(last);
        all.extend(page);
    }
}

async fn ledger_check(parts: &Parts, books: &Books) -> Result<Check> {
    if parts.ledgers.is_empty() {
        let what = "ledgers: not looked at, since the participants are not ours".to_owned();
        return Ok(Check { what, faults: vec![] });
    }
    let accounts = ledgers::read(&parts.ledgers, books).await?;
    let what = format!("ledgers: {} orders in the participants' ledgers agree with the store", accounts.len());
    Ok(Check { what, faults: ledgers::compare(&accounts, books) })
}

async fn kafka_check(parts: &Parts, head: Position) -> Result<Check> {
    let Some(kafka) = &parts.kafka else {
        return Ok(Check { what: "kafka: not looked at, since none is set".to_owned(), faults: vec![] });
    };
    let bar = progress("reading Kafka", head.0);
    let progress = |done: Position| bar.set_position(done.0.unsigned_abs());
    let report = wiring::verify_chain(kafka, parts.store.as_ref(), head, CATCH_UP, &progress)
        .await
        .context("Kafka can't be verified")?;
    bar.finish_and_clear();
    Ok(Check { what: format!("kafka: {}", report.0), faults: report.1 })
}

async fn projection_check(parts: &Parts, head: Position) -> Result<Check> {
    let bar = progress("replaying the projections", head.0);
    let deadline = Instant::now() + CATCH_UP;
    let mut compared = queries::projections::verify_projections(parts.store.clone(), &parts.database).await?;
    while compared.position < head && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(500)).await;
        compared = queries::projections::verify_projections(parts.store.clone(), &parts.database).await?;
    }
    bar.finish_and_clear();
    let mut faults: Vec<_> = compared
        .differences
        .iter()
        .map(|difference| {
            let side = if difference.missing { "lacks" } else { "has, and a replay has not," };
            format!("projections: {} {side} {}", difference.table, difference.row)
        })
        .collect();
    if compared.position < head {
        faults.push(format!("projections: at {}, not at {head}, after {} s", compared.position, CATCH_UP.as_secs()));
    }
    let what = format!("projections: {} rows equal a replay up to {}", compared.rows, compared.position);
    Ok(Check { what, faults })
}

fn progress(what: &str, length: i64) -> ProgressBar {
    let bar = ProgressBar::new(length.unsigned_abs());
    if let Ok(style) = ProgressStyle::with_template("{msg}  {bar:30} {percent:>3} %  {elapsed} of about {duration}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
