//! `waybill bench import`: orders of a file, as `waybill import` takes them.
use super::{Plan, Telling, growth::Growth, load::Pace, orders::Orders};
use crate::{
    cli::{
        bench::figures::Figures,
        import::input::{Input, Kind},
    },
    config::Settings,
};
use anyhow::{Result, ensure};
use axum::body::Bytes;
use clap::Args;
use indicatif::ProgressBar;
use std::path::PathBuf;

/// Goods that the orders of the warm-up choose among.
const SKUS: usize = 1_000;

/// Orders of a file through a whole `waybill up`, each from its request until it is COMPLETED
///
/// As `bench sagas` in a closed loop, on fresh data for each measurement, with the files that `waybill import` takes: goods come in first, then
/// the orders are placed in their order. One may be completed, cancelled for want of goods, or rejected as unsound; any other answer is a
/// failure. Times are of those that were completed, orders a second and costs of those and the cancelled ones.
#[derive(Args, Debug)]
pub struct ImportBench {
    /// FILE.jsonl of orders and FILE.csv of goods, also with .gz
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Orders in flight; several are measured one after the other
    #[arg(long, value_delimiter = ',', default_values_t = [64], value_name = "N,…")]
    concurrency: Vec<usize>,
    /// The first so many orders alone
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true, value_name = "N")]
    orders: usize,
    #[command(flatten)]
    pub(in crate::cli::bench) telling: Telling,
}

pub(in crate::cli::bench) async fn run(settings: &Settings, bench: &ImportBench) -> Result<Figures> {
    let (stock, orders) = read(&bench.files, bench.orders)?;
    ensure!(!orders.is_empty(), "no file holds orders");
    let paces = bench.concurrency.iter().map(|n| (Pace::Closed { in_flight: *n }, orders.len()));
    let plan = Plan {
        lane: format!("import.{}", settings.participants.name()),
        paces: paces.collect(),
        orders: Orders::Read(orders.into()),
        first: 0,
        skus: SKUS,
        growth: Growth::NONE,
        stock,
        telling: &bench.telling,
    };
    super::run(settings, &plan).await
}

/// The files of goods, and the first orders of the others.
fn read(files: &[PathBuf], most: usize) -> Result<(Vec<PathBuf>, Vec<Bytes>)> {
    let (mut stock, mut orders) = (vec![], vec![]);
    for file in files {
        let input = Input::open(file)?;
        match input.kind {
            Kind::Stock => stock.push(file.canonicalize()?),
            Kind::Orders => {
                let left = most - orders.len();
                for line in input.lines(&ProgressBar::hidden())?.take(left) {
                    orders.push(line?.bytes.into());
                }
            }
        }
    }
    Ok((stock, orders))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goods_are_told_from_orders_and_only_the_first_orders_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = [
            file("a.jsonl", "{\"a\":1}\n\n{\"a\":2}\n"),
            file("stock.csv", "location,sku,quantity\nmain,tea,1\n"),
            file("b.jsonl", "{\"b\":1}\n{\"b\":2}\n"),
        ];
        let (stock, orders) = read(&files, 3).unwrap();
        assert_eq!(stock, [files[1].canonicalize().unwrap()]);
        assert_eq!(orders, ["{\"a\":1}", "{\"a\":2}", "{\"b\":1}"]);
        assert_eq!(read(&files, usize::MAX).unwrap().1.len(), 4);
        assert!(read(&[folder.path().join("missing.jsonl")], 1).is_err());
    }
}
