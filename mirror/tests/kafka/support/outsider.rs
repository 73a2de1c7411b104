//! Two who know nothing of us: a plain consumer that follows from the beginning, and kcat.
use super::{PARTITIONS, Seen, plain, see, topics};
use mirror::KafkaConfig;
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer as _};
use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Reads committed records in a thread of its own.
pub(crate) struct Outsider {
    seen: Arc<Mutex<Vec<Seen>>>,
    /// The highest position so far: for measurements alone.
    highest: watch::Receiver<i64>,
    _stop: DropGuard,
}

impl Outsider {
    /// Of topics that aren't there yet.
    pub(crate) async fn follow_once_there_is_something(config: &KafkaConfig) -> Outsider {
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_there = || {
            let consumer = plain(config);
            let mark = |topic: &String| consumer.fetch_watermarks(topic, 0, Duration::from_secs(5));
            topics(config).iter().all(|topic| mark(topic).is_ok())
        };
        while !tokio::task::block_in_place(is_there) {
            assert!(Instant::now() < deadline, "the topics don't come");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Outsider::follow(config)
    }

    pub(crate) fn follow(config: &KafkaConfig) -> Outsider {
        let consumer = plain(config);
        let mut assignment = TopicPartitionList::new();
        for topic in topics(config) {
            for partition in 0..PARTITIONS {
                assignment.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
            }
        }
        consumer.assign(&assignment).unwrap();
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (told, highest) = watch::channel(0);
        let (kept, stopped) = (seen.clone(), stop.clone());
        std::thread::spawn(move || {
            while !stopped.is_cancelled() {
                // Errors tell of brokers that are away, and of partitions that have ended for now.
                if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                    let record = see(&record);
                    let position: i64 = record.headers["waybill-position"].parse().unwrap();
                    kept.lock().unwrap().push(record);
                    told.send_if_modified(|highest| std::mem::replace(highest, position.max(*highest)) < position);
                }
            }
        });
        Outsider { seen, highest, _stop: stop.drop_guard() }
    }

    /// How long it takes until it sees an event beyond this position.
    pub(crate) async fn sees_beyond(&self, position: i64) -> Duration {
        let (began, mut highest) = (Instant::now(), self.highest.clone());
        let seen = tokio::time::timeout(Duration::from_secs(90), highest.wait_for(|highest| *highest > position));
        seen.await.unwrap_or_else(|_| panic!("no event after {position} came")).unwrap();
        began.elapsed()
    }

    /// All that it has seen, once it is this much.
    pub(crate) async fn sees(&self, count: usize) -> Vec<Seen> {
        let deadline = Instant::now() + Duration::from_secs(90);
        while self.seen.lock().unwrap().len() < count {
            assert!(Instant::now() < deadline, "{} of {count} events have come", self.seen.lock().unwrap().len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // And what would be too much.
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.seen.lock().unwrap().clone()
    }
}

/// What kcat reads of both topics; `None`: it isn't installed, which it says. In CI that is a failure.
pub(crate) fn kcat(config: &KafkaConfig) -> Option<Vec<Seen>> {
    if Command::new("kcat").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI needs kcat");
        println!("NOT TESTED with kcat: it isn't installed");
        return None;
    }
    let mut seen = Vec::new();
    for topic in topics(config) {
        let mut kcat = Command::new("kcat");
        kcat.args(["-C", "-q", "-e", "-o", "beginning", "-X", "isolation.level=read_committed"]);
        kcat.args(["-b", &config.brokers, "-t", &topic, "-f", "%p\t%o\t%k\t%s\n"]);
        let output = kcat.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let [partition, offset, key, value] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            seen.push(Seen {
                topic: topic.clone(),
                partition: partition.parse().unwrap(),
                offset: offset.parse().unwrap(),
                key: key.to_owned(),
                value: value.to_owned(),
                headers: std::collections::BTreeMap::new(),
            });
        }
    }
    Some(seen)
}
