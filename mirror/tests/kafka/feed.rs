//! The Kafka feed under the suite of every feed, and what is its own.
use crate::support::{Shop, caught_up, config, server};
use eventstore::{EventFeed, Incarnation, MemoryEventStore, Position};
use mirror::{KafkaConfig, KafkaFeed, Place, Relay, RelayConfig};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

fn at(incarnation: i32, position: i64) -> Place {
    Place { incarnation: Incarnation(incarnation), position: Position(position) }
}

/// Reads until it has this many.
async fn read(feed: &mut KafkaFeed, count: usize) -> Vec<eventstore::RecordedEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(30), feed.next(500)).await.expect("no event came");
        events.extend(next.unwrap());
    }
    events
}

fn relay(shop: &Shop, kafka: &KafkaConfig, stop: &CancellationToken) -> mirror::RelayHandle {
    Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_begins_where_its_checkpoint_says_and_answers_the_whole_log() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut shop = Shop::new(50);
    let stop = CancellationToken::new();
    let relay = relay(&shop, &kafka, &stop);
    shop.trade(500).await;
    caught_up(&relay, shop.head().await).await;
    for after in [0, 1, 500, shop.head().await - 1] {
        let mut feed = KafkaFeed::whole(kafka.clone(), shop.store().log(), at(1, after));
        let events = read(&mut feed, (shop.head().await - after) as usize).await;
        let positions: Vec<i64> = events.iter().map(|event| event.position.0).collect();
        assert_eq!(positions, (after + 1..=shop.head().await).collect::<Vec<_>>());
        assert!(events.iter().all(|event| event.incarnation == Incarnation(1)));
    }
    stop.cancel();
    relay.join().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_goes_on_while_relays_are_dropped_and_the_topics_made_anew() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut shop = Shop::new(50);
    let stop = CancellationToken::new();
    let mut feed = KafkaFeed::whole(kafka.clone(), shop.store().log(), Place::START);
    for _ in 0..4 {
        let relay = relay(&shop, &kafka, &stop);
        shop.trade(300).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        relay.abort();
    }
    let last = relay(&shop, &kafka, &stop);
    caught_up(&last, shop.head().await).await;
    let events = read(&mut feed, shop.head().await as usize).await;
    assert!(events.iter().zip(1..).all(|(event, position)| event.position == Position(position)));
    stop.cancel();
    last.join().await;
}

mod contract {
    use super::*;

    struct Guard {
        stop: CancellationToken,
        _broker: Option<mirror::InProcessKafka>,
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            self.stop.cancel();
        }
    }

    /// A store, a relay, and a feed of what it writes. Without Java on the in-process broker.
    async fn given() -> (Arc<MemoryEventStore>, Box<dyn EventFeed>, Guard) {
        let store = Arc::new(MemoryEventStore::default());
        let (kafka, broker) = match tokio::task::spawn_blocking(server::shared).await.unwrap() {
            Some(brokers) => (config(brokers), None),
            None => {
                let broker = mirror::InProcessKafka::start(&config(""), eventstore::Log::MAIN).unwrap();
                (broker.config().clone(), Some(broker))
            }
        };
        let stop = CancellationToken::new();
        let relay = Relay::spawn(store.clone(), RelayConfig { kafka: kafka.clone() }, stop.clone());
        caught_up(&relay, 0).await;
        (
            store.clone(),
            Box::new(KafkaFeed::whole(kafka, eventstore::Log::MAIN, Place::START)),
            Guard { stop, _broker: broker },
        )
    }

    eventstore::feed_contract!(given());
}
