//! Somebody wrote rubbish into our topics: it stops nobody, and is told.
use crate::support::{
    PARTITIONS, Seen, Shop, assert_chained, assert_each_once_in_order, caught_up, config, read_all, server, topics,
};
use crate::verify::{mirrored, verify};
use eventstore::{EventFeed as _, Incarnation, Log, Position};
use mirror::{
    FaultKind, KafkaConfig, KafkaFeed, Place, Relay, RelayConfig,
    recover::{Standing, survey},
};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Writes so many to each partition: some without headers, some with ours half filled in.
fn rubbish(kafka: &KafkaConfig, count: usize) {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", &kafka.brokers).create().unwrap();
    for topic in topics(kafka) {
        for (partition, n) in (0..PARTITIONS).flat_map(|partition| (0..count).map(move |n| (partition, n))) {
            let record = FutureRecord::to(&topic).partition(partition).key("rubbish").payload("\u{0}not JSON");
            let half = [("waybill-log", "main"), ("waybill-position", "999999"), ("waybill-incarnation", "77")];
            let headers = half
                .into_iter()
                .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
            let record = if n % 2 == 0 { record } else { record.headers(headers) };
            drop(producer.send_result(record).map_err(|(error, _)| error).unwrap());
        }
    }
    producer.flush(Duration::from_secs(20)).unwrap();
}

fn ours(kafka: &KafkaConfig) -> Vec<Seen> {
    read_all(kafka).into_iter().filter(|record| record.key != "rubbish").collect()
}

async fn carried(shop: &Shop, kafka: &KafkaConfig) {
    let stop = CancellationToken::new();
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    caught_up(&relay, shop.head().await).await;
    stop.cancel();
    relay.join().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_goes_on_behind_what_is_not_its_own_and_the_verification_tells_it() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut shop = mirrored(&kafka).await;
    // More of it than the first look at a partition's end takes in.
    rubbish(&kafka, 50);
    shop.trade(50).await;
    carried(&shop, &kafka).await;
    rubbish(&kafka, 1);
    let seen = ours(&kafka);
    assert_each_once_in_order(&seen, &shop.counts());
    assert_chained(&seen);
    let report = verify(&kafka, &shop).await;
    let rubbish = 2 * PARTITIONS as usize * 51;
    assert_eq!((report.faults as usize, report.count(FaultKind::Unreadable)), (rubbish, rubbish));
    assert_eq!(mirror::reached(&kafka, shop.store.as_ref()).await.unwrap().0, shop.head().await);
    assert_eq!(survey(&kafka, shop.store()).await.unwrap().standing, Standing::Sound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_hold_nothing_but_rubbish_are_filled_from_the_beginning() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    carried(&Shop::new(1), &kafka).await;
    rubbish(&kafka, 3);
    let mut shop = Shop::new(20);
    shop.trade(50).await;
    carried(&shop, &kafka).await;
    let seen = ours(&kafka);
    assert_each_once_in_order(&seen, &shop.counts());
    assert_chained(&seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_passes_over_what_is_not_ours_wherever_it_begins() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut shop = mirrored(&kafka).await;
    let first = shop.head().await;
    rubbish(&kafka, 40);
    shop.trade(50).await;
    carried(&shop, &kafka).await;
    rubbish(&kafka, 5);
    let head = shop.head().await;
    for after in [0, 100, first, first + 1, head - 1] {
        let place = match after {
            0 => Place::START,
            after => Place { incarnation: Incarnation(1), position: Position(after) },
        };
        let mut feed = KafkaFeed::whole(kafka.clone(), Log::MAIN, place);
        let mut positions = Vec::new();
        while positions.len() < (head - after) as usize {
            let next = tokio::time::timeout(Duration::from_secs(30), feed.next(500)).await.expect("no event came");
            positions.extend(next.unwrap().iter().map(|event| event.position.0));
        }
        assert_eq!(positions, (after + 1..=head).collect::<Vec<_>>());
    }
}
