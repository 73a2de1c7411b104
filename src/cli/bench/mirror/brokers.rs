//! The Kafka that a benchmark runs on: the one given, or one of its own in `DATA_DIR/bench-kafka`, which is removed afterwards.
use crate::{
    config::Settings,
    embedded::{Launcher, data_dir::DataDir, kafka::Kafka},
};
use anyhow::{Context, Result};
use mirror::KafkaConfig;

/// Beside the state of `waybill up`, on the same disk.
const FOLDER: &str = "bench-kafka";

pub(super) struct Brokers {
    config: KafkaConfig,
    started: Option<(Kafka, DataDir)>,
}

impl Brokers {
    pub(super) async fn start(settings: &Settings) -> Result<Brokers> {
        let config = |brokers: &str, replication| KafkaConfig {
            partitions: settings.kafka_partitions,
            replication: settings.kafka_replication.unwrap_or(replication),
            ..KafkaConfig::new(brokers)
        };
        if let Some(brokers) = &settings.kafka_brokers {
            say!("# on the Kafka that KAFKA_BROKERS names, in topics of the benchmark's own");
            return Ok(Brokers { config: config(brokers, -1), started: None });
        }
        let data_dir = DataDir::open(settings.data_dir.join(FOLDER))?;
        let exe = std::env::current_exe().context("the running program can't be found")?;
        let kafka = Kafka::start(&data_dir, &Launcher::new(exe, &data_dir)).await?;
        let kafka = kafka.context("there is no Java 17 to run a Kafka: install one, or set KAFKA_BROKERS")?;
        say!("# on an Apache Kafka started for this, with the settings of `waybill up`");
        Ok(Brokers { config: config(kafka.brokers(), 1), started: Some((kafka, data_dir)) })
    }

    pub(super) fn config(&self) -> &KafkaConfig {
        &self.config
    }

    pub(super) async fn stop(self) {
        let Some((kafka, data_dir)) = self.started else { return };
        kafka.stop().await;
        let path = data_dir.path().to_owned();
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(%error, path = %path.display(), "the benchmark's data can't be removed");
        }
    }
}
