//! `waybill bench sagas`: the whole path as its users feel it, from the request until the order is COMPLETED.
mod account;
mod load;
mod shop;
mod stack;

use super::figures::Figures;
use crate::config::Settings;
use account::Costs;
use anyhow::{Result, ensure};
use clap::Args;
use load::{Load, Pace};
use stack::Stack;
use std::time::Duration;

/// Orders before each measurement, so that nothing is cold.
const WARM_UP: usize = 2_000;
const WARM_UP_IN_FLIGHT: usize = 64;
const WARM_UP_DECLINED: u32 = 10;
/// One at a time takes its time: at most so many orders for each in flight.
const ORDERS_FOR_EACH: usize = 500;

/// Orders of three lines through a whole `waybill up`, each from its request until it is COMPLETED
///
/// Starts PostgreSQL, Kafka and `waybill up` on fresh data for each measurement, brings goods in and warms up. Then so many orders are in flight at
/// a time, each over a connection of its own with `Prefer: wait`: the next is placed when the one before has ended, and the read model shows it
/// (closed loop). With --rate orders are due at fixed times, whatever becomes of those before, and their time counts from when they were due
/// (open loop). Every answer is checked, and `waybill verify` runs after each measurement. Tells how long orders took, how many a second ended, and what
/// each process used for them.
#[derive(Args, Debug)]
pub struct SagasBench {
    /// Orders in flight; several are measured one after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256], value_name = "N,…")]
    concurrency: Vec<usize>,
    /// Orders of a measurement, at most 500 for each in flight
    #[arg(long, default_value_t = 12_000, value_name = "N")]
    orders: usize,
    /// How many of a hundred orders are declined
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    declined: u32,
    /// Goods that orders choose among; with 3 each order wants the same three
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    skus: usize,
    /// Open loop: orders due a second
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// How long with --rate
    #[arg(long, default_value_t = 20.0, value_name = "SECONDS")]
    seconds: f64,
    #[arg(long, default_value_t = 3, value_name = "N")]
    repeats: usize,
    /// Also tells what PostgreSQL did for an order, which takes half a minute more for each measurement
    #[arg(long)]
    account: bool,
    /// Ends with one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl SagasBench {
    fn paces(&self) -> Vec<Pace> {
        match self.rate {
            Some(rate) => vec![Pace::Open { rate, time: Duration::from_secs_f64(self.seconds) }],
            None => self.concurrency.iter().map(|in_flight| Pace::Closed { in_flight: *in_flight }).collect(),
        }
    }

    fn load(&self, pace: Pace) -> Load {
        let orders = match pace {
            Pace::Open { rate, time } => (rate * time.as_secs_f64()) as usize,
            Pace::Closed { in_flight } => self.orders.min(in_flight * ORDERS_FOR_EACH),
        };
        Load { pace, first: WARM_UP, orders, declined: self.declined, skus: self.skus }
    }
}

/// What was measured, once.
struct Measured {
    ended: load::Ended,
    costs: Costs,
}

pub(super) async fn run(settings: &Settings, bench: &SagasBench) -> Result<Figures> {
    ensure!(bench.repeats > 0 && bench.orders > 0, "repeats and orders must be at least 1");
    ensure!(bench.concurrency.iter().all(|n| (1..=4096).contains(n)), "concurrency must be 1 to 4096");
    ensure!(bench.rate.is_none_or(|rate| rate > 0.0) && bench.seconds > 0.0, "rate and seconds must be above 0");
    ensure!(bench.skus >= shop::LINES, "an order wants {} different goods", shop::LINES);
    let paces = bench.paces();
    let mut measured: Vec<Vec<Measured>> = paces.iter().map(|_| vec![]).collect();
    for _ in 0..bench.repeats {
        for (pace, measured) in paces.iter().zip(&mut measured) {
            let one = once(settings, bench, bench.load(*pace)).await?;
            say!("# {pace}: {}", one.ended);
            measured.push(one);
        }
    }
    let mut figures = Figures::default();
    for (pace, measured) in paces.iter().zip(&measured) {
        tell(settings, bench, *pace, measured, &mut figures);
    }
    Ok(figures)
}

/// On fresh data, so that no measurement pays for the one before.
async fn once(settings: &Settings, bench: &SagasBench, load: Load) -> Result<Measured> {
    let stack = Stack::start(settings).await?;
    let measured = measure(&stack, bench, load).await;
    let verified = match &measured {
        Ok(_) => stack.verify().await,
        Err(_) => Ok(()),
    };
    stack.stop().await?;
    verified?;
    measured
}

async fn measure(stack: &Stack, bench: &SagasBench, load: Load) -> Result<Measured> {
    let shop = stack.shop();
    shop.receive(bench.skus).await?;
    let pace = Pace::Closed { in_flight: WARM_UP_IN_FLIGHT };
    let warm_up = Load { pace, first: 0, orders: WARM_UP, declined: WARM_UP_DECLINED, skus: bench.skus };
    load::place(&shop, warm_up).await?;
    let before = stack.account(bench.account).await?;
    let ended = load::place(&shop, load).await?;
    let costs = stack.account(bench.account).await?.since(&before, ended.orders());
    Ok(Measured { ended, costs })
}

fn tell(settings: &Settings, bench: &SagasBench, pace: Pace, measured: &[Measured], figures: &mut Figures) {
    let participants = settings.participants.name();
    let declined = if bench.declined > 0 { format!("declined{}.", bench.declined) } else { String::new() };
    let name = |figure: &str| format!("sagas.{participants}.{declined}{}.{figure}", pace.name());
    let all = |of: &dyn Fn(&Measured) -> f64| -> Vec<f64> { measured.iter().map(of).collect() };
    let rate = figures.add(name("orders_per_s"), "orders/s", &all(&|one| one.ended.rate()));
    say!("{pace}, participants {participants}: {rate} orders/s");
    let quantiles = [("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("p99_9_ms", 0.999), ("p99_99_ms", 0.9999)];
    for (figure, quantile) in quantiles {
        let took = figures.add(name(figure), "ms", &all(&|one| one.ended.quantile_ms(quantile)));
        say!("  {figure:<12} {took}");
    }
    let Some(first) = measured.first() else { return };
    for (figure, (_, unit)) in &first.costs {
        let cost = |one: &Measured| one.costs.get(figure).map_or(0.0, |(value, _)| *value);
        let spread = figures.add(name(figure), unit, &all(&cost));
        say!("  {figure:<36} {spread} {unit}");
    }
}
