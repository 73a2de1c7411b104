//! What is lost: told, written to a file event by event, and put on record.
use crate::erasures;
use anyhow::{Context, Result};
use chrono::Utc;
use domain::OrderId;
use eventstore::{Abandoned, EventStore, Lives, Log, PgEventStore, RecordedEvent, sql::lives};
use mirror::{Gone, KafkaConfig};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// More than these are counted, not shown.
const SHOWN: usize = 20;
/// A person's erasure that is lost with the rest.
const ERASURE: &str = "ErasureRequested";

/// One line of the file: the event as it is in Kafka.
#[derive(Serialize)]
struct Line<'a> {
    incarnation: i32,
    position: i64,
    stream: String,
    version: i32,
    shop: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    schema_version: i16,
    recorded_at: chrono::DateTime<Utc>,
    metadata: &'a eventstore::Metadata,
    payload: &'a RawValue,
}

pub(super) fn say(gone: &[Gone]) {
    for gone in gone {
        say!("  lost: {gone}");
        let types: Vec<_> = gone.types.iter().map(|(name, count)| format!("{name} {count}")).collect();
        say!("    {}", types.join(", "));
        let orders = gone.orders();
        for order in orders.iter().take(SHOWN) {
            say!("    {}", OrderId(*order));
        }
        if orders.len() > SHOWN {
            say!("    and {} more orders", orders.len() - SHOWN);
        }
        if let Some(erasures) = gone.types.get(ERASURE) {
            say!("    {erasures} erasures of persons are among it; they are applied again");
        }
    }
    say!(
        "  what Kafka had not been told of by then can't be known; the participants' ledgers may: see `waybill verify`"
    );
}

/// Writes every lost event to a file, then puts the ranges on record: in this order, so that a file there always is.
pub(super) async fn settle(
    store: &Arc<PgEventStore>,
    kafka: &KafkaConfig,
    lives: &Lives,
    data_dir: &Path,
) -> Result<()> {
    fs::create_dir_all(data_dir).with_context(|| format!("{} can't be made", data_dir.display()))?;
    let (path, partial) = free_name(data_dir, lives.current().0);
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&partial);
    let mut file = BufWriter::new(file.with_context(|| format!("{} can't be written", partial.display()))?);
    let written = file.get_ref().try_clone()?;
    let (erasures, found) = (Arc::new(Mutex::new(Vec::new())), path.with_extension("erasures.jsonl"));
    let erased = erasures.clone();
    let gone = mirror::recover::read_lost(kafka, Log::MAIN, lives, move |event| {
        // Each line for itself: the writer goes with the reading, so nothing may be left in it at the end.
        write_line(&mut file, event)?;
        if let Some(erasure) = erasure(event) {
            erased.lock().unwrap_or_else(PoisonError::into_inner).push(erasure);
        }
        file.flush()
    })
    .await?;
    written.sync_all().and_then(|()| fs::rename(&partial, &path)).context("what is lost can't be written down")?;
    fs::File::open(data_dir).and_then(|folder| folder.sync_all())?;
    let erasures = std::mem::take(&mut *erasures.lock().unwrap_or_else(PoisonError::into_inner));
    erase_again(store, &erasures, &found).await?;
    for gone in &gone {
        let range = Abandoned {
            incarnation: gone.incarnation,
            from: gone.from,
            to: gone.to,
            events: i64::try_from(gone.events).unwrap_or(i64::MAX),
            streams: i64::try_from(gone.streams.len()).unwrap_or(i64::MAX),
            recorded_at: Utc::now(),
            file: path.display().to_string(),
        };
        lives::abandon(store.pool(), store.log(), &range, &gone.types).await?;
    }
    say!("  every lost event is in {}", path.display());
    Ok(())
}

/// Who was erased in what is lost, is erased again: before anything goes on.
async fn erase_again(store: &Arc<PgEventStore>, lines: &[erasures::Line], path: &Path) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let text: Vec<String> = lines.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all((text.join("\n") + "\n").as_bytes())?;
    file.sync_all()?;
    let done = erasures::reapply(store.clone(), path).await.context("who was erased can't be erased again")?;
    say!(
        "  {} persons are erased again, {} had no key any more, {} are unknown here",
        done.destroyed,
        done.already,
        done.absent
    );
    Ok(())
}

fn erasure(event: &RecordedEvent) -> Option<erasures::Line> {
    #[derive(Deserialize)]
    struct Requested {
        customer_ref: String,
    }
    let requested: Requested =
        (event.event_type == ERASURE).then(|| serde_json::from_str(event.payload.get()).ok()).flatten()?;
    let (person, at) = (event.stream.id, event.recorded_at);
    Some(erasures::Line { person, shop: event.shop.clone(), reference: requested.customer_ref, at })
}

fn write_line(to: &mut impl Write, event: &RecordedEvent) -> io::Result<()> {
    let line = Line {
        incarnation: event.incarnation.0,
        position: event.position.0,
        stream: event.stream.to_string(),
        version: event.version.0,
        shop: &event.shop,
        event_type: &event.event_type,
        schema_version: event.schema_version,
        recorded_at: event.recorded_at,
        metadata: &event.metadata,
        payload: &event.payload,
    };
    serde_json::to_writer(&mut *to, &line)?;
    to.write_all(b"\n")
}

/// A file that was written before is kept.
fn free_name(data_dir: &Path, incarnation: i32) -> (PathBuf, PathBuf) {
    let name = |n: u32| match n {
        1 => format!("recovered-{incarnation}.jsonl"),
        n => format!("recovered-{incarnation}-{n}.jsonl"),
    };
    let path = (1..).map(|n| data_dir.join(name(n))).find(|path| !path.exists());
    let path = path.unwrap_or_else(|| data_dir.join(name(1)));
    let partial = path.with_extension("jsonl.partial");
    (path, partial)
}
