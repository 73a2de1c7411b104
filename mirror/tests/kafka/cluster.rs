//! Three brokers in trouble, under load: nothing is lost or doubled, and all goes on by itself.
use crate::support::{
    Shop, assert_chained, assert_each_once_in_order, caught_up, outsider::Outsider, read_all, server::Cluster, topics,
    until,
};
use eventstore::{EventStore as _, MemoryEventStore, Position};
use mirror::{KafkaConfig, Range, Relay, RelayConfig, RelayHandle, RelayState, verify_chain};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A broker that is gone is noticed after 3 s here, and its partitions are led by others then.
const GOES_ON_WITHIN: Duration = Duration::from_secs(30);
/// The backlog of minutes is carried before what is ordered then.
const DRAINS_WITHIN: Duration = Duration::from_secs(80);

/// Orders that come in, a relay that carries them, and somebody who reads.
struct Load {
    kafka: KafkaConfig,
    store: Arc<MemoryEventStore>,
    relay: RelayHandle,
    outsider: Outsider,
    trading: JoinHandle<Shop>,
    enough: CancellationToken,
    stop: CancellationToken,
}

impl Load {
    async fn begin(kafka: KafkaConfig) -> Load {
        let mut shop = Shop::new(200);
        shop.trade(10).await;
        let (stop, enough, store) = (CancellationToken::new(), CancellationToken::new(), shop.store.clone());
        let relay = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
        caught_up(&relay, shop.head().await).await;
        let outsider = Outsider::follow(&kafka);
        let trading = tokio::spawn(shop.trade_until(0, enough.clone()));
        let load = Load { kafka, store, relay, outsider, trading, enough, stop };
        load.goes_on("begun").await;
        load
    }

    async fn head(&self) -> i64 {
        self.store.head().await.unwrap().position.0
    }

    /// What is ordered now is seen by whoever reads.
    async fn goes_on(&self, since: &str) {
        self.goes_on_within(since, GOES_ON_WITHIN).await;
    }

    async fn goes_on_within(&self, since: &str, within: Duration) {
        let took = self.outsider.sees_beyond(self.head().await).await;
        println!("{since}: the next event after {took:?}");
        assert!(took < within, "{since}: no event for {took:?}");
    }

    /// Who leads the first partition, once it is one of these.
    async fn leader(&self, what: impl Fn(i32) -> bool) -> i32 {
        let (kafka, topic) = (self.kafka.clone(), topics(&self.kafka)[0].clone());
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (kafka, topic) = (kafka.clone(), topic.clone());
            let asked = tokio::task::spawn_blocking(move || Cluster::leader(&kafka, &topic, 0));
            let (leader, copies) = asked.await.unwrap();
            assert_eq!(copies, 3, "the topic is made with as many copies as were asked for");
            if leader > 0 && what(leader) {
                return leader;
            }
            assert!(Instant::now() < deadline, "broker {leader} leads");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// No more orders: all that there were are there once, in order, and as the store has them.
    async fn end(self) {
        self.enough.cancel();
        let shop = self.trading.await.unwrap();
        let head = shop.head().await;
        caught_up(&self.relay, head).await;
        let seen = self.outsider.sees(head as usize).await;
        self.stop.cancel();
        self.relay.join().await;
        println!("{head} events");
        assert_each_once_in_order(&seen, &shop.counts());
        assert_chained(&read_all(&self.kafka));
        let all = Range::upto(Position(head));
        let report = verify_chain(&self.kafka, shop.store.as_ref(), all, &|_| {}).await.unwrap();
        assert!(report.is_whole(), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_broker_of_three_is_killed_and_comes_back_and_leaders_move() {
    let Some(mut cluster) = Cluster::start() else { return };
    let load = Load::begin(cluster.config()).await;
    let first = load.leader(|_| true).await;
    cluster.kill(first);
    load.goes_on("its leader was killed").await;
    load.leader(|leader| leader != first).await;
    cluster.run();
    // The partition goes back to where it was made.
    load.leader(|leader| leader == first).await;
    load.goes_on("its leader has moved back").await;
    let other = first % 3 + 1;
    cluster.kill(other);
    load.goes_on("another broker was killed").await;
    cluster.run();
    load.goes_on("all are back").await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_kafka_is_stopped_under_load_and_the_backlog_drains_by_itself() {
    let Some(mut cluster) = Cluster::start() else { return };
    all_stopped(&mut cluster, Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: scripts/slow-tests"]
async fn slow_all_of_kafka_is_stopped_for_two_minutes_under_load_and_the_backlog_drains_by_itself() {
    let Some(mut cluster) = Cluster::start() else { return };
    all_stopped(&mut cluster, Duration::from_secs(120)).await;
}

async fn all_stopped(cluster: &mut Cluster, time: Duration) {
    let load = Load::begin(cluster.config()).await;
    cluster.stop();
    let down = until(&load.relay, |status| matches!(status.state, RelayState::KafkaDown { .. })).await;
    let before = load.head().await;
    tokio::time::sleep(time).await;
    let (head, status) = (load.head().await, load.relay.status());
    assert!(head > before + 100, "orders go on: {before}, {head}");
    assert!(matches!(status.state, RelayState::KafkaDown { .. }), "{status:?}");
    assert_eq!(status.position, down.position, "{status:?}");
    cluster.run();
    load.goes_on_within("Kafka is back", DRAINS_WITHIN).await;
    load.end().await;
}
