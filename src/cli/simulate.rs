//! `waybill simulate payment` and `waybill simulate shipping`: a reference provider, alone.
use super::{CANNOT_RUN, fail};
use crate::{config::Settings, lifecycle, simulate, telemetry};
use clap::Args;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

/// Runs a reference provider alone
#[derive(Args, Clone, Debug)]
pub struct Simulate {
    #[arg(value_enum)]
    pub provider: simulate::Provider,
    /// Where it listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub addr: SocketAddr,
    /// The file of its ledger, which nobody else may write [default: PROVIDER-ledger.jsonl]
    #[arg(long, value_name = "PATH")]
    pub ledger: Option<PathBuf>,
    /// It forgets idempotency keys after so long: used again, they act again [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub key_lifetime: Option<u64>,
}

pub async fn run(settings: &Settings, options: &Simulate) -> ExitCode {
    match serve(settings, options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn serve(settings: &Settings, options: &Simulate) -> anyhow::Result<()> {
    telemetry::init_logs(settings)?;
    let stop = lifecycle::stop_on_signal()?;
    let listener = tokio::net::TcpListener::bind(options.addr)
        .await
        .map_err(|error| anyhow::anyhow!("can't listen on {}: {error}; choose another with --addr", options.addr))?;
    let name = options.provider.name();
    let ledger = options.ledger.clone().unwrap_or_else(|| format!("{name}-ledger.jsonl").into());
    tracing::info!(addr = %listener.local_addr()?, ledger = %ledger.display(), "the {name} simulator takes calls");
    let key_lifetime = options.key_lifetime.map(Duration::from_secs);
    simulate::serve(options.provider, listener, &ledger, key_lifetime, stop).await
}
