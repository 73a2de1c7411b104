//! `waybill bench waiting`: what many orders cost that wait for the warehouse.
use super::orders::place;
use super::{Running, as_store};
use crate::{
    cli::bench::{figures::Figures, histories::At, load::open, process},
    config::Settings,
};
use anyhow::{Context, Result, ensure};
use clap::Args;
use eventstore::sql::bench::Scratch;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// From the last one that was loaded until the process counts as idle.
const SETTLE: Duration = Duration::from_secs(1);

/// Orders that wait for the warehouse: how fast they are loaded after a restart, and what they cost
///
/// So many orders are placed, paid and released to a MANUAL location. Then a process starts: until it has taken up all of them, by how much
/// its memory grows, and what it needs of a core while nothing happens.
#[derive(Args, Debug)]
pub struct WaitingBench {
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    sagas: usize,
    /// How long the idle process is watched
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    seconds: f64,
    #[arg(long, default_value_t = 3, value_name = "N")]
    repeats: usize,
    /// Ends with one line of JSON
    #[arg(long)]
    pub(in crate::cli::bench) json: bool,
}

pub(in crate::cli::bench) async fn run(server: &str, bench: &WaitingBench) -> Result<Figures> {
    ensure!(bench.repeats > 0 && bench.sagas > 0, "repeats and sagas must be at least 1");
    let scratch = Scratch::create(server).await?;
    let measured = measure(server, &scratch, bench).await;
    scratch.remove().await?;
    measured
}

async fn measure(server: &str, scratch: &Scratch, bench: &WaitingBench) -> Result<Figures> {
    let began = Instant::now();
    place(&as_store(&open(scratch).await?), bench.sagas, At::Warehouse).await?;
    say!("# {} orders wait for the warehouse, placed in {:.1} s", bench.sagas, began.elapsed().as_secs_f64());
    let mut loaded = Vec::new();
    for _ in 0..bench.repeats {
        loaded.push(in_a_process(server, scratch, bench).await?);
    }
    let all = |of: fn(&Loaded) -> f64| -> Vec<f64> { loaded.iter().map(of).collect() };
    let mut figures = Figures::default();
    let name = |figure: &str| format!("waiting.n{}.{figure}", bench.sagas);
    let load = figures.add(name("load_s"), "s", &all(|loaded| loaded.load_s));
    let memory = figures.add(name("memory_mib"), "MiB", &all(|loaded| loaded.memory_mib));
    let idle = figures.add(name("idle_cpu_percent"), "%", &all(|loaded| loaded.idle_cpu_percent));
    say!("loaded in {load} s; {memory} MiB of memory; {idle} % of a core while idle");
    Ok(figures)
}

/// Each time in a new process: what the one that made the orders has freed would be used again, and hide the growth.
async fn in_a_process(server: &str, scratch: &Scratch, bench: &WaitingBench) -> Result<Loaded> {
    let exe = std::env::current_exe().context("the running program can't be found")?;
    let mut command = tokio::process::Command::new(exe);
    command.args(["bench", "waiting-process", "--database", scratch.name()]);
    command.args(["--sagas", &bench.sagas.to_string(), "--seconds", &bench.seconds.to_string()]);
    // Not an argument, which others could read.
    let output = command.env("DATABASE_URL", server).kill_on_drop(true).output().await?;
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the process failed: {errors}");
    serde_json::from_str(&told).with_context(|| format!("the process told {told:?}"))
}

/// The process that takes the sagas up.
#[derive(Args, Debug)]
pub struct WaitingProcess {
    #[arg(long)]
    database: String,
    #[arg(long)]
    sagas: usize,
    #[arg(long)]
    seconds: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Loaded {
    load_s: f64,
    memory_mib: f64,
    idle_cpu_percent: f64,
}

/// One line of JSON.
pub(in crate::cli::bench) async fn take_up(settings: &Settings, process: &WaitingProcess) -> Result<()> {
    let server = settings.database_url.as_deref().context("DATABASE_URL is not set")?;
    let store = open(&Scratch::existing(server, &process.database)?).await?;
    let own = std::process::id();
    let memory_mib = || anyhow::Ok(process::told(own, "status", "VmRSS:")? / 1_024.0);
    let (before, began) = (memory_mib()?, Instant::now());
    let running = Running::on(store);
    running.until("all sagas are loaded", |status| status.put_down >= process.sagas).await?;
    let load_s = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let memory_mib = (memory_mib()? - before).max(0.0);
    let (used, watched) = (process::cpu(own)?, Instant::now());
    tokio::time::sleep(Duration::from_secs_f64(process.seconds)).await;
    let idle_cpu_percent = 100.0 * (process::cpu(own)? - used).as_secs_f64() / watched.elapsed().as_secs_f64();
    running.stop().await?;
    say!("{}", serde_json::to_string(&Loaded { load_s, memory_mib, idle_cpu_percent })?);
    Ok(())
}
