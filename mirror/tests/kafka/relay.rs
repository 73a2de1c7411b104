//! What an outsider sees of the relay's work, whatever becomes of the relay.
use crate::support::{
    PARTITIONS, Shop, assert_chained, assert_each_once_in_order, caught_up, config, dice, one_caught_up,
    outsider::Outsider, read_all, server, topics, until,
};
use eventstore::{EventStore as _, Position};
use mirror::{Halt, Range, Relay, RelayConfig, RelayState, verify_chain};
use rand::RngExt as _;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_and_what_follows_is_in_kafka_once_and_in_order() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut shop = Shop::new(200);
    shop.trade(10_000).await;
    let stop = CancellationToken::new();
    let began = Instant::now();
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    caught_up(&relay, shop.head().await).await;
    println!("{} events in {:?}", shop.head().await, began.elapsed());
    for _ in 0..20 {
        shop.trade(1).await;
        caught_up(&relay, shop.head().await).await;
    }
    stop.cancel();
    relay.join().await;
    let seen = read_all(&kafka);
    assert_each_once_in_order(&seen, &shop.counts());
    assert_chained(&seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_relays_are_dropped_and_replaced() {
    let Some(brokers) = server::shared() else { return };
    let mut random = dice();
    let kafka = config(brokers);
    let mut shop = Shop::new(100);
    let stop = CancellationToken::new();
    let mut relays = Vec::new();
    for _ in 0..10 {
        let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
        let until = Instant::now() + Duration::from_millis(random.random_range(50..600));
        while Instant::now() < until {
            shop.trade(random.random_range(1..20)).await;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..5))).await;
        }
        match random.random_range(0..3) {
            // Killed, mostly in the midst of a transaction.
            0 => relay.abort(),
            // Left alone: the next one fences it.
            1 => relays.push(relay),
            // Killed, and a tenth of a second without any.
            _ => {
                relay.abort();
                shop.trade(10).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    relays.push(Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone()));
    one_caught_up(&relays, shop.head().await).await;
    stop.cancel();
    for relay in relays {
        relay.join().await;
    }
    let seen = read_all(&kafka);
    println!("{} events", seen.len());
    assert_each_once_in_order(&seen, &shop.counts());
    assert_chained(&seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_was_fenced_takes_over_when_the_other_is_gone() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut shop = Shop::new(10);
    let stop = CancellationToken::new();
    let spawn = |shop: &Shop| Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    let first = spawn(&shop);
    shop.trade(10).await;
    caught_up(&first, shop.head().await).await;
    let second = spawn(&shop);
    shop.trade(10).await;
    caught_up(&second, shop.head().await).await;
    shop.trade(10).await;
    until(&first, |status| status.state == RelayState::Standby).await;
    second.abort();
    let gone = Instant::now();
    shop.trade(10).await;
    caught_up(&first, shop.head().await).await;
    assert!(gone.elapsed() < Duration::from_secs(10), "the takeover took {:?}", gone.elapsed());
    stop.cancel();
    first.join().await;
    assert_each_once_in_order(&read_all(&kafka), &shop.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_is_filled_again_while_orders_go_on() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut shop = Shop::new(50);
    let stop = CancellationToken::new();
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    shop.trade(500).await;
    caught_up(&relay, shop.head().await).await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    for topic in topics(&kafka) {
        admin.delete_topics(&[&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            shop.trade(5).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shop.trade(10).await;
        caught_up(&relay, shop.head().await).await;
        // It comes to know of the loss by its next write or by its next look.
        shop.trade(10).await;
        caught_up(&relay, shop.head().await).await;
    }
    stop.cancel();
    relay.join().await;
    let seen = read_all(&kafka);
    assert_each_once_in_order(&seen, &shop.counts());
    assert_chained(&seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_cluster_is_filled_from_the_beginning_while_orders_go_on() {
    let Some(mut server) = server::Server::start() else { return };
    let kafka = config(&server.brokers());
    let mut shop = Shop::new(200);
    let stop = CancellationToken::new();
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    shop.trade(1_000).await;
    caught_up(&relay, shop.head().await).await;
    let (enough, store) = (CancellationToken::new(), shop.store.clone());
    let trading = tokio::spawn(shop.trade_until(0, enough.clone()));
    server.make_anew();
    server.run();
    let before = store.head().await.unwrap().position.0;
    // Filled while they come in: what is in it then has passed what was there before.
    let outsider = Outsider::follow_once_there_is_something(&kafka).await;
    outsider.sees_beyond(before).await;
    assert!(store.head().await.unwrap().position.0 > before);
    enough.cancel();
    let shop = trading.await.unwrap();
    caught_up(&relay, shop.head().await).await;
    let seen = outsider.sees(shop.head().await as usize).await;
    assert_each_once_in_order(&seen, &shop.counts());
    stop.cancel();
    relay.join().await;
    assert_chained(&read_all(&kafka));
    let all = Range::upto(Position(shop.head().await));
    let report = verify_chain(&kafka, shop.store.as_ref(), all, &|_| {}).await.unwrap();
    assert!(report.is_whole(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_topics_with_too_few_partitions_are_given_more() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let names = topics(&kafka);
    let new = names.each_ref().map(|name| NewTopic::new(name, 1, TopicReplication::Fixed(1)));
    admin.create_topics(&new, &AdminOptions::new()).await.unwrap();
    let mut shop = Shop::new(50);
    shop.trade(50).await;
    let stop = CancellationToken::new();
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    caught_up(&relay, shop.head().await).await;
    stop.cancel();
    relay.join().await;
    let seen = read_all(&kafka);
    assert_each_once_in_order(&seen, &shop.counts());
    assert!(seen.iter().any(|record| record.partition == PARTITIONS - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_ahead_of_the_store_is_never_written_to() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut shop = Shop::new(5);
    shop.trade(50).await;
    let stop = CancellationToken::new();
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    caught_up(&relay, shop.head().await).await;
    relay.abort();
    let mut restored = Shop::new(5);
    restored.trade(10).await;
    let ahead = Relay::spawn(restored.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    until(&ahead, |status| matches!(status.state, RelayState::Halted(Halt::Ahead { .. }))).await;
    ahead.abort();
    restored.trade(100).await;
    let diverged = Relay::spawn(restored.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    until(&diverged, |status| matches!(status.state, RelayState::Halted(Halt::Diverged { .. }))).await;
    stop.cancel();
    diverged.join().await;
    assert_each_once_in_order(&read_all(&kafka), &shop.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_goes_away_and_comes_back_gets_all_that_was_missed() {
    let Some(mut server) = server::Server::start() else { return };
    let kafka = config(&server.brokers());
    let mut shop = Shop::new(50);
    let stop = CancellationToken::new();
    let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    shop.trade(100).await;
    caught_up(&relay, shop.head().await).await;
    server.stop();
    shop.trade(100).await;
    let down = until(&relay, |status| matches!(status.state, RelayState::KafkaDown { .. })).await;
    assert!(down.position.0 < shop.head().await);
    tokio::time::sleep(Duration::from_secs(12)).await;
    shop.trade(100).await;
    server.run();
    caught_up(&relay, shop.head().await).await;
    let seen = read_all(&kafka);
    stop.cancel();
    relay.join().await;
    assert_each_once_in_order(&seen, &shop.counts());
    assert_chained(&seen);
}
