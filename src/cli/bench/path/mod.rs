//! `waybill bench sagas` and `import`: the whole path as its users feel it, from the request until the order has ended.
mod account;
mod growth;
pub(super) mod import;
mod load;
mod orders;
pub(super) mod sagas;
mod seed;
mod shop;
mod stack;

use super::figures::Figures;
use crate::config::Settings;
use account::Costs;
use anyhow::{Result, ensure};
use clap::Args;
use growth::Growth;
use load::{Load, Pace, Placed};
use orders::{Made, Orders};
use stack::Stack;
use std::path::PathBuf;

/// Orders before each measurement, so that nothing is cold.
const WARM_UP: usize = 2_000;
const WARM_UP_IN_FLIGHT: usize = 64;
const WARM_UP_DECLINED: u32 = 10;
const MAX_IN_FLIGHT: usize = 4_096;

/// How often is measured, and what is told.
#[derive(Args, Debug)]
pub(super) struct Telling {
    #[arg(long, default_value_t = 3, value_name = "N")]
    repeats: usize,
    /// Also tells what PostgreSQL did for an order, which takes half a minute more for each measurement
    #[arg(long)]
    account: bool,
    /// Ends with one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What is measured.
#[derive(Debug)]
struct Plan<'a> {
    /// What its figures' names begin with.
    lane: String,
    /// Each with how many orders.
    paces: Vec<(Pace, usize)>,
    orders: Orders,
    /// The number of the first one.
    first: usize,
    /// Goods that made orders choose among, those of the warm-up too.
    skus: usize,
    growth: Growth,
    /// Files of goods in, besides.
    stock: Vec<PathBuf>,
    telling: &'a Telling,
}

/// What was measured, once.
struct Measured {
    placed: Placed,
    costs: Costs,
}

async fn run(settings: &Settings, plan: &Plan<'_>) -> Result<Figures> {
    ensure!(plan.telling.repeats > 0, "repeats must be at least 1");
    ensure!(plan.paces.iter().all(|(_, count)| *count > 0), "there are no orders");
    let in_bounds = |pace: &Pace| match pace {
        Pace::Closed { in_flight } => (1..=MAX_IN_FLIGHT).contains(in_flight),
        Pace::Open { .. } => true,
    };
    ensure!(plan.paces.iter().all(|(pace, _)| in_bounds(pace)), "concurrency must be 1 to {MAX_IN_FLIGHT}");
    let mut measured: Vec<Vec<Measured>> = plan.paces.iter().map(|_| vec![]).collect();
    for _ in 0..plan.telling.repeats {
        for ((pace, count), measured) in plan.paces.iter().zip(&mut measured) {
            let one = once(settings, plan, *pace, *count).await?;
            say!("# {pace}: {}", one.placed);
            measured.push(one);
        }
    }
    let mut figures = Figures::default();
    for ((pace, _), measured) in plan.paces.iter().zip(&measured) {
        tell(settings, &plan.lane, *pace, measured, &mut figures);
    }
    Ok(figures)
}

/// On fresh data, so that no measurement pays for the one before.
async fn once(settings: &Settings, plan: &Plan<'_>, pace: Pace, count: usize) -> Result<Measured> {
    let mut stack = Stack::start(settings, plan.growth.first_roles()).await?;
    let measured = measure(&mut stack, settings, plan, pace, count).await;
    let verified = match &measured {
        Ok(_) => stack.verify().await,
        Err(_) => Ok(()),
    };
    stack.stop().await?;
    verified?;
    measured
}

async fn measure(
    stack: &mut Stack,
    settings: &Settings,
    plan: &Plan<'_>,
    pace: Pace,
    count: usize,
) -> Result<Measured> {
    let shops = plan.growth.prepare(stack, settings, plan.skus).await?;
    for file in &plan.stock {
        stack.import(file).await?;
    }
    let made = Orders::Made(Made { declined: WARM_UP_DECLINED, skus: plan.skus });
    let warm_up = Pace::Closed { in_flight: WARM_UP_IN_FLIGHT };
    load::place(&shops, Load { pace: warm_up, orders: made, first: 0, count: WARM_UP }).await?;
    let before = stack.account(plan.telling.account).await?;
    let load = Load { pace, orders: plan.orders.clone(), first: plan.first, count };
    let placed = load::place(&shops, load).await?;
    let costs = stack.account(plan.telling.account).await?.since(&before, placed.tally.orders());
    Ok(Measured { placed, costs })
}

fn tell(settings: &Settings, lane: &str, pace: Pace, measured: &[Measured], figures: &mut Figures) {
    let participants = settings.participants.name();
    let name = |figure: &str| format!("{lane}.{}.{figure}", pace.name());
    let all = |of: &dyn Fn(&Measured) -> f64| -> Vec<f64> { measured.iter().map(of).collect() };
    let rate = figures.add(name("orders_per_s"), "orders/s", &all(&|one| one.placed.rate()));
    say!("{pace}, participants {participants}: {rate} orders/s");
    let quantiles = [("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("p99_9_ms", 0.999), ("p99_99_ms", 0.9999)];
    for (figure, quantile) in quantiles {
        let took = figures.add(name(figure), "ms", &all(&|one| one.placed.tally.quantile_ms(quantile)));
        say!("  {figure:<12} {took}");
    }
    let ends = [
        ("completed", all(&|one| one.placed.tally.completed() as f64)),
        ("cancelled", all(&|one| one.placed.tally.cancelled as f64)),
        ("rejected", all(&|one| one.placed.tally.rejected as f64)),
    ];
    for (figure, counts) in ends {
        let count = figures.add(name(figure), "orders", &counts);
        say!("  {figure:<12} {count}");
    }
    let Some(first) = measured.first() else { return };
    for (figure, (_, unit)) in &first.costs {
        let cost = |one: &Measured| one.costs.get(figure).map_or(0.0, |(value, _)| *value);
        let spread = figures.add(name(figure), unit, &all(&cost));
        say!("  {figure:<36} {spread} {unit}");
    }
}
