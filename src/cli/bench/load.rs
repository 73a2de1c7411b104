//! The load of the append benchmarks: appends of a few events of some hundred bytes, each to a new stream, and the lanes they go through.
use super::figures::{histogram, quantile_ms, record};
use anyhow::{Context, Result};
use eventstore::sql::bench::{PlainLane, Scratch};
use eventstore::{
    Actor, ActorKind, Append, EventStore, Expected, Log, Metadata, NewEvent, PgEventStore, Source, StreamAppend,
    StreamId, sql,
};
use hdrhistogram::Histogram;
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use uuid::Uuid;

/// What every append holds.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    events: usize,
    payload: Arc<RawValue>,
}

impl Shape {
    /// `bytes` is the size of one payload.
    pub(super) fn new(events: usize, bytes: usize) -> Result<Shape> {
        let line = |n: usize| format!(r#"{{"line_id":"{n}","sku":"SKU-0000{n}","quantity":{n},"line_total":"19.99"}}"#);
        let lines: Vec<_> = (1..=3).map(line).collect();
        let fixed = format!(
            r#"{{"order_ref":"cj-31198570044","customer_ref":"hh-900","currency":"EUR","lines":[{}],"note":""}}"#,
            lines.join(",")
        );
        let note = "n".repeat(bytes.saturating_sub(fixed.len()));
        let payload = format!(r#"{}{note}"}}"#, &fixed[..fixed.len() - 2]);
        Ok(Shape { events, payload: RawValue::from_string(payload).context("the payload is no JSON")?.into() })
    }

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn payload(&self) -> &str {
        self.payload.get()
    }

    /// A new append to a new stream.
    pub(super) fn append(&self) -> Append {
        let id = Uuid::now_v7();
        let event = || NewEvent {
            event_type: Cow::Borrowed("Measured"),
            schema_version: 1,
            payload: self.payload.clone(),
            rank: 0,
        };
        let stream = StreamAppend {
            stream: StreamId::new(id, "order"),
            expected: Expected::NO_STREAM,
            events: (0..self.events).map(|_| event()).collect(),
        };
        Append { streams: vec![stream], ..Append::new("bench", metadata(id)) }
    }
}

/// As the API writes it.
pub(super) fn metadata(correlation_id: Uuid) -> Metadata {
    Metadata {
        command_id: Uuid::now_v7(),
        causation_id: None,
        correlation_id,
        actor: Actor { kind: ActorKind::Shop, id: "bench".to_owned(), key: None, on_behalf_of: None },
        source: Source::Api,
        reason_code: None,
        occurred_at: chrono::Utc::now(),
        trace_id: None,
        app_version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// What a lane did in its time.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) events_per_s: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Measured {
    fn of(events: usize, took: Duration, latencies: &Histogram<u64>) -> Measured {
        Measured {
            events_per_s: events as f64 / took.as_secs_f64(),
            p50_ms: quantile_ms(latencies, 0.5),
            p99_ms: quantile_ms(latencies, 0.99),
        }
    }
}

pub(super) async fn open(scratch: &Scratch) -> Result<Arc<PgEventStore>> {
    let pool = scratch.pool().await?;
    Ok(Arc::new(PgEventStore::connect(pool, Log::MAIN, sql::Options::default()).await?))
}

/// So many appenders, each with one append under way, for so long.
pub(super) async fn through_store(
    store: &Arc<PgEventStore>,
    shape: &Shape,
    appenders: usize,
    time: Duration,
) -> Result<Measured> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..appenders {
        let (store, shape) = (store.clone(), shape.clone());
        tasks.spawn(async move {
            let (mut latencies, mut events) = (histogram(), 0);
            while begun.elapsed() < time {
                let append = shape.append();
                let sent = Instant::now();
                store.append(append).await?;
                record(&mut latencies, sent.elapsed());
                events += shape.events();
            }
            anyhow::Ok((latencies, events))
        });
    }
    let (mut latencies, mut events) = (histogram(), 0);
    while let Some(ended) = tasks.join_next().await {
        let (some, count) = ended??;
        latencies.add(some)?;
        events += count;
    }
    Ok(Measured::of(events, begun.elapsed(), &latencies))
}

/// One connection; what so many appenders would send goes as one statement, the next after its commit.
pub(super) async fn through_plain(
    lane: &mut PlainLane,
    shape: &Shape,
    appenders: usize,
    time: Duration,
) -> Result<Measured> {
    let begun = Instant::now();
    let (mut latencies, mut events) = (histogram(), 0);
    while begun.elapsed() < time {
        let appends: Vec<Append> = (0..appenders).map(|_| shape.append()).collect();
        let sent = Instant::now();
        lane.insert(&appends).await?;
        record(&mut latencies, sent.elapsed());
        events += appenders * shape.events();
    }
    Ok(Measured::of(events, begun.elapsed(), &latencies))
}
