//! `waybill log export` and `waybill log import`: the log as a file of JSON lines. `docs/log-format.md` says what is in it.
use super::{CANNOT_RUN, FAULTS, fail};
use crate::{config::Settings, wiring};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use eventstore::{
    AsOf, Log, Position,
    log_file::{self, Counts, ImportError},
    sql,
};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::PgPool;
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

const MADE_BY: &str = concat!("waybill ", env!("CARGO_PKG_VERSION"));
/// How often people are told how far it is.
const TOLD_EVERY: i64 = 1_000;

#[derive(Subcommand, Clone, Debug)]
pub enum LogCommand {
    /// Writes the log as lines of JSON; appends go on meanwhile
    Export(Export),
    /// Reads such a file into an empty database; all of it or nothing
    Import(Import),
}

#[derive(Args, Clone, Debug)]
pub struct Export {
    /// Events and claims up to then alone, for reading: such a file can't be imported
    #[arg(long, value_name = "POSITION|TIME")]
    pub as_of: Option<AsOf>,
    /// Where to; gzipped when its name ends in .gz [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct Import {
    /// What `waybill log export` wrote, plain or gzipped
    pub file: PathBuf,
}

pub async fn run(settings: &Settings, command: &LogCommand) -> ExitCode {
    let outcome = match command {
        LogCommand::Export(asked) => export(settings, asked).await,
        LogCommand::Import(asked) => import(settings, asked).await,
    };
    match outcome {
        // Standard output may be the file.
        Ok(told) => {
            eprintln!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) if matches!(error.downcast_ref(), Some(ImportError::Faults(_))) => fail(&error, FAULTS),
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn export(settings: &Settings, asked: &Export) -> Result<String> {
    let pool = wiring::pool(&wiring::database_url(settings)?).await?;
    let as_of = match asked.as_of {
        Some(as_of) => Some(log_file::position(&pool, Log::MAIN, as_of).await?),
        None => None,
    };
    let counts = match &asked.out {
        Some(path) => export_to(&pool, as_of, path).await?,
        None => {
            let mut out = BufWriter::new(io::stdout());
            log_file::export(&pool, Log::MAIN, as_of, MADE_BY, &mut out, &|_| ()).await?
        }
    };
    let then = as_of.map(|position| format!(", as of position {position}")).unwrap_or_default();
    Ok(format!("exported {}{then}", told(&counts)))
}

/// The file is there whole or not at all.
async fn export_to(pool: &PgPool, as_of: Option<Position>, path: &Path) -> Result<Counts> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = File::create(&part).with_context(|| format!("{} can't be written", part.display()))?;
    let written = export_into(pool, as_of, file, path.extension().is_some_and(|extension| extension == "gz")).await;
    let finished = written.and_then(|counts| {
        fs::rename(&part, path).with_context(|| format!("{} can't be written", path.display()))?;
        Ok(counts)
    });
    if finished.is_err() {
        let _ = fs::remove_file(&part);
    }
    finished
}

async fn export_into(pool: &PgPool, as_of: Option<Position>, file: File, zipped: bool) -> Result<Counts> {
    let bar = spinner("exporting");
    let told = |position: Position| tell(&bar, position);
    let mut out = BufWriter::new(file);
    let counts = if zipped {
        let mut zip = GzEncoder::new(&mut out, Compression::default());
        let counts = log_file::export(pool, Log::MAIN, as_of, MADE_BY, &mut zip, &told).await?;
        zip.finish()?;
        counts
    } else {
        log_file::export(pool, Log::MAIN, as_of, MADE_BY, &mut out, &told).await?
    };
    out.flush()?;
    out.get_ref().sync_all()?;
    bar.finish_and_clear();
    Ok(counts)
}

async fn import(settings: &Settings, asked: &Import) -> Result<String> {
    let mut input = open(&asked.file).with_context(|| format!("{} can't be read", asked.file.display()))?;
    let pool = wiring::pool(&wiring::database_url(settings)?).await?;
    sql::migrate(&pool).await?;
    let bar = spinner("importing");
    let counts = log_file::import(&pool, Log::MAIN, &mut *input, &|position| tell(&bar, position)).await;
    bar.finish_and_clear();
    let counts = counts.with_context(|| format!("{} is not imported", asked.file.display()))?;
    Ok(format!("imported {}; `waybill verify --store` proves it", told(&counts)))
}

/// Gzipped or not: its first bytes say so.
fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    if path.is_dir() {
        bail!("it is a folder");
    }
    let mut file = BufReader::new(File::open(path)?);
    let zipped = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if zipped { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

fn told(counts: &Counts) -> String {
    let Counts { events, claims, balances, timers, sealed, checkpoints } = counts;
    format!(
        "{events} events, {claims} claims, {balances} balances, {timers} timers, {sealed} sealed entries, {checkpoints} checkpoints"
    )
}

fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{msg}  position {pos}  {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn tell(bar: &ProgressBar, position: Position) {
    if position.0 % TOLD_EVERY == 0 {
        bar.set_position(position.0.unsigned_abs());
    }
}
