//! `waybill bench growth`: whether appends and reads stay as fast as the log grows, in number of events and in length of streams.
use super::append::tell;
use super::figures::{Figures, histogram, quantile_ms, record};
use super::load::{Shape, metadata, open, through_store};
use anyhow::{Result, ensure};
use clap::Args;
use eventstore::sql::bench::Scratch;
use eventstore::{EventStore, Expected, PgEventStore, Position, StreamId, Version};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

const READS: u64 = 200;
const PAGE: usize = 500;

/// Appends and reads at growing sizes of the log
///
/// For each size a log of that many events, in streams of the given length, is made by the server; then appends of five events go on, and
/// streams and pages are read.
#[derive(Args, Debug)]
pub struct GrowthBench {
    /// Events in the log
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1_000_000, 10_000_000], value_name = "N,…")]
    sizes: Vec<i64>,
    /// Events in each stream that is there
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    stream_length: i64,
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64], value_name = "N,…")]
    appenders: Vec<usize>,
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    seconds: f64,
    #[arg(long, default_value_t = 3, value_name = "N")]
    repeats: usize,
    /// Ends with one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(server: &str, bench: &GrowthBench) -> Result<Figures> {
    ensure!(bench.repeats > 0 && bench.stream_length > 0, "repeats and stream_length must be at least 1");
    let mut figures = Figures::default();
    for &size in &bench.sizes {
        let scratch = Scratch::create(server).await?;
        let measured = measure(&scratch, size, bench, &mut figures).await;
        scratch.remove().await?;
        measured?;
    }
    Ok(figures)
}

async fn measure(scratch: &Scratch, size: i64, bench: &GrowthBench, figures: &mut Figures) -> Result<()> {
    let shape = Shape::new(5, 500)?;
    let begun = Instant::now();
    let sealed = serde_json::to_string(&metadata(Uuid::nil()))?;
    scratch.grow(size, bench.stream_length, shape.payload(), &sealed).await?;
    let (table, indexes) = scratch.sizes().await?;
    say!(
        "# {size} events, made in {:.0} s; table {} MiB, indexes {} MiB",
        begun.elapsed().as_secs_f64(),
        table >> 20,
        indexes >> 20
    );
    let store = open(scratch).await?;
    let time = Duration::from_secs_f64(bench.seconds);
    for &appenders in &bench.appenders {
        through_store(&store, &shape, appenders, time / 3).await?;
        let mut measured = Vec::new();
        for _ in 0..bench.repeats {
            measured.push(through_store(&store, &shape, appenders, time).await?);
        }
        tell(figures, &format!("store.n{size}"), appenders, &measured);
    }
    if size >= bench.stream_length {
        reads(&store, size, bench, figures).await?;
        to_a_long_stream(&store, &shape, bench, size, figures).await?;
    }
    Ok(())
}

/// A page of the log somewhere in it, and a whole long stream.
async fn reads(store: &Arc<PgEventStore>, size: i64, bench: &GrowthBench, figures: &mut Figures) -> Result<()> {
    let mut pages = histogram();
    for n in 0..READS {
        let after = Position(i64::try_from(n)? * (size / i64::try_from(READS)?));
        let begun = Instant::now();
        let page = store.read_log(after, PAGE).await?;
        record(&mut pages, begun.elapsed());
        ensure!(page.len() == PAGE, "a page of {} events after {after}", page.len());
    }
    let p50 = figures.add(format!("growth.n{size}.page_of_500.p50_ms"), "ms", &[quantile_ms(&pages, 0.5)]);
    let mut streams = Vec::new();
    let count = u128::try_from(size / bench.stream_length)?;
    for n in 0..5 {
        let begun = Instant::now();
        let stream = store.read_streams(Scratch::grown_stream(n % count)).await?;
        streams.push(begun.elapsed().as_secs_f64() * 1_000.0);
        ensure!(stream.len() as i64 == bench.stream_length, "a stream of {} events", stream.len());
    }
    let whole = figures.add(format!("growth.n{size}.stream_of_{}.read_ms", bench.stream_length), "ms", &streams);
    say!("           a page of {PAGE}: p50 {:.2} ms; a stream of {}: {whole} ms", p50.median, bench.stream_length);
    Ok(())
}

/// Appends to a stream that is long already, one after the other.
async fn to_a_long_stream(
    store: &Arc<PgEventStore>,
    shape: &Shape,
    bench: &GrowthBench,
    size: i64,
    figures: &mut Figures,
) -> Result<()> {
    let stream = StreamId::new(Scratch::grown_stream(0), "grown");
    let mut version = Version(i32::try_from(bench.stream_length)?);
    let mut latencies = histogram();
    for _ in 0..READS {
        let mut append = shape.append();
        append.streams[0].stream = stream.clone();
        append.streams[0].expected = Expected::Exact(version);
        version.0 += i32::try_from(shape.events())?;
        let begun = Instant::now();
        store.append(append).await?;
        record(&mut latencies, begun.elapsed());
    }
    let p50 = figures.add(
        format!("growth.n{size}.append_to_stream_of_{}.p50_ms", bench.stream_length),
        "ms",
        &[quantile_ms(&latencies, 0.5)],
    );
    say!("           an append to a stream of {}: p50 {:.2} ms", bench.stream_length, p50.median);
    Ok(())
}
