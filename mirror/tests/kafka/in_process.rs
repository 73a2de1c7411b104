//! The same relay and feed on the in-process broker.
use crate::support::{Shop, assert_each_once_in_order, caught_up, config, read_all};
use eventstore::{EventFeed, Incarnation, Log, Position};
use mirror::{InProcessKafka, KafkaFeed, Place, Range, Relay, RelayConfig, verify_chain};
use std::{collections::BTreeMap, time::Duration};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_in_process_broker_is_begun_at_the_head() {
    let broker = InProcessKafka::start(&config(""), Log::MAIN).unwrap();
    let kafka = broker.config().clone();
    let mut shop = Shop::new(10);
    shop.trade(20).await;
    let (before, old) = (shop.counts(), shop.head().await);
    let stop = CancellationToken::new();
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    caught_up(&relay, old).await;
    assert!(read_all(&kafka).is_empty());
    shop.trade(20).await;
    caught_up(&relay, shop.head().await).await;

    let mut feed =
        KafkaFeed::whole(kafka.clone(), Log::MAIN, Place { incarnation: Incarnation(1), position: Position(old) });
    let next = tokio::time::timeout(Duration::from_secs(20), feed.next(1)).await.unwrap().unwrap();
    assert_eq!(next[0].position, Position(old + 1));

    let report =
        verify_chain(&kafka, shop.store.as_ref(), Range::upto(Position(shop.head().await)), &|_| {}).await.unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.from, report.records as i64), (Position(old + 1), shop.head().await - old));
    stop.cancel();
    relay.join().await;

    let mut seen = read_all(&kafka);
    for record in &mut seen {
        let mut value: serde_json::Value = serde_json::from_str(&record.value).unwrap();
        let n = value["n"].as_i64().unwrap() - before.get(&record.key).copied().unwrap_or(0);
        value["n"] = n.into();
        record.value = value.to_string();
    }
    let since: BTreeMap<String, i64> = shop
        .counts()
        .into_iter()
        .map(|(key, count)| (key.clone(), count - before.get(&key).copied().unwrap_or(0)))
        .collect();
    assert_each_once_in_order(&seen, &since.into_iter().filter(|(_, count)| *count > 0).collect());
}
