//! So many orders in flight, or due at fixed times.
use super::shop::{Order, Shop};
use crate::cli::bench::figures::{histogram, quantile_ms, record};
use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Of an open loop: who falls so far behind does not keep up, and the rate is not measured.
const MOST_IN_FLIGHT: usize = 4_096;

/// What sets the pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// The end of an order: so many are in flight.
    Closed { in_flight: usize },
    /// The clock: so many a second are due, however long those before take.
    Open { rate: f64, time: Duration },
}

impl Pace {
    pub(super) fn name(self) -> String {
        match self {
            Pace::Closed { in_flight } => format!("c{in_flight}"),
            Pace::Open { rate, .. } => format!("r{rate}"),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::Closed { in_flight } => write!(f, "{in_flight} in flight"),
            Pace::Open { rate, .. } => write!(f, "{rate} due a second"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) pace: Pace,
    /// The number of the first order: none is placed twice.
    pub(super) first: usize,
    pub(super) orders: usize,
    /// Of a hundred.
    pub(super) declined: u32,
    pub(super) skus: usize,
}

impl Load {
    fn order(&self, nth: usize) -> Order {
        let number = self.first + nth;
        Order { number, declined: number % 100 < self.declined as usize, skus: self.skus }
    }
}

/// Every order ended as it had to.
#[derive(Debug)]
pub(super) struct Ended {
    latencies: Histogram<u64>,
    took: Duration,
}

impl Ended {
    pub(super) fn orders(&self) -> u64 {
        self.latencies.len()
    }

    pub(super) fn rate(&self) -> f64 {
        self.orders() as f64 / self.took.as_secs_f64()
    }

    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        quantile_ms(&self.latencies, quantile)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [0.5, 0.99].map(|quantile| self.quantile_ms(quantile));
        let (orders, rate) = (self.orders(), self.rate());
        write!(f, "{orders} orders, {rate:.0} a second, p50 {p50:.1} ms, p99 {p99:.1} ms")
    }
}

pub(super) async fn place(shop: &Arc<Shop>, load: Load) -> Result<Ended> {
    match load.pace {
        Pace::Closed { in_flight } => in_a_closed_loop(shop, load, in_flight).await,
        Pace::Open { rate, .. } => in_an_open_loop(shop, load, rate).await,
    }
}

async fn in_a_closed_loop(shop: &Arc<Shop>, load: Load, in_flight: usize) -> Result<Ended> {
    let mut connections = Vec::with_capacity(in_flight);
    for _ in 0..in_flight {
        connections.push(shop.connect().await?);
    }
    let (next, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut lanes = JoinSet::new();
    for mut connection in connections {
        let next = Arc::clone(&next);
        lanes.spawn(async move {
            let mut latencies = histogram();
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= load.orders {
                    return anyhow::Ok(latencies);
                }
                let sent = Instant::now();
                connection.place(load.order(number)).await?;
                record(&mut latencies, sent.elapsed());
            }
        });
    }
    let mut latencies = histogram();
    while let Some(lane) = lanes.join_next().await {
        latencies.add(lane??)?;
    }
    Ok(Ended { latencies, took: began.elapsed() })
}

/// An order's time counts from when it was due: what waits for a late start or for a connection is not hidden.
async fn in_an_open_loop(shop: &Arc<Shop>, load: Load, rate: f64) -> Result<Ended> {
    let (idle, began) = (Arc::new(Mutex::new(Vec::new())), Instant::now());
    let mut orders = JoinSet::new();
    let mut latencies = histogram();
    for number in 0..load.orders {
        let due = began + Duration::from_secs_f64(number as f64 / rate);
        sleep_until(due).await;
        while let Some(ended) = orders.try_join_next() {
            record(&mut latencies, ended??);
        }
        ensure!(orders.len() < MOST_IN_FLIGHT, "{rate} orders a second are too many: {MOST_IN_FLIGHT} are in flight");
        let (shop, idle) = (Arc::clone(shop), Arc::clone(&idle));
        orders.spawn(async move {
            let free = idle.lock().await.pop();
            let mut connection = match free {
                Some(connection) => connection,
                None => shop.connect().await?,
            };
            connection.place(load.order(number)).await?;
            let took = due.elapsed();
            idle.lock().await.push(connection);
            anyhow::Ok(took)
        });
    }
    while let Some(ended) = orders.join_next().await {
        record(&mut latencies, ended??);
    }
    Ok(Ended { latencies, took: began.elapsed() })
}
