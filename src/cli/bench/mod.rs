//! `waybill bench`: measures, on this machine, what is claimed in docs/benchmarks.md.
//!
//! A benchmark works in databases of its own, on the server that `DATABASE_URL` names or else on one started for it with the durable
//! settings of `waybill up`; nothing of what is there is touched. Lanes that are compared alternate, several times; medians are told
//! with the lowest and the highest.
mod append;
mod codec;
mod figures;
mod growth;
mod histories;
mod load;
mod mirror;
mod path;
mod process;
mod sagas;
mod server;

use super::{CANNOT_RUN, fail};
use crate::config::Settings;
use anyhow::Result;
use clap::Subcommand;
use figures::Figures;
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub enum Bench {
    Append(append::AppendBench),
    Codec(codec::CodecBench),
    Growth(growth::GrowthBench),
    Mirror(mirror::MirrorBench),
    Import(path::import::ImportBench),
    Sagas(path::sagas::SagasBench),
    Timers(sagas::timers::TimersBench),
    Waiting(sagas::waiting::WaitingBench),
    /// The other process of `waiting`
    #[command(hide = true)]
    WaitingProcess(sagas::waiting::WaitingProcess),
    /// The other process of `mirror`
    #[command(hide = true)]
    MirrorReader(mirror::MirrorReader),
}

pub async fn run(settings: &Settings, bench: &Bench) -> ExitCode {
    let (json, measured) = match bench {
        Bench::Append(bench) => (bench.json, measure(settings, async |server| append::run(server, bench).await).await),
        Bench::Codec(bench) => (bench.json, measure(settings, async |server| codec::run(server, bench).await).await),
        Bench::Growth(bench) => (bench.json, measure(settings, async |server| growth::run(server, bench).await).await),
        Bench::Mirror(bench) => {
            (bench.json, measure(settings, async |server| mirror::run(settings, server, bench).await).await)
        }
        Bench::Import(bench) => (bench.telling.json, path::import::run(settings, bench).await),
        Bench::Sagas(bench) => (bench.telling.json, path::sagas::run(settings, bench).await),
        Bench::Timers(bench) => {
            (bench.json, measure(settings, async |server| sagas::timers::run(server, bench).await).await)
        }
        Bench::Waiting(bench) => {
            (bench.json, measure(settings, async |server| sagas::waiting::run(server, bench).await).await)
        }
        Bench::WaitingProcess(process) => {
            return match sagas::waiting::take_up(settings, process).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error, CANNOT_RUN),
            };
        }
        Bench::MirrorReader(reader) => {
            return match mirror::read(reader).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error, CANNOT_RUN),
            };
        }
    };
    match measured {
        Ok(figures) => {
            if json {
                say!("{}", figures.json());
            }
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

/// Runs it against a server, which is stopped again if it was started for this.
async fn measure(settings: &Settings, bench: impl AsyncFnOnce(&str) -> Result<Figures>) -> Result<Figures> {
    let server = server::Server::start(settings).await?;
    let measured = tokio::select! {
        measured = bench(server.url()) => measured,
        stopped = tokio::signal::ctrl_c() => stopped.map_err(Into::into).and(Err(anyhow::anyhow!("interrupted"))),
    };
    server.stop().await;
    measured
}
