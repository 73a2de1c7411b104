//! `waybill bench waiting`: what many orders cost that wait for the warehouse.
use super::orders::{At, place};
use super::resident::{cpu, memory_mib};
use super::{Running, as_store};
use crate::cli::bench::{figures::Figures, load::open};
use anyhow::{Result, ensure};
use clap::Args;
use eventstore::sql::bench::Scratch;
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
    let measured = measure(&scratch, bench).await;
    scratch.remove().await?;
    measured
}

async fn measure(scratch: &Scratch, bench: &WaitingBench) -> Result<Figures> {
    let began = Instant::now();
    place(&as_store(&open(scratch).await?), bench.sagas, At::Warehouse).await?;
    say!("# {} orders wait for the warehouse, placed in {:.1} s", bench.sagas, began.elapsed().as_secs_f64());
    let (mut loads, mut memories, mut cores) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.repeats {
        let loaded = load(scratch, bench).await?;
        loads.push(loaded.seconds);
        memories.push(loaded.mib);
        cores.push(loaded.percent);
    }
    let mut figures = Figures::default();
    let name = |figure: &str| format!("waiting.n{}.{figure}", bench.sagas);
    let load = figures.add(name("load_s"), "s", &loads);
    // What an earlier repeat has freed is used again: the first growth is the largest.
    let memory = figures.add(name("memory_mib"), "MiB", &[memories.iter().copied().fold(0.0, f64::max)]);
    let idle = figures.add(name("idle_cpu_percent"), "%", &cores);
    say!("loaded in {load} s; {:.1} MiB of memory; {idle} % of a core while idle", memory.median);
    Ok(figures)
}

struct Loaded {
    seconds: f64,
    mib: f64,
    percent: f64,
}

async fn load(scratch: &Scratch, bench: &WaitingBench) -> Result<Loaded> {
    let store = open(scratch).await?;
    let (before, began) = (memory_mib()?, Instant::now());
    let running = Running::on(store);
    running.until("all sagas are loaded", |status| status.put_down >= bench.sagas).await?;
    let seconds = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let mib = (memory_mib()? - before).max(0.0);
    let (used, watched) = (cpu()?, Instant::now());
    tokio::time::sleep(Duration::from_secs_f64(bench.seconds)).await;
    let percent = 100.0 * (cpu()? - used).as_secs_f64() / watched.elapsed().as_secs_f64();
    running.stop().await?;
    Ok(Loaded { seconds, mib, percent })
}
