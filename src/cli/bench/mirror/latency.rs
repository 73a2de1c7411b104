//! From the answer to an append to the receipt of its events in other processes, at a fixed rate.
use super::{
    MirrorBench,
    brokers::Brokers,
    reader::{Kind, Process, micros},
    remove_topics, topics_of_its_own,
};
use crate::cli::bench::{
    figures::{Figures, histogram, quantile_ms, record},
    load::{Shape, open},
};
use anyhow::{Context, Result};
use eventstore::{EventStore, PgEventStore, Position, sql::bench::Scratch};
use hdrhistogram::Histogram;
use mirror::{KafkaConfig, Relay, RelayConfig, RelayState};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::oneshot, task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

const EVENTS: usize = 2;
const BYTES: usize = 500;
/// Before what is counted.
const WARM_UP: Duration = Duration::from_secs(2);
const RUNNING_WITHIN: Duration = Duration::from_secs(30);
const QUANTILES: [(&str, f64); 3] = [("p50_ms", 0.5), ("p99_ms", 0.99), ("p99_9_ms", 0.999)];

pub(super) async fn measure(
    scratch: &Scratch,
    brokers: &Brokers,
    bench: &MirrorBench,
    figures: &mut Figures,
) -> Result<()> {
    let store = open(scratch).await?;
    let mut rounds = Vec::new();
    for _ in 0..bench.repeats {
        let kafka = topics_of_its_own(brokers.config());
        let stop = CancellationToken::new();
        let relay = Relay::spawn(store.clone(), RelayConfig { kafka: kafka.clone() }, stop.clone());
        let head = store.head().await?.position;
        let mut status = relay.watch();
        let caught_up = status.wait_for(|status| status.state == RelayState::Running && status.position >= head);
        tokio::time::timeout(RUNNING_WITHIN, caught_up).await.context("the relay doesn't come to work")??;
        let measured = round(&store, &kafka, head, bench).await;
        stop.cancel();
        relay.join().await;
        remove_topics(&kafka).await;
        rounds.push(measured?);
    }
    say!(
        "# {} events/s in appends of {EVENTS} of {BYTES} bytes, {} × {} s; median (lowest–highest)",
        bench.rate,
        bench.repeats,
        bench.seconds
    );
    for (which, kind) in [Kind::Reader, Kind::Outsider].into_iter().enumerate() {
        for (name, quantile) in QUANTILES {
            let all: Vec<f64> = rounds.iter().map(|round| quantile_ms(&round[which], quantile)).collect();
            let spread = figures.add(format!("mirror.{}.{name}", kind.name()), "ms", &all);
            say!("from the commit to the {:<8}  {name:<8}  {spread} ms", kind.name());
        }
    }
    Ok(())
}

/// What reader and outsider have seen.
async fn round(
    store: &Arc<PgEventStore>,
    kafka: &KafkaConfig,
    head: Position,
    bench: &MirrorBench,
) -> Result<[Histogram<u64>; 2]> {
    let mut reading = Vec::new();
    let mut told = Vec::new();
    for kind in [Kind::Reader, Kind::Outsider] {
        let process = Process::start(kind, kafka, head).await?;
        let (tell, range) = oneshot::channel();
        reading.push(tokio::spawn(process.read_all_of(range)));
        told.push(tell);
    }
    let (appended, counted_from) = load(store, bench).await?;
    let wanted = counted_from.0..=store.head().await?.position.0;
    for tell in told {
        // A reader that has failed says why below.
        let _ = tell.send(wanted.clone());
    }
    let mut histograms = [histogram(), histogram()];
    for (reading, histogram) in reading.into_iter().zip(&mut histograms) {
        for (position, at) in reading.await?? {
            let sent = appended.get(&position).with_context(|| format!("nobody has appended position {position}"))?;
            // A receipt may come before the answer to whoever appended.
            record(histogram, Duration::from_micros(u64::try_from(at - sent).unwrap_or(0)));
        }
    }
    Ok(histograms)
}

/// Appends at the rate, whatever becomes of those before. Answers when each position was answered for, and the first that counts.
async fn load(store: &Arc<PgEventStore>, bench: &MirrorBench) -> Result<(HashMap<i64, i64>, Position)> {
    let shape = Shape::new(EVENTS, BYTES)?;
    let mut tick = tokio::time::interval(Duration::from_secs_f64(EVENTS as f64 / bench.rate));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut appends = JoinSet::new();
    let began = tokio::time::Instant::now();
    let mut counted_from = None;
    while began.elapsed() < WARM_UP + Duration::from_secs_f64(bench.seconds) {
        tick.tick().await;
        if counted_from.is_none() && began.elapsed() >= WARM_UP {
            counted_from = Some(store.head().await?.position.0 + 1);
        }
        let (store, append) = (store.clone(), shape.append());
        appends.spawn(async move {
            let appended = store.append(append).await?;
            anyhow::Ok((appended, micros(SystemTime::now())))
        });
    }
    let mut answered = HashMap::new();
    while let Some(ended) = appends.join_next().await {
        let (appended, at) = ended??;
        answered.extend((appended.first.0..=appended.last.0).map(|position| (position, at)));
    }
    Ok((answered, Position(counted_from.unwrap_or_default())))
}
