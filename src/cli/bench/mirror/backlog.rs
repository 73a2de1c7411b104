//! A backlog: carried to new topics by a relay of this process, and read from the beginning by a feed.
use super::{MirrorBench, brokers::Brokers, remove_topics, topics_of_its_own};
use crate::cli::bench::{
    figures::Figures,
    load::{Shape, metadata, open},
};
use anyhow::{Context, Result};
use eventstore::{EventFeed, EventStore, Log, PgEventStore, Position, sql::bench::Scratch};
use mirror::{KafkaConfig, KafkaFeed, Place, Relay, RelayConfig, RelayState};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const BYTES: usize = 500;
/// Events of a stream, as of an order.
const STREAM: i64 = 10;
const PAGE: usize = 1_000;
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
/// From this part of the backlog on, memory should grow no more.
const WARM_SHARE: f64 = 0.2;

struct Caught {
    events_per_s: f64,
    /// The highest resident size, and by how much it rose after the first part; MiB.
    rss: Option<(f64, f64)>,
}

pub(super) async fn measure(
    scratch: &Scratch,
    brokers: &Brokers,
    bench: &MirrorBench,
    figures: &mut Figures,
) -> Result<()> {
    let sealed = serde_json::to_string(&metadata(Uuid::nil()))?;
    scratch.grow(bench.backlog, STREAM, Shape::new(1, BYTES)?.payload(), &sealed).await?;
    let store = open(scratch).await?;
    let topics: Vec<KafkaConfig> = (0..bench.repeats).map(|_| topics_of_its_own(brokers.config())).collect();
    let measured = rounds(&store, &topics, bench.backlog).await;
    for kafka in &topics {
        remove_topics(kafka).await;
    }
    let (caught, read) = measured?;
    say!("# a backlog of {} events of {BYTES} bytes, {} times; median (lowest–highest)", bench.backlog, bench.repeats);
    let rates: Vec<f64> = caught.iter().map(|caught| caught.events_per_s).collect();
    say!("caught up by a relay     {} events/s", figures.add("mirror.catch_up.events_per_s", "events/s", &rates));
    let rss: Vec<(f64, f64)> = caught.iter().filter_map(|caught| caught.rss).collect();
    if !rss.is_empty() {
        let (peaks, growths): (Vec<f64>, Vec<f64>) = rss.into_iter().unzip();
        let peak = figures.add("mirror.catch_up.rss_mib", "MiB", &peaks);
        let growth = figures.add("mirror.catch_up.rss_growth_mib", "MiB", &growths);
        say!("  memory of the process  {peak} MiB at most; {growth} MiB more than after a fifth");
    }
    say!("read by a feed           {} events/s", figures.add("mirror.feed.events_per_s", "events/s", &read));
    Ok(())
}

/// First all that is carried, then all that is read: what a reader keeps in memory is not the relay's.
async fn rounds(store: &Arc<PgEventStore>, topics: &[KafkaConfig], backlog: i64) -> Result<(Vec<Caught>, Vec<f64>)> {
    let (mut caught, mut read) = (Vec::new(), Vec::new());
    for kafka in topics {
        caught.push(catch_up(store, kafka, backlog).await?);
    }
    for kafka in topics {
        read.push(read_all(kafka, backlog).await?);
    }
    Ok((caught, read))
}

async fn catch_up(store: &Arc<PgEventStore>, kafka: &KafkaConfig, backlog: i64) -> Result<Caught> {
    let store: Arc<dyn EventStore> = store.clone();
    let stop = CancellationToken::new();
    let relay = Relay::spawn(store, RelayConfig { kafka: kafka.clone() }, stop.clone());
    let mut status = relay.watch();
    let at_work = status.wait_for(|status| status.state == RelayState::Running);
    drop(tokio::time::timeout(GIVE_UP_AFTER, at_work).await.context("the relay doesn't come to work")??);
    let began = Instant::now();
    let (mut warm, mut peak) = (None, None);
    let done = loop {
        let position = relay.status().position;
        peak = peak.max(resident_kib());
        if position.0 as f64 >= backlog as f64 * WARM_SHARE {
            warm = warm.or(peak);
        }
        let end = status.wait_for(|status| status.position >= Position(backlog));
        if let Ok(ended) = tokio::time::timeout(SAMPLE_EVERY, end).await {
            drop(ended?);
            break began.elapsed();
        }
        anyhow::ensure!(began.elapsed() < GIVE_UP_AFTER, "the relay is at {position} after {GIVE_UP_AFTER:?}");
    };
    stop.cancel();
    relay.join().await;
    let mib = |kib: u64| kib as f64 / 1_024.0;
    let rss = peak.map(|peak| (mib(peak), mib(peak.saturating_sub(warm.unwrap_or(peak)))));
    Ok(Caught { events_per_s: backlog as f64 / done.as_secs_f64(), rss })
}

/// Events a second of a feed from the beginning, from its first call on.
async fn read_all(kafka: &KafkaConfig, backlog: i64) -> Result<f64> {
    let mut feed = KafkaFeed::whole(kafka.clone(), Log::MAIN, Place::START);
    let began = Instant::now();
    while feed.place().position.0 < backlog {
        tokio::time::timeout(GIVE_UP_AFTER, feed.next(PAGE)).await.context("the feed stands still")??;
    }
    Ok(backlog as f64 / began.elapsed().as_secs_f64())
}

/// What of this process is in memory; `None` where the system doesn't say so.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
