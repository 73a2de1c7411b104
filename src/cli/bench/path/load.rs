//! So many orders in flight, or due at fixed times.
use super::{
    orders::{Ended, Orders},
    shop::Shops,
};
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
    /// The clock: so many a second are due, however long those before take. What each `every` came to is told.
    Open { rate: f64, every: Option<Duration> },
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

#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) pace: Pace,
    pub(super) orders: Orders,
    /// The number of the first order: none is placed twice.
    pub(super) first: usize,
    pub(super) count: usize,
}

/// How orders ended, each as it had to.
#[derive(Debug)]
pub(super) struct Tally {
    /// Of those that were completed.
    latencies: Histogram<u64>,
    pub(super) cancelled: u64,
    pub(super) rejected: u64,
}

impl Tally {
    fn new() -> Tally {
        Tally { latencies: histogram(), cancelled: 0, rejected: 0 }
    }

    fn take(&mut self, ended: Ended, took: Duration) {
        match ended {
            Ended::Completed => record(&mut self.latencies, took),
            Ended::Cancelled => self.cancelled += 1,
            Ended::Rejected => self.rejected += 1,
        }
    }

    fn add(&mut self, other: &Tally) -> Result<()> {
        self.latencies.add(&other.latencies)?;
        self.cancelled += other.cancelled;
        self.rejected += other.rejected;
        Ok(())
    }

    pub(super) fn completed(&self) -> u64 {
        self.latencies.len()
    }

    /// Those that were orders at all.
    pub(super) fn orders(&self) -> u64 {
        self.completed() + self.cancelled
    }

    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        quantile_ms(&self.latencies, quantile)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [0.5, 0.99].map(|quantile| self.quantile_ms(quantile));
        write!(f, "{} orders", self.orders())?;
        if self.cancelled + self.rejected > 0 {
            write!(f, " ({} cancelled, {} rejected beside)", self.cancelled, self.rejected)?;
        }
        write!(f, ", p50 {p50:.1} ms, p99 {p99:.1} ms")
    }
}

/// What a load came to.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) tally: Tally,
    took: Duration,
}

impl Placed {
    pub(super) fn rate(&self) -> f64 {
        self.tally.orders() as f64 / self.took.as_secs_f64()
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {:.0} a second", self.tally, self.rate())
    }
}

pub(super) async fn place(shops: &Arc<Shops>, load: Load) -> Result<Placed> {
    match load.pace {
        Pace::Closed { in_flight } => in_a_closed_loop(shops, load, in_flight).await,
        Pace::Open { rate, every } => in_an_open_loop(shops, load, rate, every).await,
    }
}

async fn in_a_closed_loop(shops: &Arc<Shops>, load: Load, in_flight: usize) -> Result<Placed> {
    let mut connections = Vec::with_capacity(in_flight);
    for _ in 0..in_flight {
        connections.push(shops.connect().await?);
    }
    let (next, load, began) = (Arc::new(AtomicUsize::new(0)), Arc::new(load), Instant::now());
    let mut lanes = JoinSet::new();
    for mut connection in connections {
        let (next, load) = (Arc::clone(&next), Arc::clone(&load));
        lanes.spawn(async move {
            let mut tally = Tally::new();
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= load.count {
                    return anyhow::Ok(tally);
                }
                let order = load.orders.order(load.first + number);
                let sent = Instant::now();
                let ended = connection.place(order).await?;
                tally.take(ended, sent.elapsed());
            }
        });
    }
    let mut tally = Tally::new();
    while let Some(lane) = lanes.join_next().await {
        tally.add(&lane??)?;
    }
    Ok(Placed { tally, took: began.elapsed() })
}

/// An order's time counts from when it was due: what waits for a late start or for a connection is not hidden.
async fn in_an_open_loop(shops: &Arc<Shops>, load: Load, rate: f64, every: Option<Duration>) -> Result<Placed> {
    let (idle, began) = (Arc::new(Mutex::new(Vec::new())), Instant::now());
    let mut orders = JoinSet::new();
    let (mut tally, mut lately, mut told) = (Tally::new(), Tally::new(), began);
    for number in 0..load.count {
        let due = began + Duration::from_secs_f64(number as f64 / rate);
        sleep_until(due).await;
        while let Some(ended) = orders.try_join_next() {
            let (ended, took) = ended??;
            lately.take(ended, took);
        }
        if every.is_some_and(|every| told.elapsed() >= every) {
            told = Instant::now();
            say!("# {:.0} s: {lately}", began.elapsed().as_secs_f64());
            tally.add(&std::mem::replace(&mut lately, Tally::new()))?;
        }
        ensure!(orders.len() < MOST_IN_FLIGHT, "{rate} orders a second are too many: {MOST_IN_FLIGHT} are in flight");
        let (shops, idle, order) = (Arc::clone(shops), Arc::clone(&idle), load.orders.order(load.first + number));
        orders.spawn(async move {
            let free = idle.lock().await.pop();
            let mut connection = match free {
                Some(connection) => connection,
                None => shops.connect().await?,
            };
            let ended = connection.place(order).await?;
            let took = due.elapsed();
            idle.lock().await.push(connection);
            anyhow::Ok((ended, took))
        });
    }
    while let Some(ended) = orders.join_next().await {
        let (ended, took) = ended??;
        lately.take(ended, took);
    }
    tally.add(&lately)?;
    Ok(Placed { tally, took: began.elapsed() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_what_was_no_order_apart_and_times_only_what_was_completed() {
        let (mut all, mut one) = (Tally::new(), Tally::new());
        one.take(Ended::Completed, Duration::from_millis(8));
        one.take(Ended::Cancelled, Duration::from_secs(9));
        one.take(Ended::Rejected, Duration::from_secs(9));
        all.add(&one).unwrap();
        all.add(&one).unwrap();
        assert_eq!((all.completed(), all.cancelled, all.rejected, all.orders()), (2, 2, 2, 4));
        assert_eq!(all.quantile_ms(1.0).round(), 8.0);
        assert_eq!(all.to_string(), "4 orders (2 cancelled, 2 rejected beside), p50 8.0 ms, p99 8.0 ms");
    }
}
