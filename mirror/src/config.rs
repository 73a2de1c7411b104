//! Which Kafka, and how the topics are made there.
use rdkafka::ClientConfig;
use std::collections::BTreeMap;

/// Partitions of a new topic, unless told otherwise. Fixed for the topic's life.
pub const DEFAULT_PARTITIONS: i32 = 8;

#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `bootstrap.servers`: `host:port`, several parted by commas.
    pub brokers: String,
    /// Begins the names of topics and of the transactional id.
    pub topic_prefix: String,
    /// Of topics that are created; one that exists keeps its own count. At most 256, the number of slots.
    pub partitions: i32,
    /// Copies of each partition of topics that are created.
    pub replication: i32,
    /// `min.insync.replicas` of topics that are created; `None`: the broker's default.
    pub min_insync_replicas: Option<i32>,
    pub start: Start,
    /// Passed to librdkafka as it is, after all of ours: `security.protocol`, `sasl.*`, `ssl.*`…
    pub extra: BTreeMap<String, String>,
}

/// Where a relay begins on a Kafka that holds nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the beginning of the log: real Kafka.
    Beginning,
    /// At the head: a broker that forgets all at exit.
    AtHead,
}

impl KafkaConfig {
    pub fn new(brokers: impl Into<String>) -> Self {
        KafkaConfig {
            brokers: brokers.into(),
            topic_prefix: "waybill".into(),
            partitions: DEFAULT_PARTITIONS,
            replication: 1,
            min_insync_replicas: None,
            start: Start::Beginning,
            extra: BTreeMap::new(),
        }
    }

    /// librdkafka's settings that every client of ours shares.
    pub(crate) fn client(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", client_id)
            .set("log.connection.close", "false")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true");
        config
    }

    /// The user's own settings have the last word.
    pub(crate) fn finish(&self, mut config: ClientConfig) -> ClientConfig {
        for (key, value) in &self.extra {
            config.set(key, value);
        }
        config
    }
}
