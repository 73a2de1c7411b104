//! `waybill bench timers`: how late timers are, all at once and one after the other.
use super::lateness::Lateness;
use super::orders::place;
use super::{Running, as_store};
use crate::cli::bench::{
    figures::{Figures, quantile_ms},
    histories::At,
    load::open,
};
use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use commands::history::SAGA_TIMER;
use domain::{OrderId, StreamKind};
use eventstore::{EventStore, PgEventStore, Position, StreamId, TimerMove, sql::bench::Scratch};
use hdrhistogram::Histogram;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Timers moved by one statement.
const MOVED_AT_ONCE: usize = 1000;
/// From the moment when timers are set to the first that is due: by then the process has started and loaded them, so many a second.
const LEAD: TimeDelta = TimeDelta::seconds(5);
const LOADED_A_SECOND: usize = 2_000;

/// Sagas that are due: from then to when each one's driver holds its history
///
/// Orders stand before their payment, which is to be tried again. In the first lane all are due at the same moment; in the second so many a
/// second. Each is then carried to its end, with the providers' simulators in this process.
#[derive(Args, Debug)]
pub struct TimersBench {
    /// Due at the same moment
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    burst: usize,
    /// Due a second, in the second lane
    #[arg(long, default_value_t = 500, value_name = "N")]
    rate: usize,
    /// How long the second lane is
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    seconds: f64,
    #[arg(long, default_value_t = 3, value_name = "N")]
    repeats: usize,
    /// Ends with one line of JSON
    #[arg(long)]
    pub(in crate::cli::bench) json: bool,
}

pub(in crate::cli::bench) async fn run(server: &str, bench: &TimersBench) -> Result<Figures> {
    ensure!(bench.repeats > 0 && bench.burst > 0 && bench.rate > 0, "repeats, burst and rate must be at least 1");
    let scratch = Scratch::create(server).await?;
    let measured = measure(&scratch, bench).await;
    scratch.remove().await?;
    measured
}

async fn measure(scratch: &Scratch, bench: &TimersBench) -> Result<Figures> {
    let lateness = Lateness::install();
    let spread = (bench.rate as f64 * bench.seconds).ceil() as usize;
    let gap = TimeDelta::microseconds(1_000_000 / i64::try_from(bench.rate)?);
    let (mut bursts, mut spreads) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeats {
        bursts.push(lane(scratch, &lateness, bench.burst, TimeDelta::zero()).await?);
        spreads.push(lane(scratch, &lateness, spread, gap).await?);
    }
    let mut figures = Figures::default();
    say!("# lateness, {} × ; median (lowest–highest)", bench.repeats);
    tell(&mut figures, &format!("burst{}", bench.burst), &bursts);
    tell(&mut figures, &format!("rate{}", bench.rate), &spreads);
    Ok(figures)
}

struct Measured {
    late: Histogram<u64>,
    /// From the first that was due until all had ended.
    all_done: Duration,
}

/// So many, each due `gap` after the one before.
async fn lane(scratch: &Scratch, lateness: &Lateness, count: usize, gap: TimeDelta) -> Result<Measured> {
    let store = open(scratch).await?;
    let orders = place(&as_store(&store), count, At::PaymentRetry).await?;
    drop(lateness.take());
    let first = Utc::now() + LEAD + TimeDelta::seconds(i64::try_from(count / LOADED_A_SECOND)?);
    set_due(&store, &orders, first, gap).await?;
    let running = Running::start(scratch).await?;
    running.until("all sagas are loaded", |status| status.put_down >= count || Utc::now() >= first).await?;
    let Ok(early) = (first - Utc::now()).to_std() else {
        anyhow::bail!("the sagas were not loaded before they were due")
    };
    tokio::time::sleep(early).await;
    let began = Instant::now();
    let none_left = |status: &sagas::RunnerStatus| (status.put_down, status.queued, status.active) == (0, 0, 0);
    running.until("all sagas have ended", |status| none_left(status) && lateness.count() >= count as u64).await?;
    let all_done = began.elapsed();
    running.stop().await?;
    let late = lateness.take();
    ensure!(late.len() == count as u64, "{} of {count} were taken up once", late.len());
    Ok(Measured { late, all_done })
}

async fn set_due(store: &Arc<PgEventStore>, orders: &[OrderId], first: DateTime<Utc>, gap: TimeDelta) -> Result<()> {
    let set_at = Utc::now();
    let moves: Vec<TimerMove> = (0..)
        .zip(orders)
        .map(|(n, order)| TimerMove {
            stream: StreamId::new(order.0, StreamKind::Order.name()),
            name: SAGA_TIMER.into(),
            due_at: first + gap * n,
            set_at,
            upto: Position(i64::MAX),
        })
        .collect();
    for moves in moves.chunks(MOVED_AT_ONCE) {
        store.move_timers(moves).await?;
    }
    Ok(())
}

fn tell(figures: &mut Figures, lane: &str, measured: &[Measured]) {
    let at = |quantile: f64| -> Vec<f64> { measured.iter().map(|m| quantile_ms(&m.late, quantile)).collect() };
    let p50 = figures.add(format!("timers.{lane}.p50_ms"), "ms", &at(0.5));
    let p99 = figures.add(format!("timers.{lane}.p99_ms"), "ms", &at(0.99));
    let max = figures.add(format!("timers.{lane}.max_ms"), "ms", &at(1.0));
    let all: Vec<f64> = measured.iter().map(|m| m.all_done.as_secs_f64()).collect();
    let all = figures.add(format!("timers.{lane}.all_done_s"), "s", &all);
    say!("{lane:<12}  p50 {p50} ms, p99 {p99} ms, max {max} ms; all at their end after {all} s");
}
