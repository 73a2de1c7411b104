//! `waybill bench mirror`: how fast an event is in Kafka, as readers in processes of their own see it, and how fast a backlog is carried.
mod backlog;
mod brokers;
mod latency;
mod reader;

pub(super) use reader::MirrorReader;
pub(super) use reader::run as read;

use super::figures::Figures;
use crate::config::Settings;
use anyhow::{Result, ensure};
use brokers::Brokers;
use clap::Args;
use eventstore::{Log, sql::bench::Scratch};
use mirror::KafkaConfig;
use uuid::Uuid;

/// From the commit to readers in other processes; and how fast a backlog is carried and read
///
/// At a fixed rate, whatever becomes of it, appends of two events of about 500 bytes go to a store; this process carries them to Kafka, as
/// `waybill up` does. Two other processes read: `reader` is Waybill's own feed, `outsider` a plain consumer of committed records. Each
/// event's time is from the answer to its append to its receipt, by the machine's clock. Then a relay carries a backlog to new topics, and
/// a feed reads it from the beginning. On the Kafka that KAFKA_BROKERS names, in topics of its own, or on one started for it.
#[derive(Args, Debug)]
pub struct MirrorBench {
    /// Events appended a second
    #[arg(long, default_value_t = 500.0, value_name = "N")]
    rate: f64,
    #[arg(long, default_value_t = 20.0, value_name = "SECONDS")]
    seconds: f64,
    /// Events to catch up with
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    backlog: i64,
    #[arg(long, default_value_t = 3, value_name = "N")]
    repeats: usize,
    /// Ends with one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(settings: &Settings, server: &str, bench: &MirrorBench) -> Result<Figures> {
    ensure!(bench.repeats > 0 && bench.backlog > 0, "repeats and backlog must be at least 1");
    ensure!(bench.rate > 0.0 && bench.seconds > 0.0, "rate and seconds must be above 0");
    let brokers = Brokers::start(settings).await?;
    let scratch = Scratch::create(server).await?;
    let mut figures = Figures::default();
    let mut measured = latency::measure(&scratch, &brokers, bench, &mut figures).await;
    scratch.remove().await?;
    if measured.is_ok() {
        // The backlog is made by the server, in a log of its own.
        let scratch = Scratch::create(server).await?;
        measured = backlog::measure(&scratch, &brokers, bench, &mut figures).await;
        scratch.remove().await?;
    }
    brokers.stop().await;
    measured.map(|()| figures)
}

/// Topics of one measurement.
fn topics_of_its_own(kafka: &KafkaConfig) -> KafkaConfig {
    KafkaConfig { topic_prefix: format!("waybill-bench-{}", Uuid::now_v7().simple()), ..kafka.clone() }
}

async fn remove_topics(kafka: &KafkaConfig) {
    if let Err(error) = mirror::bench::remove_topics(kafka, Log::MAIN).await {
        tracing::warn!(%error, prefix = kafka.topic_prefix, "the benchmark's topics can't be removed");
    }
}
