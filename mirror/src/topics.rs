//! Which topic, partition and key an event goes to, and the making of the topics.
use crate::{KafkaConfig, MirrorError};
use eventstore::{Log, RecordedEvent, SLOTS, slot_of};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::{ClientContext, DefaultClientContext},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};
use serde::Deserialize;
use std::{borrow::Cow, sync::Arc, time::Duration};

/// How long a request to the cluster's controller may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request for metadata may take.
pub(crate) const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// The topics, in the order in which everything here counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// All that happens to an order; key `ord_<32 hex digits>`. And who is erased, for whoever keeps orders; key `per_<32 hex digits>`.
    Order,
    /// Receipts, adjustments and locations; key `shop/location/SKU` or `shop/location`.
    Stock,
}

impl Topic {
    pub const ALL: [Topic; 2] = [Topic::Order, Topic::Stock];

    pub fn of(event: &RecordedEvent) -> Topic {
        match event.stream.kind.as_ref() {
            "stock" | "location" => Topic::Stock,
            _ => Topic::Order,
        }
    }

    pub fn index(self) -> usize {
        match self {
            Topic::Order => 0,
            Topic::Stock => 1,
        }
    }
}

/// The topics of one log, as they are: their names and partition counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    names: [String; 2],
    partitions: [i32; 2],
}

/// One partition of one of the topics, counted over both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub usize);

impl Routing {
    pub fn new(prefix: &str, log: Log, partitions: [i32; 2]) -> Self {
        Routing { names: names(prefix, log), partitions: partitions.map(|count| count.clamp(1, SLOTS as i32)) }
    }

    pub fn name(&self, topic: Topic) -> &str {
        &self.names[topic.index()]
    }

    pub fn partitions(&self, topic: Topic) -> i32 {
        self.partitions[topic.index()]
    }

    /// `slot × partitions / 256`: the same for all that shares the event's id.
    pub fn partition(&self, event: &RecordedEvent) -> i32 {
        let slot = i32::from(slot_of(event.stream.id).0);
        slot * self.partitions(Topic::of(event)) / SLOTS as i32
    }

    pub fn lane(&self, event: &RecordedEvent) -> Lane {
        self.lane_at(Topic::of(event), self.partition(event))
    }

    pub fn lane_at(&self, topic: Topic, partition: i32) -> Lane {
        let before = if topic == Topic::Stock { self.partitions[0] } else { 0 };
        Lane((before + partition) as usize)
    }

    pub fn lanes(&self) -> impl Iterator<Item = (Lane, Topic, i32)> + '_ {
        Topic::ALL
            .into_iter()
            .flat_map(move |topic| (0..self.partitions(topic)).map(move |p| (self.lane_at(topic, p), topic, p)))
    }

    pub fn lane_count(&self) -> usize {
        self.partitions.iter().sum::<i32>() as usize
    }

    /// Topic and partition of a lane.
    pub fn place_of(&self, lane: Lane) -> (Topic, i32) {
        match i32::try_from(lane.0).unwrap_or(i32::MAX) {
            number if number < self.partitions[0] => (Topic::Order, number),
            number => (Topic::Stock, number - self.partitions[0]),
        }
    }

    /// The lane that a record was read from; `None`: not one of ours.
    pub fn lane_of(&self, topic: &str, partition: i32) -> Option<Lane> {
        let topic = Topic::ALL.into_iter().find(|known| self.name(*known) == topic)?;
        (partition < self.partitions(topic)).then(|| self.lane_at(topic, partition))
    }
}

/// `waybill.order.v1`; a log that isn't `main` has topics of its own, as its positions are its own.
fn names(prefix: &str, log: Log) -> [String; 2] {
    let middle = match log {
        Log::MAIN => String::new(),
        other => format!("{}.", other.name()),
    };
    ["order", "stock"].map(|subject| format!("{prefix}.{middle}{subject}.v1"))
}

/// The record's key: what its order is kept by.
pub fn key(event: &RecordedEvent) -> String {
    if Topic::of(event) == Topic::Order {
        let prefix = if event.stream.kind == "person" { "per" } else { "ord" };
        return format!("{prefix}_{}", event.stream.id.simple());
    }
    #[derive(Default, Deserialize)]
    struct Place<'a> {
        #[serde(borrow, default)]
        location: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        sku: Option<Cow<'a, str>>,
    }
    let place: Place<'_> = serde_json::from_str(event.payload.get()).unwrap_or_default();
    match (place.location, place.sku) {
        (Some(location), Some(sku)) => format!("{}/{location}/{sku}", event.shop),
        (Some(location), None) => format!("{}/{location}", event.shop),
        // A payload that names neither still keeps its order: by its stream.
        _ => format!("{}/{}", event.shop, event.stream),
    }
}

