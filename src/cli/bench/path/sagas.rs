//! `waybill bench sagas`: orders of three lines.
use super::{
    Plan, Telling, WARM_UP,
    growth::Growth,
    load::Pace,
    orders::{LINES, Made, Orders},
};
use crate::{cli::bench::figures::Figures, config::Settings};
use anyhow::{Result, ensure};
use clap::Args;
use std::time::Duration;

/// Where nobody says how many.
const ORDERS: usize = 12_000;
/// One at a time takes its time: then at most so many for each in flight.
const ORDERS_FOR_EACH: usize = 2_000;

/// Orders of three lines through a whole `waybill up`, each from its request until it is COMPLETED
///
/// Starts PostgreSQL, Kafka and `waybill up` on fresh data for each measurement, brings goods in and warms up. Then so many orders are in flight at
/// a time, each over a connection of its own with `Prefer: wait`: the next is placed when the one before has ended, and the read model shows it
/// (closed loop). With --rate orders are due at fixed times, whatever becomes of those before, and their time counts from when they were due
/// (open loop). With --stored or --waiting so many orders are in the log, in Kafka and in the read model before. Every answer is checked, and
/// `waybill verify` runs after each measurement. Tells how long orders took, how many a second ended, and what each process used for them.
#[derive(Args, Debug)]
pub struct SagasBench {
    /// Orders in flight; several are measured one after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256], value_name = "N,…")]
    concurrency: Vec<usize>,
    /// Orders of a measurement: 12,000 where it isn't said, but at most 2,000 for each in flight
    #[arg(long, value_name = "N")]
    orders: Option<usize>,
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
    /// With --rate, also tells what each so many seconds came to
    #[arg(long, requires = "rate", value_name = "SECONDS")]
    every: Option<f64>,
    #[command(flatten)]
    growth: Growth,
    #[command(flatten)]
    pub(in crate::cli::bench) telling: Telling,
}

impl SagasBench {
    /// Each with how many orders.
    fn paces(&self) -> Vec<(Pace, usize)> {
        match self.rate {
            Some(rate) => {
                let (time, every) = (Duration::from_secs_f64(self.seconds), self.every.map(Duration::from_secs_f64));
                vec![(Pace::Open { rate, every }, (rate * time.as_secs_f64()) as usize)]
            }
            None => {
                let count = |in_flight: usize| self.orders.unwrap_or(ORDERS.min(in_flight * ORDERS_FOR_EACH));
                self.concurrency.iter().map(|n| (Pace::Closed { in_flight: *n }, count(*n))).collect()
            }
        }
    }

    fn lane(&self, participants: &str) -> String {
        let declined = (self.declined > 0).then(|| format!("declined{}", self.declined));
        let parts = ["sagas".to_owned(), participants.to_owned()].into_iter().chain(self.growth.names());
        parts.chain(declined).collect::<Vec<_>>().join(".")
    }
}

pub(in crate::cli::bench) async fn run(settings: &Settings, bench: &SagasBench) -> Result<Figures> {
    let is_above = |number: Option<f64>| number.is_none_or(|number| number > 0.0 && number.is_finite());
    let numbers = [bench.rate, Some(bench.seconds), bench.every];
    ensure!(numbers.into_iter().all(is_above), "rate, seconds and every must be above 0");
    ensure!(bench.skus >= LINES, "an order wants {LINES} different goods");
    bench.growth.check()?;
    let plan = Plan {
        lane: bench.lane(settings.participants.name()),
        paces: bench.paces(),
        orders: Orders::Made(Made { declined: bench.declined, skus: bench.skus }),
        first: WARM_UP,
        skus: bench.skus,
        growth: bench.growth,
        stock: vec![],
        telling: &bench.telling,
    };
    super::run(settings, &plan).await
}
