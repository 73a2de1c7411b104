//! Builds the parts and joins them: the only place where they meet.
mod app;
mod audits;
mod core;
mod participants;
mod ports;
mod read_model;
mod reports;

pub use app::{Addresses, App};

use crate::{
    config::Settings,
    embedded::data_dir,
    roles::{Role, Roles},
};
use anyhow::{Context, Result};
use eventstore::{EventStore, Position, sql::pool_options};
use futures_util::future::join_all;
use mirror::{Gone, KafkaConfig, Start};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::time::{Duration, Instant};

/// Connections of the pool: reads, and what no batch gathers.
const POOL_CONNECTIONS: u32 = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const CATCH_UP_PAUSE: Duration = Duration::from_millis(200);

/// The database given, or that of the running `up`.
pub fn database_url(settings: &Settings) -> Result<String> {
    let running = || anyhow::Ok(data_dir::read_run_json(&settings.data_dir)?.and_then(|run| run.postgres));
    match &settings.database_url {
        Some(url) => Ok(url.clone()),
        None => running()?.context("there is no PostgreSQL: start `waybill up`, or set DATABASE_URL"),
    }
}

/// A pool whose first connection stands.
pub async fn pool(url: &str) -> Result<PgPool> {
    options().connect(url).await.context("PostgreSQL can't be reached: check DATABASE_URL")
}

/// How many connections stand from the start on. Where much comes at once, all: whoever opened one under load would be kept waiting by those who
/// have theirs. The other roles do one thing after another.
fn standing_connections(roles: &Roles) -> u32 {
    if roles.has(Role::Api) || roles.has(Role::Sagas) { POOL_CONNECTIONS } else { 1 }
}

/// A pool of which so many connections stand, and are replaced as they end. The rest are opened as they are needed; also where the database
/// gives fewer.
async fn standing_pool(database: &PgConnectOptions, connections: u32) -> Result<PgPool> {
    let pool = options().min_connections(connections).connect_lazy_with(database.clone());
    let opened = join_all((0..connections).map(|_| pool.acquire())).await;
    let standing = opened.iter().flatten().count();
    if let Some(Err(error)) = opened.into_iter().find(Result::is_err) {
        if standing == 0 {
            return Err(error).context("PostgreSQL can't be reached");
        }
        tracing::warn!(%error, standing, "PostgreSQL gives fewer than {connections} connections");
    }
    Ok(pool)
}

fn options() -> PgPoolOptions {
    pool_options().max_connections(POOL_CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT)
}

/// What Kafka holds against the store.
#[derive(Clone, Debug)]
pub struct ChainCheck {
    pub what: String,
    pub faults: Vec<String>,
    /// What the store has lost by being restored.
    pub gone: Vec<Gone>,
}

/// Compares Kafka with the store, up to a position. A relay that is behind may come up for so long.
pub async fn verify_chain(
    kafka: &KafkaConfig,
    store: &dyn EventStore,
    upto: Position,
    catch_up: Duration,
    progress: &(dyn Fn(Position) + Send + Sync),
) -> Result<ChainCheck> {
    let deadline = Instant::now() + catch_up;
    // The stand-in may hold nothing at all: it began at a head that has not moved since.
    while kafka.start == Start::Beginning && Instant::now() < deadline {
        match mirror::reached(kafka, store).await {
            Ok(reached) if reached >= upto => break,
            Ok(_) => {}
            // Kafka may be coming up as well, or its partitions may be changing hands.
            Err(error) => tracing::debug!(%error, "Kafka is asked again"),
        }
        tokio::time::sleep(CATCH_UP_PAUSE).await;
    }
    let report = mirror::verify_chain(kafka, store, mirror::Range::upto(upto), progress).await?;
    let mut faults: Vec<_> = report.broken.iter().map(|fault| format!("kafka: {fault}")).collect();
    let untold = report.faults.saturating_sub(faults.len() as u64);
    if untold > 0 {
        faults.push(format!("kafka: and {untold} more"));
    }
    let from = match report.from.0 {
        1 => String::new(),
        from => format!(" from position {from} on, where it begins"),
    };
    let trimmed = match report.trimmed {
        0 => String::new(),
        trimmed => format!("; {trimmed} events were trimmed by retention"),
    };
    let what = format!("{} records, each event once, in order and unaltered{from}{trimmed}", report.records);
    Ok(ChainCheck { what, faults, gone: report.gone })
}
