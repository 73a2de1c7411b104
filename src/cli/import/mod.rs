//! `waybill import`: places each line of a JSONL file as an order, or each row of a `location,sku,quantity` CSV as goods in, through
//! the API of a running server. Again is harmless: keys and refs derive from what the file holds.
pub(in crate::cli) mod input;
mod orders;
mod report;
mod stock;

use super::{CANNOT_RUN, FAULTS, client::Client, fail};
use crate::{bootstrap::DEV_SHOP, config::Settings};
use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use input::{Input, Kind};
use report::{Rejects, Report};
use std::{path::PathBuf, process::ExitCode, time::Instant};

const DEFAULT_CONCURRENCY: usize = 64;
const MAX_CONCURRENCY: u64 = 1024;

/// Places orders (JSONL, one body of `POST /v1/orders` a line) or takes goods in (CSV: location,sku,quantity)
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// FILE.jsonl or FILE.csv, also with .gz
    pub file: PathBuf,
    /// How many requests are under way at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY as u64, value_parser = clap::value_parser!(u64).range(1..=MAX_CONCURRENCY))]
    pub concurrency: u64,
    /// Waits until each order is completed or cancelled
    #[arg(long)]
    pub wait: bool,
    /// Where rejected lines go, with their reasons [default: FILE.rejected.jsonl]
    #[arg(long, value_name = "PATH")]
    pub rejects: Option<PathBuf>,
    /// Whose goods come in [default: the shop of dev-keys.json when its key is used, else the only shop]
    #[arg(long)]
    pub shop: Option<String>,
}

pub async fn run(settings: &Settings, import: &Import) -> ExitCode {
    match prepare(settings, import).await {
        Err(error) => fail(&error, CANNOT_RUN),
        Ok((client, input, rejects)) => match execute(settings, client, import, input, rejects).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, FAULTS),
        },
    }
}

async fn prepare(settings: &Settings, import: &Import) -> Result<(Client, Input, Rejects)> {
    let input = Input::open(&import.file)?;
    match input.kind {
        Kind::Orders if import.shop.is_some() => bail!("--shop is for goods in: orders belong to the shop of the key"),
        Kind::Orders => {}
        // A file that is something else is told before anything is done.
        Kind::Stock => drop(stock::table(&input, &ProgressBar::hidden())?),
    }
    let rejects = import.rejects.clone().unwrap_or_else(|| {
        let mut name = import.file.clone().into_os_string();
        name.push(".rejected.jsonl");
        name.into()
    });
    let rejects = Rejects::create(rejects)?;
    let (client, probe) = match input.kind {
        Kind::Orders => (Client::find(settings, |keys| keys.shop)?, "/v1/orders?ref=import"),
        Kind::Stock => (Client::find(settings, |keys| keys.warehouse)?, "/readyz"),
    };
    client.check(probe).await?;
    Ok((client, input, rejects))
}

async fn execute(
    settings: &Settings,
    client: Client,
    import: &Import,
    input: Input,
    mut rejects: Rejects,
) -> Result<()> {
    let bar = progress_bar(&input);
    let started = Instant::now();
    let concurrency = usize::try_from(import.concurrency).unwrap_or(DEFAULT_CONCURRENCY);
    let mut report = Report::default();
    let kind = input.kind;
    let done = match kind {
        Kind::Orders => orders::place(&client, input, concurrency, import.wait, &bar, &mut report, &mut rejects).await,
        Kind::Stock => {
            // The key of dev-keys.json is for any shop; whoever takes it means the one that was made with it.
            let dev = settings.key.is_none().then_some(DEV_SHOP);
            let shop = import.shop.as_deref().or(dev);
            stock::receive(&client, input, concurrency, shop, &bar, &mut report, &mut rejects).await
        }
    };
    bar.finish_and_clear();
    let rejected_to = rejects.finish().context("the rejected lines can't be written")?;
    // What was reached is told also when it ends early.
    say!("{}", report.table(kind, import.wait, started.elapsed()));
    if let Some(path) = rejected_to {
        say!("rejected lines: {}", path.display());
    }
    done
}

fn progress_bar(input: &Input) -> ProgressBar {
    let bar = ProgressBar::new(input.bytes);
    let template = "{bar:30} {percent:>3} %  {msg}  {elapsed} of about {duration}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
