//! `waybill bench codec`: what a payload costs as json, jsonb, text and bytea: to write, to read, on disk.
use super::figures::Figures;
use super::load::Shape;
use anyhow::{Result, ensure};
use clap::Args;
use eventstore::sql::bench::{Codec, CodecLane, Scratch};
use std::time::{Duration, Instant};

const PAGE: i64 = 1_000;

/// The cost of a payload in each type of column
#[derive(Args, Debug)]
pub struct CodecBench {
    /// Rows of one insert
    #[arg(long, default_value_t = 320, value_name = "N")]
    rows: usize,
    #[arg(long, default_value_t = 500, value_name = "BYTES")]
    bytes: usize,
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    seconds: f64,
    #[arg(long, default_value_t = 5, value_name = "N")]
    repeats: usize,
    /// Ends with one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(server: &str, bench: &CodecBench) -> Result<Figures> {
    ensure!(bench.repeats > 0 && bench.rows > 0, "repeats and rows must be at least 1");
    let scratch = Scratch::create(server).await?;
    let measured = measure(&scratch, bench).await;
    scratch.remove().await?;
    measured
}

async fn measure(scratch: &Scratch, bench: &CodecBench) -> Result<Figures> {
    let shape = Shape::new(1, bench.bytes)?;
    let time = Duration::from_secs_f64(bench.seconds);
    let mut written = [const { Vec::new() }; Codec::ALL.len()];
    let mut read = written.clone();
    let mut size = written.clone();
    for _ in 0..bench.repeats {
        for (n, codec) in Codec::ALL.into_iter().enumerate() {
            let mut lane = CodecLane::create(scratch, codec).await?;
            let begun = Instant::now();
            while begun.elapsed() < time {
                lane.insert(shape.payload(), bench.rows).await?;
            }
            written[n].push(lane.rows() as f64 / begun.elapsed().as_secs_f64());
            let (begun, mut after) = (Instant::now(), 0);
            while after < lane.rows() {
                lane.read(after, PAGE).await?;
                after += PAGE;
            }
            read[n].push(lane.rows() as f64 / begun.elapsed().as_secs_f64());
            size[n].push(lane.size().await? as f64 / lane.rows() as f64);
        }
    }
    let mut figures = Figures::default();
    say!("# payloads of {} bytes, {} rows an insert", shape.payload().len(), bench.rows);
    say!("codec  rows/s written              rows/s read                 bytes a row");
    for (n, codec) in Codec::ALL.into_iter().enumerate() {
        let name = |figure: &str| format!("codec.{}.{figure}", codec.name());
        let written = figures.add(name("written_per_s"), "rows/s", &written[n]);
        let read = figures.add(name("read_per_s"), "rows/s", &read[n]);
        let size = figures.add(name("row_bytes"), "bytes", &size[n]);
        say!("{:<5}  {:<26}  {:<26}  {:.0}", codec.name(), written.to_string(), read.to_string(), size.median);
    }
    Ok(figures)
}
