//! Reads partitions side by side, each at its own pace, so that they can be merged by position in bounded memory: librdkafka
//! holds back what isn't asked for yet.
use crate::{
    KafkaConfig, MirrorError, Routing,
    error::WireError,
    foreign,
    topics::{Lane, Quiet},
    wire::{self, Decoded},
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, base_consumer::PartitionQueue},
    error::KafkaError,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Kafka may be silent for this long.
const SILENCE: Duration = Duration::from_secs(30);
const SLICE: Duration = Duration::from_millis(50);

/// What librdkafka fetches ahead of us, for each partition.
const AHEAD_KBYTES: &str = "2048";
const AHEAD_MESSAGES: &str = "2000";
/// The same where a few records are looked at: about one batch of the producer's.
const LITTLE_KBYTES: &str = "256";
const LITTLE_MESSAGES: &str = "100";
const LITTLE_BYTES: &str = "65536";

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
    woken: Arc<Notify>,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").finish_non_exhaustive()
    }
}

/// How much is fetched at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// All of a partition is read: well ahead of us.
    Ahead,
    /// A few records somewhere are looked at.
    Little,
}

/// A consumer for lanes. It is in no group, commits nothing and believes no committed offset. The broker holds an empty fetch for `wait`.
pub(crate) fn consumer(
    config: &KafkaConfig,
    client_id: &str,
    isolation: &str,
    fetch: Fetch,
    wait: Duration,
) -> Result<Arc<BaseConsumer<Quiet>>, MirrorError> {
    let mut settings = config.client(client_id);
    settings
        // Never joined: librdkafka wants the name of one to read at all.
        .set("group.id", client_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("fetch.wait.max.ms", wait.as_millis().to_string())
        .set("fetch.error.backoff.ms", "50")
        .set("fetch.queue.backoff.ms", "5");
    match fetch {
        Fetch::Ahead => {
            settings.set("queued.min.messages", AHEAD_MESSAGES).set("queued.max.messages.kbytes", AHEAD_KBYTES)
        }
        Fetch::Little => settings
            .set("queued.min.messages", LITTLE_MESSAGES)
            .set("queued.max.messages.kbytes", LITTLE_KBYTES)
            .set("fetch.message.max.bytes", LITTLE_BYTES),
    };
    Ok(Arc::new(config.finish(settings).create_with_context(Quiet)?))
}

impl Lanes {
    /// Reads each of these lanes from its offset on.
    pub(crate) fn open(
        consumer: Arc<BaseConsumer<Quiet>>,
        routing: &Routing,
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
        Ok(Lanes { consumer, queues, woken })
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

    /// As `next`, waiting as long as Kafka may be silent; `None`: the end was reached. Blocks.
    pub(crate) fn read(&self, lane: Lane, doing: &'static str) -> Result<Option<Box<Read>>, MirrorError> {
        let deadline = Instant::now() + SILENCE;
        loop {
            match self.next(lane, SLICE)? {
                Next::Record(read) => return Ok(Some(read)),
                Next::End => return Ok(None),
                Next::Nothing if Instant::now() > deadline => {
                    return Err(MirrorError::Silent { doing, seconds: SILENCE.as_secs() });
                }
                Next::Nothing => self.serve()?,
            }
        }
    }

    /// As `read`, passing over what isn't ours; with its offset.
    pub(crate) fn read_own(
        &self,
        routing: &Routing,
        lane: Lane,
        doing: &'static str,
    ) -> Result<Option<(i64, Decoded)>, MirrorError> {
        while let Some(read) = self.read(lane, doing)? {
            match read.decoded {
                Ok(decoded) => return Ok(Some((read.offset, decoded))),
                Err(error) => foreign::pass_over(routing, lane, read.offset, &error),
            }
        }
        Ok(None)
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
