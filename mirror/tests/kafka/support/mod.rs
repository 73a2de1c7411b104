//! A log of orders to mirror, and outsiders who read Kafka and know nothing of us.
pub(crate) mod outsider;
pub(crate) mod server;
mod shop;

pub(crate) use shop::Shop;

use mirror::{KafkaConfig, RelayHandle, RelayState, RelayStatus};
use rand::{SeedableRng as _, rngs::StdRng};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};
use uuid::Uuid;

pub(crate) const PARTITIONS: i32 = 4;

/// Topics of its own on a Kafka.
pub(crate) fn config(brokers: &str) -> KafkaConfig {
    KafkaConfig {
        topic_prefix: format!("t{}", Uuid::now_v7().simple()),
        partitions: PARTITIONS,
        ..KafkaConfig::new(brokers)
    }
}

/// What comes of a seed that is printed, or of the one that is given.
pub(crate) fn dice() -> StdRng {
    let given = std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(rand::random);
    println!("seed {seed}: repeat with WAYBILL_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

pub(crate) async fn until(relay: &RelayHandle, what: impl Fn(&RelayStatus) -> bool) -> RelayStatus {
    let mut watch = relay.watch();
    let reached = tokio::time::timeout(Duration::from_secs(60), watch.wait_for(|status| what(status))).await;
    reached.unwrap_or_else(|_| panic!("the relay is at {:?}", relay.status())).unwrap().clone()
}

pub(crate) async fn caught_up(relay: &RelayHandle, head: i64) {
    until(relay, |status| status.state == RelayState::Running && status.position.0 >= head).await;
}

/// Waits until one of them, whichever is at work, has carried all.
pub(crate) async fn one_caught_up(relays: &[RelayHandle], head: i64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let done = |relay: &RelayHandle| relay.status().state == RelayState::Running && relay.status().position.0 >= head;
    while !relays.iter().any(done) {
        let states: Vec<_> = relays.iter().map(RelayHandle::status).collect();
        assert!(Instant::now() < deadline, "head {head}, relays {states:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A record as any reader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) headers: BTreeMap<String, String>,
}

pub(crate) fn topics(config: &KafkaConfig) -> [String; 2] {
    ["order", "stock"].map(|subject| format!("{}.{subject}.v1", config.topic_prefix))
}

fn plain(config: &KafkaConfig) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", "outsider")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .create()
        .unwrap()
}

/// Reads both topics from the first record to the last, committed ones only.
pub(crate) fn read_all(config: &KafkaConfig) -> Vec<Seen> {
    let consumer = plain(config);
    let mut seen = Vec::new();
    for topic in topics(config) {
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            assignment.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let mut open: HashSet<i32> = (0..PARTITIONS).collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !open.is_empty() {
            assert!(Instant::now() < deadline, "{topic} doesn't end");
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                Some(Err(error)) => panic!("{error}"),
                Some(Ok(record)) => seen.push(see(&record)),
            }
        }
    }
    seen
}

fn see<M: Message>(record: &M) -> Seen
where
    M::Headers: rdkafka::message::Headers,
{
    use rdkafka::message::Headers as _;
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
    let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
    Seen {
        topic: record.topic().to_owned(),
        partition: record.partition(),
        offset: record.offset(),
        key: text(record.key()),
        value: text(record.payload()),
        headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
    }
}

/// Fails unless each event was seen once and, key by key, in order. Looks at keys and values alone.
pub(crate) fn assert_each_once_in_order(seen: &[Seen], expected: &BTreeMap<String, i64>) {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for record in seen {
        let value: serde_json::Value = serde_json::from_str(&record.value).unwrap();
        assert_eq!(value["key"], record.key.as_str());
        let count = counts.entry(record.key.clone()).or_default();
        *count += 1;
        let place = (&record.topic, record.partition, record.offset);
        assert_eq!(value["n"], *count, "{} at {place:?} is out of order, doubled or follows a gap", record.key);
    }
    assert_eq!(&counts, expected, "every event of every key");
}

/// Fails unless each record names the one before it in its partition.
pub(crate) fn assert_chained(seen: &[Seen]) {
    let mut last: HashMap<(String, i32), String> = HashMap::new();
    for record in seen {
        let before = last.insert((record.topic.clone(), record.partition), record.headers["waybill-position"].clone());
        assert_eq!(record.headers["waybill-prev"], before.unwrap_or_else(|| "0".into()), "{record:?}");
    }
}
