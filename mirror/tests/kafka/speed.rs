//! Figures, not verdicts: `cargo test --release -p mirror --test kafka -- --ignored --nocapture`.
use crate::support::{Shop, caught_up, config, outsider, server};
use eventstore::{EventFeed, EventStore, Log, Position};
use mirror::{KafkaFeed, Place, Relay, RelayConfig, verify_chain};
use rdkafka::consumer::Consumer as _;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

fn percentiles(name: &str, mut millis: Vec<f64>) {
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
    println!("{name}: p50 {:.1} ms, p99 {:.1} ms, n {}", at(0.5), at(0.99), millis.len());
}

#[ignore = "a measurement"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_fast_it_is() {
    let Some(brokers) = server::shared() else { return };
    let kafka = config(brokers);
    let mut shop = Shop::new(1_000);
    shop.trade(50_000).await;
    let stop = CancellationToken::new();
    let backlog = shop.head().await;
    let first = Relay::spawn(shop.store(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    caught_up(&first, 0).await;
    let began = Instant::now();
    caught_up(&first, backlog).await;
    println!("catching up: {:.0} events/s", backlog as f64 / began.elapsed().as_secs_f64());
    let began = Instant::now();
    let report = verify_chain(&kafka, shop.store.as_ref(), Position(backlog), &|_| {}).await.unwrap();
    assert!(report.is_whole());
    println!("verifying: {:.0} events/s", backlog as f64 / began.elapsed().as_secs_f64());
    let mut feed = KafkaFeed::whole(kafka.clone(), Log::MAIN, Place::START);
    let began = Instant::now();
    let mut read = 0;
    while read < backlog {
        read += feed.next(1_000).await.unwrap().len() as i64;
    }
    println!("a feed from the beginning: {:.0} events/s", backlog as f64 / began.elapsed().as_secs_f64());

    let sent: Arc<Mutex<Vec<Option<Instant>>>> = Arc::new(Mutex::new(vec![None; 20_000]));
    let when =
        move |sent: &Mutex<Vec<Option<Instant>>>, position: i64| sent.lock().unwrap()[(position - backlog) as usize];
    let reader = tokio::task::spawn_blocking({
        let (sent, kafka, stop) = (sent.clone(), kafka.clone(), stop.clone());
        move || {
            let consumer = outsider(&kafka, rdkafka::Offset::End);
            let mut millis = Vec::new();
            while !stop.is_cancelled() {
                if let Some(Ok(record)) = consumer.poll(Duration::from_millis(50)) {
                    let now = Instant::now();
                    let position = mirror::wire::decode(&record).unwrap().event.position.0;
                    millis.extend(when(&sent, position).map(|sent| (now - sent).as_secs_f64() * 1e3));
                }
            }
            consumer.unassign().unwrap();
            millis
        }
    });
    let own = tokio::spawn({
        let (sent, stop) = (sent.clone(), stop.clone());
        async move {
            let mut millis = Vec::new();
            while let Some(events) = stop.run_until_cancelled(feed.next(100)).await {
                let now = Instant::now();
                for event in events.unwrap() {
                    millis.extend(when(&sent, event.position.0).map(|sent| (now - sent).as_secs_f64() * 1e3));
                }
            }
            millis
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut tick = tokio::time::interval(Duration::from_millis(4));
    for _ in 0..2_500 {
        tick.tick().await;
        let before = shop.head().await;
        shop.trade(1).await;
        let now = Instant::now();
        for position in before + 1..=shop.store.head().await.unwrap().position.0 {
            sent.lock().unwrap()[(position - backlog) as usize] = Some(now);
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    percentiles("to a read_committed outsider at 500 events/s", reader.await.unwrap());
    percentiles("to our own feed at 500 events/s", own.await.unwrap());
    first.join().await;
}
