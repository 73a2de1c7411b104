//! `waybill up`: starts everything, says where it is, and stops it all again within ten seconds of a signal.
mod servers;

use super::{CANNOT_RUN, fail};
use crate::{
    backup,
    config::Settings,
    embedded::{
        Launcher,
        data_dir::{DataDir, Run},
    },
    health::{self, Health, Part},
    lifecycle::{self, Server},
    roles::{Role, Roles},
    telemetry, wiring,
};
use anyhow::{Context, Result};
use clap::Parser;
use servers::Servers;
use std::{process::ExitCode, sync::Arc, time::Instant};
use tokio_util::sync::CancellationToken;

/// Starts everything, or the roles named, and what servers they need
///
/// Without DATABASE_URL a PostgreSQL is started; without KAFKA_BROKERS, for a relay, a Kafka; for sagas the two simulated providers, unless
/// their URLs are set. Processes that share a database need the same master key (--master-key-file) where they have the role api or sagas.
#[derive(Parser, Clone, Debug, Default)]
pub struct Up {
    /// What this process is for [default: api,relay,sagas,projections]
    #[arg(long, env = "WAYBILL_ROLE", value_enum, value_delimiter = ',', value_name = "ROLE,…")]
    pub role: Option<Vec<Role>>,
    /// Of a replica: empties its copy of the log and what was built from it, and begins anew
    #[arg(long)]
    pub from_scratch: bool,
}

pub async fn run(settings: &Settings) -> ExitCode {
    match up(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn up(settings: &Settings) -> Result<()> {
    let started = Instant::now();
    telemetry::init_logs(settings)?;
    let stop = lifecycle::stop_on_signal()?;
    // The folder first: a second `up` on it must touch nothing.
    let data_dir = DataDir::open(&settings.data_dir)?;
    backup::refuse_half_restored(&data_dir)?;
    let health = Arc::new(Health::default());
    health.report("start", Part::Down { detail: "starting".to_owned() });
    let server = Server::bind(settings.http_addr, health::router(health.clone(), telemetry::init_metrics()?)).await?;
    let outcome = serve(settings, &data_dir, &health, &server, started, &stop).await;
    // Also after an error: nothing that was started may stay behind.
    server.stop().await;
    data_dir.remove_run_json()?;
    outcome
}

/// Everything between the listening socket and the signal to stop.
async fn serve(
    settings: &Settings,
    data_dir: &DataDir,
    health: &Arc<Health>,
    server: &Server,
    started: Instant,
    stop: &CancellationToken,
) -> Result<()> {
    let exe = std::env::current_exe().context("the running program can't be found")?;
    let launcher = Launcher::new(exe, data_dir);
    let servers = tokio::select! {
        servers = Servers::start(settings, data_dir, &launcher, health) => servers?,
        () = stop.cancelled() => return Ok(()),
    };
    let addresses = servers.addresses(settings);
    let app = tokio::select! {
        app = wiring::App::start(settings, data_dir, &addresses, health.clone()) => app,
        () = stop.cancelled() => {
            servers.stop().await;
            return Ok(());
        }
    };
    let app = match app {
        Ok(app) => app,
        Err(error) => {
            servers.stop().await;
            return Err(error);
        }
    };
    server.gate.open(app.router());
    data_dir.write_run_json(&Run {
        http: Some(format!("http://{}", server.addr)),
        payment: addresses.payment.clone(),
        shipping: addresses.shipping.clone(),
        postgres: Some(addresses.postgres.clone()),
        kafka: addresses.kafka.as_ref().map(|kafka| kafka.brokers.clone()),
        kafka_in_process: addresses.kafka_in_process,
    })?;
    health.report("start", Part::OK);
    say_hello(settings, server, data_dir, &addresses, started);
    stop.cancelled().await;
    health.report("start", Part::Down { detail: "stopping".to_owned() });
    app.stop().await;
    servers.stop().await;
    tracing::info!("stopped");
    Ok(())
}

fn say_hello(
    settings: &Settings,
    server: &Server,
    data_dir: &DataDir,
    addresses: &wiring::Addresses,
    started: Instant,
) {
    let ours = |url: &Option<String>| url.clone().unwrap_or_else(|| "in this process".to_owned());
    let has = |role| settings.roles.has(role);
    say!("Waybill {} is up after {:.1} s", env!("CARGO_PKG_VERSION"), started.elapsed().as_secs_f64());
    if settings.roles != Roles::all() {
        say!("  roles     {}", settings.roles);
    }
    match (has(Role::Api), settings.roles.append()) {
        (true, true) => {
            say!("  API       http://{}/v1  (described at /openapi.json)", server.addr);
            say!("  GraphQL   http://{}/graphql", server.addr);
            say!("  keys      {}", data_dir.join(super::client::DEV_KEYS).display());
        }
        (true, false) => say!("  GraphQL   http://{}/graphql", server.addr),
        (false, _) => say!("  health    http://{}/readyz, /metrics", server.addr),
    }
    match (&addresses.kafka, addresses.kafka_in_process) {
        (None, _) => {}
        (Some(kafka), false) => say!("  Kafka     {}", kafka.brokers),
        (Some(kafka), true) => say!(
            "  Kafka     {}, a stand-in inside this process: it keeps 5 MiB a partition and forgets all at exit. Install Java 17 or later for the real one",
            kafka.brokers
        ),
    }
    if has(Role::Sagas) {
        say!("  payment   {}", ours(&addresses.payment));
        say!("  shipping  {}", ours(&addresses.shipping));
    }
    say!("  state     {}", data_dir.path().display());
}
