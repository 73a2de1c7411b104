//! `waybill bench append`: appends through the store, beside plain inserts of the same rows into the same table of the same server.
use super::figures::Figures;
use super::load::{Measured, Shape, open, through_plain, through_store};
use anyhow::{Result, ensure};
use clap::Args;
use eventstore::sql::bench::{PlainLane, Scratch};
use std::time::Duration;

/// Before each measurement, not counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// Appends per second and their latency, beside plain inserts
///
/// An append is five events of about 500 bytes to a new stream. In the lane `store` each appender has one append under way at a time. In
/// the lane `plain` one connection sends what as many appenders would as one UNNEST insert, commits, and sends the next: PostgreSQL's own
/// rate for these rows, with no version checked, no order kept and nobody waiting. The lanes alternate.
#[derive(Args, Debug)]
pub struct AppendBench {
    /// How many append at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256, 1024], value_name = "N,…")]
    appenders: Vec<usize>,
    /// How long each lane runs at each number of appenders, each time
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    seconds: f64,
    #[arg(long, default_value_t = 3, value_name = "N")]
    repeats: usize,
    /// Events in an append
    #[arg(long, default_value_t = 5, value_name = "N")]
    events: usize,
    /// Size of an event's payload
    #[arg(long, default_value_t = 500, value_name = "BYTES")]
    bytes: usize,
    /// Holds a transaction open from the beginning, as a dump or a long report does
    #[arg(long)]
    old_snapshot: bool,
    /// Ends with one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(server: &str, bench: &AppendBench) -> Result<Figures> {
    ensure!(bench.repeats > 0 && bench.events > 0, "repeats and events must be at least 1");
    ensure!(bench.appenders.iter().all(|n| (1..=2048).contains(n)), "appenders must be 1 to 2048");
    let shape = Shape::new(bench.events, bench.bytes)?;
    let (store_scratch, plain_scratch) = (Scratch::create(server).await?, Scratch::create(server).await?);
    let measured = measure(&store_scratch, &plain_scratch, &shape, bench).await;
    store_scratch.remove().await?;
    plain_scratch.remove().await?;
    measured
}

async fn measure(
    store_scratch: &Scratch,
    plain_scratch: &Scratch,
    shape: &Shape,
    bench: &AppendBench,
) -> Result<Figures> {
    let store = open(store_scratch).await?;
    let mut plain = PlainLane::connect(plain_scratch).await?;
    let _snapshots = match bench.old_snapshot {
        true => Some((store_scratch.old_snapshot().await?, plain_scratch.old_snapshot().await?)),
        false => None,
    };
    let time = Duration::from_secs_f64(bench.seconds);
    let mut figures = Figures::default();
    say!(
        "# an append: {} events of {} bytes; {} × {} s; median (lowest–highest)",
        shape.events(),
        shape.payload().len(),
        bench.repeats,
        bench.seconds
    );
    say!("appenders  lane   events/s                    p50 ms                p99 ms");
    for &appenders in &bench.appenders {
        let (mut by_store, mut by_plain) = (Vec::new(), Vec::new());
        through_store(&store, shape, appenders, WARM_UP).await?;
        through_plain(&mut plain, shape, appenders, WARM_UP).await?;
        for _ in 0..bench.repeats {
            by_store.push(through_store(&store, shape, appenders, time).await?);
            by_plain.push(through_plain(&mut plain, shape, appenders, time).await?);
        }
        tell(&mut figures, "store", appenders, &by_store);
        tell(&mut figures, "plain", appenders, &by_plain);
        let ratios: Vec<f64> = by_store.iter().zip(&by_plain).map(|(s, p)| s.events_per_s / p.events_per_s).collect();
        let ratio = figures.add(format!("append.ratio.c{appenders}"), "ratio", &ratios);
        say!("{appenders:>9}  store / plain: {ratio}");
    }
    Ok(figures)
}

pub(super) fn tell(figures: &mut Figures, lane: &str, appenders: usize, measured: &[Measured]) {
    let all = |of: fn(&Measured) -> f64| -> Vec<f64> { measured.iter().map(of).collect() };
    let name = |figure: &str| format!("append.{lane}.c{appenders}.{figure}");
    let rate = figures.add(name("events_per_s"), "events/s", &all(|m| m.events_per_s));
    let p50 = figures.add(name("p50_ms"), "ms", &all(|m| m.p50_ms));
    let p99 = figures.add(name("p99_ms"), "ms", &all(|m| m.p99_ms));
    say!("{appenders:>9}  {lane}  {:<26}  {:<20}  {:<20}", rate.to_string(), p50.to_string(), p99.to_string());
}
