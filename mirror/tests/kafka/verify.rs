//! `verify_chain` finds what was done to the topics.
use crate::support::{PARTITIONS, Seen, Shop, caught_up, config, read_all, server, topics};
use eventstore::Position;
use mirror::{ChainReport, FaultKind, KafkaConfig, Range, Relay, RelayConfig, verify_chain};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn admin(kafka: &KafkaConfig) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &kafka.brokers).create().unwrap()
}

pub(crate) async fn mirrored(kafka: &KafkaConfig) -> Shop {
    let mut shop = Shop::new(20);
    let stop = CancellationToken::new();
    shop.trade(200).await;
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    caught_up(&relay, shop.head().await).await;
    stop.cancel();
    relay.join().await;
    shop
}

pub(crate) async fn verify(kafka: &KafkaConfig, shop: &Shop) -> ChainReport {
    let head = Position(shop.head().await);
    verify_chain(kafka, shop.store.as_ref(), Range::upto(head), &|_| {}).await.unwrap()
}

/// Makes topics like those of `kafka`, with what `change` makes of their records.
pub(crate) async fn planted(kafka: &KafkaConfig, change: impl FnOnce(&mut Vec<Seen>)) -> KafkaConfig {
    let other = config(&kafka.brokers);
    let names = topics(&other);
    let new = names.each_ref().map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
    admin(kafka).create_topics(&new, &AdminOptions::new()).await.unwrap();
    let mut records = read_all(kafka);
    change(&mut records);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    for record in &records {
        let subject = usize::from(record.topic.contains("stock"));
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let planted = FutureRecord::to(&names[subject])
            .partition(record.partition)
            .key(&record.key)
            .payload(&record.value)
            .headers(headers);
        drop(producer.send_result(planted).map_err(|(error, _)| error).unwrap());
    }
    rdkafka::producer::Producer::flush(&producer, Duration::from_secs(20)).unwrap();
    other
}

/// The index of a record in the midst of a partition, and of the one after it there.
fn midst(records: &[Seen]) -> (usize, usize) {
    let first = records.iter().filter(|record| record.partition == 1).nth(5).unwrap().clone();
    let after = |record: &&Seen| record.topic == first.topic && record.partition == 1 && record.offset > first.offset;
    let next = records.iter().filter(after).min_by_key(|record| record.offset).unwrap();
    let index = |wanted: &Seen| {
        let same =
            |record: &Seen| (&record.topic, record.partition, record.offset) == (&wanted.topic, 1, wanted.offset);
        records.iter().position(same).unwrap()
    };
    (index(&first), index(next))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_chain_is_whole_and_each_harm_is_found() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let shop = mirrored(&kafka).await;
    let whole = verify(&kafka, &shop).await;
    assert!(whole.is_whole(), "{whole:?}");
    assert_eq!((whole.records as i64, whole.trimmed), (shop.head().await, 0));

    let copy = planted(&kafka, |_| {}).await;
    assert!(verify(&copy, &shop).await.is_whole(), "a copy is as good");

    let deleted = planted(&kafka, |records| drop(records.remove(midst(records).0))).await;
    let report = verify(&deleted, &shop).await;
    assert_eq!((report.faults, report.count(FaultKind::Missing), report.count(FaultKind::ChainBroken)), (2, 1, 1));

    let doubled = planted(&kafka, |records| {
        let (at, _) = midst(records);
        records.insert(at, records[at].clone());
    });
    let report = verify(&doubled.await, &shop).await;
    assert_eq!((report.faults, report.count(FaultKind::Doubled), report.count(FaultKind::ChainBroken)), (2, 1, 1));

    let altered = planted(&kafka, |records| {
        let (at, _) = midst(records);
        records[at].value = records[at].value.replace("\"n\"", "\"m\"");
    });
    let report = verify(&altered.await, &shop).await;
    assert_eq!((report.faults, report.count(FaultKind::Altered)), (1, 1));

    let reordered = planted(&kafka, |records| {
        let (at, next) = midst(records);
        records.swap(at, next);
    });
    let report = verify(&reordered.await, &shop).await;
    assert_eq!((report.count(FaultKind::Reordered), report.count(FaultKind::Missing)), (1, 0), "{report:?}");

    let misplaced = planted(&kafka, |records| {
        let (at, _) = midst(records);
        records[at].partition = 2;
    });
    let report = verify(&misplaced.await, &shop).await;
    assert_eq!((report.count(FaultKind::Misplaced), report.count(FaultKind::Missing)), (1, 1), "{report:?}");

    let foreign = planted(&kafka, |records| {
        let (at, _) = midst(records);
        records[at].headers.clear();
    });
    let report = verify(&foreign.await, &shop).await;
    assert_eq!((report.count(FaultKind::Unreadable), report.count(FaultKind::Missing)), (1, 1), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trimmed_head_is_told_and_is_no_fault() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let shop = mirrored(&kafka).await;
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset(&topics(&kafka)[0], 1, Offset::Offset(10)).unwrap();
    admin(&kafka).delete_records(&upto, &AdminOptions::new()).await.unwrap();
    let report = verify(&kafka, &shop).await;
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.trimmed as i64 + report.records as i64, shop.head().await);
    assert!(report.trimmed >= 9);
}
