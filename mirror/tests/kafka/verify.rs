//! `verify_chain` finds what was done to the topics.
use crate::support::{PARTITIONS, Seen, Shop, caught_up, config, read_all, server, topics};
use eventstore::Position;
use mirror::{ChainReport, FaultKind, KafkaConfig, Range, Relay, RelayConfig, verify_chain};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(crate) fn admin(kafka: &KafkaConfig) -> AdminClient<DefaultClientContext> {
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
    plant(&other, &records).await;
    other
}

/// Writes records at the ends of their partitions.
async fn plant(kafka: &KafkaConfig, records: &[Seen]) {
    let names = topics(kafka);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    let mut sent = vec![];
    for record in records {
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
        sent.push(producer.send_result(planted).map_err(|(error, _)| error).unwrap());
    }
    for delivered in sent {
        delivered.await.unwrap().map_err(|(error, _)| error).unwrap();
    }
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

/// What may be done to a topic, and how often which fault is told of it.
pub(crate) type Harm = (&'static str, fn(&mut Vec<Seen>), &'static [(FaultKind, usize)]);

pub(crate) const HARMS: [Harm; 6] = [
    (
        "deleted",
        |records| drop(records.remove(midst(records).0)),
        &[(FaultKind::Missing, 1), (FaultKind::ChainBroken, 1)],
    ),
    (
        "doubled",
        |records| {
            let (at, _) = midst(records);
            records.insert(at, records[at].clone());
        },
        &[(FaultKind::Doubled, 1), (FaultKind::ChainBroken, 1)],
    ),
    (
        "altered",
        |records| {
            let (at, _) = midst(records);
            records[at].value = records[at].value.replace("\"n\"", "\"m\"");
        },
        &[(FaultKind::Altered, 1)],
    ),
    (
        "reordered",
        |records| {
            let (at, next) = midst(records);
            records.swap(at, next);
        },
        &[(FaultKind::Reordered, 1), (FaultKind::Missing, 0)],
    ),
    (
        "misplaced",
        |records| {
            let (at, _) = midst(records);
            records[at].partition = 2;
        },
        &[(FaultKind::Misplaced, 1), (FaultKind::Missing, 1)],
    ),
    (
        "foreign",
        |records| {
            let (at, _) = midst(records);
            records[at].headers.clear();
        },
        &[(FaultKind::Unreadable, 1), (FaultKind::Missing, 1)],
    ),
];

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

    for (what, harm, told) in HARMS {
        let harmed = planted(&kafka, harm).await;
        let report = verify(&harmed, &shop).await;
        assert!(!report.is_whole(), "{what}");
        for (kind, count) in told {
            assert_eq!(report.count(*kind), *count, "{kind:?} of what is {what}: {report:?}");
        }
    }
}

/// Kafka answers a commit before its markers lie in every partition. Here somebody's open transaction holds the same records back for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_and_not_yet_to_be_read_is_not_missing() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let shop = mirrored(&kafka).await;
    let mut last = vec![];
    let copy = planted(&kafka, |records| last = records.split_off(records.len() / 2)).await;
    let before = verify(&copy, &shop).await;
    assert_eq!((before.count(FaultKind::Missing), before.faults as usize), (last.len(), last.len()), "{before:?}");

    let names = topics(&copy);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", format!("{}-stranger", names[0]))
        .create()
        .unwrap();
    let patience = Duration::from_secs(10);
    producer.init_transactions(patience).unwrap();
    producer.begin_transaction().unwrap();
    for (name, partition) in names.iter().flat_map(|name| (0..PARTITIONS).map(move |partition| (name, partition))) {
        let stranger = FutureRecord::<(), str>::to(name).partition(partition).payload("a stranger's");
        producer.send(stranger, patience).await.unwrap();
    }
    plant(&copy, &last).await;
    let ended = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::spawn_blocking(move || producer.abort_transaction(patience)).await.unwrap().unwrap();
    });
    let report = verify(&copy, &shop).await;
    assert!(report.is_whole(), "{report:?}");
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_verified_at_the_cost_of_that_range() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let shop = mirrored(&kafka).await;
    let head = shop.head().await;
    for (after, upto) in [(0, 1), (1, 2), (37, 190), (190, head), (head - 1, head), (head, head)] {
        let range = Range { after: Position(after), upto: Position(upto) };
        let report = verify_chain(&kafka, shop.store.as_ref(), range, &|_| {}).await.unwrap();
        assert!(report.is_whole(), "{range:?}: {report:?}");
        assert_eq!((report.from.0, report.upto.0, report.records as i64), (after + 1, upto, upto - after));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_proves_what_its_first_records_follow() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let shop = mirrored(&kafka).await;
    let mut gone = Position::ZERO;
    let deleted = planted(&kafka, |records| {
        let removed = records.remove(midst(records).0);
        gone = Position(removed.headers["waybill-position"].parse().unwrap());
    });
    let deleted = deleted.await;
    let report = async |range| verify_chain(&deleted, shop.store.as_ref(), range, &|_| {}).await.unwrap();
    let after = report(Range { after: gone, upto: Position(shop.head().await) }).await;
    assert_eq!((after.faults, after.count(FaultKind::ChainBroken)), (1, 1), "its place is named: {after:?}");
    let before = report(Range { after: Position::ZERO, upto: Position(gone.0 - 1) }).await;
    assert!(before.is_whole(), "{before:?}");
    let just = report(Range { after: Position(gone.0 - 1), upto: gone }).await;
    assert_eq!((just.faults, just.count(FaultKind::Missing)), (1, 1), "{just:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stray_records_at_the_ends_of_partitions_lead_no_range_astray() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let shop = mirrored(&kafka).await;
    let strayed = planted(&kafka, |records| {
        let (at, next) = midst(records);
        let copy = records[next].clone();
        let moved = Seen { partition: 2, ..records.remove(at) };
        records.extend([moved, copy]);
    })
    .await;
    let head = shop.head().await;
    for after in [head / 2, head - 40, head - 20, head - 10, head - 1] {
        let range = Range { after: Position(after), upto: Position(head) };
        let report = verify_chain(&strayed, shop.store.as_ref(), range, &|_| {}).await.unwrap();
        let told = |kind| report.count(kind);
        assert_eq!((told(FaultKind::Missing), told(FaultKind::Unknown)), (0, 0), "{range:?}: {report:?}");
        let strays = (told(FaultKind::Misplaced), told(FaultKind::Reordered));
        assert!(after > head / 2 || strays == (1, 1), "{report:?}");
    }
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
