//! The other process of `waybill bench mirror`: reads, and says of each record its position and when it came.
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use eventstore::{EventFeed, Incarnation, Log, Position};
use mirror::{KafkaConfig, KafkaFeed, Place, bench::PlainReader};
use std::{
    ops::RangeInclusive,
    process::Stdio,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::oneshot,
};

const READY: &str = "ready";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// The last record may come so long after its append.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
const PAGE: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Waybill's own feed.
    Reader,
    /// A plain consumer of committed records.
    Outsider,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Reader => "reader",
            Kind::Outsider => "outsider",
        }
    }
}

/// Writes a line a record: its position, and the microseconds since 1970 at its receipt.
#[derive(Args, Debug)]
pub struct MirrorReader {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    prefix: String,
    #[arg(long, value_enum)]
    kind: Kind,
    /// The position after which it begins
    #[arg(long)]
    after: i64,
}

pub(in crate::cli::bench) async fn run(reader: &MirrorReader) -> Result<()> {
    let kafka = KafkaConfig { topic_prefix: reader.prefix.clone(), ..KafkaConfig::new(&reader.brokers) };
    match reader.kind {
        Kind::Reader => {
            let after = Place { incarnation: Incarnation(1), position: Position(reader.after) };
            let mut feed = KafkaFeed::whole(kafka, Log::MAIN, if reader.after == 0 { Place::START } else { after });
            say!("{READY}");
            loop {
                let events = feed.next(PAGE).await?;
                let at = micros(SystemTime::now());
                events.iter().for_each(|event| say!("{} {at}", event.position));
            }
        }
        Kind::Outsider => {
            tokio::task::spawn_blocking(move || {
                let plain = PlainReader::at_end(&kafka, Log::MAIN)?;
                say!("{READY}");
                loop {
                    if let Some(position) = plain.next(POLL)? {
                        say!("{position} {}", micros(SystemTime::now()));
                    }
                }
            })
            .await?
        }
    }
}

pub(super) fn micros(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// That process, as the benchmark sees it. It is killed when dropped.
pub(super) struct Process {
    kind: Kind,
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(super) async fn start(kind: Kind, kafka: &KafkaConfig, after: Position) -> Result<Process> {
        let exe = std::env::current_exe().context("the running program can't be found")?;
        let mut command = Command::new(exe);
        command.args(["bench", "mirror-reader", "--brokers", &kafka.brokers, "--prefix", &kafka.topic_prefix]);
        command.args(["--kind", kind.name(), "--after", &after.to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("it has no output")?).lines();
        let mut process = Process { kind, _child: child, lines };
        let ready = tokio::time::timeout(READY_WITHIN, process.lines.next_line()).await;
        let line = ready.context("the reading process doesn't start")??;
        anyhow::ensure!(line.as_deref() == Some(READY), "the reading process has ended early");
        Ok(process)
    }

    /// What it reads of these positions, once that is told and all of them have come: positions and microseconds.
    pub(super) async fn read_all_of(mut self, told: oneshot::Receiver<RangeInclusive<i64>>) -> Result<Vec<(i64, i64)>> {
        let (mut read, mut told, mut wanted) = (Vec::new(), Some(told), 0..=i64::MAX);
        let mut missing = i64::MAX;
        while missing > 0 {
            let line = tokio::select! {
                line = self.lines.next_line() => line?,
                range = async { match told.as_mut() { Some(told) => told.await, None => std::future::pending().await } } => {
                    (wanted, told) = (range.context("the load has ended early")?, None);
                    read.retain(|(position, _)| wanted.contains(position));
                    missing = wanted.end() - wanted.start() + 1 - i64::try_from(read.len())?;
                    continue;
                }
                () = tokio::time::sleep(PATIENCE) => None,
            };
            let line = line.with_context(|| format!("the {} has stopped", self.kind.name()))?;
            let (position, at) = line.split_once(' ').context("a line of the reading process can't be read")?;
            let (position, at): (i64, i64) = (position.parse()?, at.parse()?);
            if wanted.contains(&position) {
                read.push((position, at));
                missing -= 1;
            }
        }
        Ok(read)
    }
}
