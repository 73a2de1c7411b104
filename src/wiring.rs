//! Builds the parts and joins them: the only place where they meet.
mod app;
mod ports;
mod reports;

pub use app::{Addresses, App};

use crate::{config::Settings, embedded::data_dir};
use anyhow::{Context, Result};
use eventstore::{EventStore, Position};
use mirror::KafkaConfig;
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{sync::Arc, time::Duration};

/// Connections of the pool: reads, and what no batch gathers.
const POOL_CONNECTIONS: u32 = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

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
    let options = PgPoolOptions::new().max_connections(POOL_CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT);
    options.connect(url).await.context("PostgreSQL can't be reached: check DATABASE_URL")
}

/// What Kafka holds against the store, up to a position: a sentence, and the faults.
pub async fn verify_chain(
    kafka: KafkaConfig,
    store: Arc<dyn EventStore>,
    upto: Position,
    catch_up: Duration,
    progress: impl Fn(u64) + Send + Sync,
) -> Result<(String, Vec<String>)> {
    let _ = (kafka, store, upto, catch_up, progress);
    anyhow::bail!("to be joined")
}
