//! Reads partitions side by side, each at its own pace, so that they can be merged by position in bounded memory: librdkafka
//! holds back what isn't asked for yet.
use crate::{
    KafkaConfig, MirrorError, Routing,
    error::WireError,
    topics::{Lane, Quiet, Rebalance},
    wire::{self, Decoded},
};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, base_consumer::PartitionQueue},
    error::KafkaError,
};
use std::{
    sync::{Arc, mpsc::Sender},
    time::Duration,
};
use tokio::sync::Notify;

/// What librdkafka fetches ahead of us, for each partition.
const AHEAD_KBYTES: &str = "2048";
const AHEAD_MESSAGES: &str = "2000";

/// A record as it was read. Its headers may not be ours.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) decoded: Result<Decoded, WireError>,
}

#[derive(Debug)]
pub(crate) enum Next {
    Record(Box<Read>),
    /// Nothing more for now: the end was reached.
    End,
    /// On its way.
    Nothing,
}

pub(crate) struct Lanes {
    consumer: Arc<BaseConsumer<Quiet>>,
    queues: Vec<Option<PartitionQueue<Quiet>>>,
    routing: Arc<Routing>,
    woken: Arc<Notify>,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("routing", &self.routing).finish_non_exhaustive()
    }
}

/// A consumer for lanes. It commits nothing and believes no committed offset.
pub(crate) fn consumer(
    config: &KafkaConfig,
    client_id: &str,
    isolation: &str,
    latency: Duration,
) -> Result<Arc<BaseConsumer<Quiet>>, MirrorError> {
    let mut settings = settings(config, client_id, isolation, latency);
    settings.set("group.id", client_id);
    Ok(Arc::new(config.finish(settings).create_with_context(Quiet::default())?))
}

/// A feed's consumer. In a group, what the group wants is told to `rebalances`.
pub(crate) fn feed_consumer(
    config: &KafkaConfig,
    group: Option<&str>,
    latency: Duration,
    rebalances: Sender<Rebalance>,
) -> Result<Arc<BaseConsumer<Quiet>>, MirrorError> {
    let mut settings = settings(config, "waybill-feed", "read_uncommitted", latency);
    settings
        .set("group.id", group.unwrap_or("waybill-feed"))
        // Gives a member the same partitions of both topics, as long as they have as many.
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1000");
    let context = Quiet { rebalances: Some(rebalances) };
    Ok(Arc::new(config.finish(settings).create_with_context(context)?))
}

fn settings(config: &KafkaConfig, client_id: &str, isolation: &str, latency: Duration) -> ClientConfig {
    let mut settings = config.client(client_id);
    settings
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("fetch.wait.max.ms", latency.as_millis().to_string())
        .set("fetch.error.backoff.ms", "50")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.min.messages", AHEAD_MESSAGES)
        .set("queued.max.messages.kbytes", AHEAD_KBYTES);
    settings
}

impl Lanes {
    /// Reads each of these lanes from its offset on.
    pub(crate) fn open(
        consumer: Arc<BaseConsumer<Quiet>>,
        routing: Arc<Routing>,
        from: &[(Lane, i64)],
    ) -> Result<Lanes, MirrorError> {
        let woken = Arc::new(Notify::new());
        let places: Vec<_> = routing.lanes().collect();
        let mut queues: Vec<Option<PartitionQueue<Quiet>>> = places.iter().map(|_| None).collect();
        let mut assignment = TopicPartitionList::new();
        for (lane, offset) in from {
            let (_, topic, partition) = places[lane.0];
            // Parted before it is assigned: so nothing of it, nor its end, comes by the common queue.
            let queue = consumer.split_partition_queue(routing.name(topic), partition);
            let mut queue = queue.ok_or_else(|| MirrorError::TopicChanged {
                topic: routing.name(topic).to_owned(),
                what: format!("partition {partition} can't be read"),
            })?;
            let told = woken.clone();
            queue.set_nonempty_callback(move || told.notify_one());
            queues[lane.0] = Some(queue);
            assignment.add_partition_offset(routing.name(topic), partition, Offset::Offset(*offset))?;
        }
        consumer.assign(&assignment)?;
        Ok(Lanes { consumer, queues, routing, woken })
    }

    /// Told whenever something may have come for a lane that had nothing.
    pub(crate) fn woken(&self) -> Arc<Notify> {
        self.woken.clone()
    }

    /// The lane's next record, waiting this long for it.
    pub(crate) fn next(&self, lane: Lane, wait: Duration) -> Result<Next, MirrorError> {
        let Some(Some(queue)) = self.queues.get(lane.0) else { return Ok(Next::End) };
        match queue.poll(wait) {
            None => Ok(Next::Nothing),
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(Next::End),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(record)) => Ok(Next::Record(Box::new(read(&record)))),
        }
    }

    /// The consumer's own events: faults that aren't of one lane.
    pub(crate) fn serve(&self) -> Result<(), MirrorError> {
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.queues.clear();
        let consumer = self.consumer.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(consumer))),
            Err(_) => drop(consumer),
        }
    }
}

fn read<M: Message>(record: &M) -> Read
where
    M::Headers: rdkafka::message::Headers,
{
    Read { offset: record.offset(), key: record.key().unwrap_or_default().to_vec(), decoded: wire::decode(record) }
}