/// Finds the topics of a log as they are; `None`: one of them isn't there.
pub(crate) fn find<C: ConsumerContext>(
    config: &KafkaConfig,
    log: Log,
    client: &BaseConsumer<C>,
) -> Result<Option<Routing>, MirrorError> {
    let names = names(&config.topic_prefix, log);
    let mut partitions = [0; 2];
    for (name, count) in names.iter().zip(&mut partitions) {
        match partition_count(client, name)? {
            Some(found) => *count = found,
            None => return Ok(None),
        }
    }
    Ok(Some(Routing { names, partitions }))
}

/// As `find`, off the async threads.
pub(crate) async fn look<C: ConsumerContext + 'static>(
    config: &KafkaConfig,
    log: Log,
    client: Arc<BaseConsumer<C>>,
) -> Result<Option<Routing>, MirrorError> {
    let config = config.clone();
    blocking(move || find(&config, log, &client)).await
}

/// Whether none of them is there.
pub(crate) async fn are_absent<C: ConsumerContext + 'static>(
    config: &KafkaConfig,
    log: Log,
    client: Arc<BaseConsumer<C>>,
) -> Result<bool, MirrorError> {
    let names = names(&config.topic_prefix, log);
    blocking(move || {
        let counts: Result<Vec<_>, _> = names.iter().map(|name| partition_count(&client, name)).collect();
        Ok(counts?.iter().all(Option::is_none))
    })
    .await
}

/// Makes the topics that are missing: without end by default, and never compacted. Answers what they are then.
pub(crate) async fn make<C: ConsumerContext + 'static>(
    config: &KafkaConfig,
    log: Log,
    client: Arc<BaseConsumer<C>>,
) -> Result<Routing, MirrorError> {
    create(config, log).await?;
    // The controller has them; the broker that we ask may need a moment more.
    let pause = Duration::from_millis(50);
    let tries = METADATA_TIMEOUT.as_millis() / pause.as_millis();
    for _ in 0..tries {
        if let Some(routing) = look(config, log, client.clone()).await? {
            return Ok(routing);
        }
        tokio::time::sleep(pause).await;
    }
    Err(MirrorError::Silent { doing: "its topics are created", seconds: METADATA_TIMEOUT.as_secs() })
}

async fn create(config: &KafkaConfig, log: Log) -> Result<(), MirrorError> {
    let admin: AdminClient<DefaultClientContext> = config.finish(config.client("waybill-admin")).create()?;
    let min_insync = config.min_insync_replicas.map(|count| count.to_string());
    let names = names(&config.topic_prefix, log);
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| {
            let topic = NewTopic::new(name, config.partitions, TopicReplication::Fixed(config.replication))
                .set("cleanup.policy", "delete")
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1");
            match &min_insync {
                Some(count) => topic.set("min.insync.replicas", count),
                None => topic,
            }
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT));
    let answers = admin.create_topics(&topics, &options).await?;
    let result = answers.into_iter().try_for_each(|answer| match answer {
        Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
        Err((topic, code)) => Err(MirrorError::TopicNotCreated { topic, code }),
    });
    drop_blocking(admin);
    result
}

/// Adds partitions to a topic that holds nothing yet, for example one that a broker made by itself.
pub(crate) async fn grow(config: &KafkaConfig, topic: &str) -> Result<(), MirrorError> {
    let admin: AdminClient<DefaultClientContext> = config.finish(config.client("waybill-admin")).create()?;
    let wanted = NewPartitions::new(topic, config.partitions as usize);
    let answers = admin.create_partitions([&wanted], &AdminOptions::new()).await?;
    drop_blocking(admin);
    answers.into_iter().try_for_each(|answer| match answer {
        Ok(_) => Ok(()),
        Err((topic, code)) => Err(MirrorError::TopicNotCreated { topic, code }),
    })
}

/// How many partitions a topic has; `None`: it isn't there. The client must be a consumer: a producer's question may create it.
fn partition_count<C: ConsumerContext>(client: &BaseConsumer<C>, topic: &str) -> Result<Option<i32>, MirrorError> {
    let metadata = client.fetch_metadata(Some(topic), METADATA_TIMEOUT)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        None if found.partitions().is_empty() => Ok(None),
        None => Ok(Some(found.partitions().len() as i32)),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
        Some(code) => Err(KafkaError::MetadataFetch(code).into()),
    }
}

/// Runs what blocks on librdkafka off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MirrorError> + Send + 'static,
) -> Result<T, MirrorError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| MirrorError::Task(error.to_string()))?
}

/// librdkafka's clients join their threads when dropped.
pub(crate) fn drop_blocking<T: Send + 'static>(client: T) {
    tokio::task::spawn_blocking(move || drop(client));
}

/// Passes librdkafka's own lines on at debug: what matters comes back as errors.
#[derive(Debug, Default)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "rdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "rdkafka", %error, reason, "client error");
    }
}

impl ConsumerContext for Quiet {}
