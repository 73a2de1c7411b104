//! Reads the file into an empty log: checked line by line, written in batches, committed once all of it is known to be right.
use super::line::{End, EventLine, Header, Line, hex};
use super::{Counts, FORMAT, FORMAT_VERSION, MAX_LINE_BYTES};
use crate::append::MAX_PAYLOAD_BYTES;
use crate::sql::inspect::{Seal, StoredAbandoned, StoredCheckpoint, StoredEvent, StoredLife};
use crate::sql::transfer::{self, SealedRow, StoredBalance, StoredClaim, TimerRow};
use crate::{Log, Metadata, Position};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use std::fmt;
use std::io::{BufRead, Read};
use thiserror::Error;

/// Rows that go in one statement, and their bytes.
const BATCH_ROWS: usize = 2_000;
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// More faults than these are not looked for.
const MAX_FAULTS: usize = 50;

#[derive(Debug, Error)]
pub enum ImportError {
    #[error(
        "the log is not empty, it holds {0}: a log is imported only into a database that nothing was ever written to"
    )]
    NotEmpty(String),
    #[error(
        "the file was made as of position {0}, for reading: it has no balances, timers and sealed data, so no log can go on from it"
    )]
    ForReading(i64),
    #[error("the file has faults; nothing was imported:\n{}", .0.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
    #[error("the file can't be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("the database refuses; nothing was imported: {0}")]
    Write(#[from] sqlx::Error),
}

/// What is wrong with a line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub line: u64,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Imports the file into the empty log; answers what came in. `told` hears of positions, now and then.
///
/// # Errors
/// In every case nothing is left behind: it is one transaction.
pub async fn import(
    pool: &PgPool,
    log: Log,
    input: &mut (dyn BufRead + Send),
    told: &(dyn Fn(Position) + Send + Sync),
) -> Result<Counts, ImportError> {
    let (mut transaction, held) = transfer::begin_import(pool, log).await?;
    if let Some(held) = held {
        return Err(ImportError::NotEmpty(held));
    }
    let mut import = Import::new(log);
    let mut line = Vec::new();
    while import.next_line(input, &mut line)? {
        import.take(&line)?;
        if import.batch.is_full() {
            told(Position(import.last.0));
            import.write(&mut transaction).await?;
        }
        if import.faults.len() >= MAX_FAULTS {
            break;
        }
    }
    import.write(&mut transaction).await?;
    if import.faults.is_empty() {
        import.close(&mut transaction).await?;
    }
    if !import.faults.is_empty() {
        return Err(ImportError::Faults(import.faults));
    }
    transfer::announce(&mut transaction, log, Position(import.last.0)).await?;
    transaction.commit().await?;
    Ok(import.counts)
}

/// Rows read and not yet written.
#[derive(Default)]
struct Batch {
    events: Vec<StoredEvent>,
    claims: Vec<StoredClaim>,
    balances: Vec<StoredBalance>,
    timers: Vec<TimerRow>,
    sealed: Vec<SealedRow>,
    checkpoints: Vec<StoredCheckpoint>,
    bytes: usize,
    first_line: u64,
}

impl Batch {
    fn rows(&self) -> usize {
        self.events.len()
            + self.claims.len()
            + self.balances.len()
            + self.timers.len()
            + self.sealed.len()
            + self.checkpoints.len()
    }

    fn is_full(&self) -> bool {
        self.rows() >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }
}

struct Import {
    log: Log,
    /// Of the line read last, from 1.
    line: u64,
    hash: Sha256,
    lives: Vec<StoredLife>,
    abandoned: Vec<StoredAbandoned>,
    /// The head that the header promises.
    head: i64,
    header: bool,
    end: bool,
    /// Position, incarnation and time of the last event.
    last: (i64, i32, DateTime<Utc>),
    batch: Batch,
    counts: Counts,
    faults: Vec<Fault>,
}

impl Import {
    fn new(log: Log) -> Import {
        Import {
            log,
            line: 0,
            hash: Sha256::new(),
            lives: Vec::new(),
            abandoned: Vec::new(),
            head: 0,
            header: false,
            end: false,
            last: (0, 0, DateTime::<Utc>::MIN_UTC),
            batch: Batch::default(),
            counts: Counts::default(),
            faults: Vec::new(),
        }
    }

    fn fault(&mut self, what: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { line: self.line, what: what.into() });
        }
    }

    /// Reads the next line with its end; `false`: there is none.
    fn next_line(&mut self, input: &mut (dyn BufRead + Send), line: &mut Vec<u8>) -> Result<bool, ImportError> {
        line.clear();
        let read = input.take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', line)?;
        if read == 0 {
            return Ok(false);
        }
        self.line += 1;
        if line.len() > MAX_LINE_BYTES {
            self.fault(format!("it is longer than {MAX_LINE_BYTES} bytes"));
            return Err(ImportError::Faults(std::mem::take(&mut self.faults)));
        }
        Ok(true)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), ImportError> {
        if self.end {
            self.fault("there is more after the end");
            return Ok(());
        }
        match serde_json::from_slice::<Line<'_>>(line) {
            Err(error) if !self.header => {
                self.fault(format!("this is not a log: {error}"));
                return Err(ImportError::Faults(std::mem::take(&mut self.faults)));
            }
            Err(error) => self.fault(error.to_string()),
            Ok(Line::Header(header)) if !self.header => self.header(header)?,
            Ok(Line::Header(_)) => self.fault("a second header"),
            Ok(_) if !self.header => {
                self.fault("the header must come first");
                return Err(ImportError::Faults(std::mem::take(&mut self.faults)));
            }
            Ok(Line::End(end)) => self.end(&end),
            Ok(row) => {
                if !line.ends_with(b"\n") {
                    self.fault("it is cut short");
                } else if let Err(what) = self.row(row) {
                    self.fault(what);
                }
            }
        }
        self.hash.update(line);
        self.batch.bytes += line.len();
        Ok(())
    }

    fn header(&mut self, header: Header<'_>) -> Result<(), ImportError> {
        self.header = true;
        if header.format != FORMAT || header.version != FORMAT_VERSION {
            self.fault(format!(
                "this program reads {FORMAT} of version {FORMAT_VERSION}, not {} of {}",
                header.format, header.version
            ));
            return Err(ImportError::Faults(std::mem::take(&mut self.faults)));
        }
        if header.as_of {
            return Err(ImportError::ForReading(header.head));
        }
        if header.log != self.log.0 {
            self.fault(format!("it is of log {}, not {}", header.log, self.log.0));
        }
        self.head = header.head;
        self.abandoned = header.abandoned.into_iter().map(StoredAbandoned::from).collect();
        self.lives = header.incarnations.into_iter().map(StoredLife::from).collect();
        let rise = self.lives.is_sorted_by(|a, b| a.incarnation < b.incarnation);
        let sound =
            self.lives.iter().all(|life| life.incarnation > 0 && (0..=self.head).contains(&life.after_position));
        if !rise || !sound || self.lives.is_empty() {
            self.fault("its incarnations are not those of a log that ends at its head");
        }
        Ok(())
    }

    fn row(&mut self, row: Line<'_>) -> Result<(), String> {
        let (batch, counts) = (&mut self.batch, &mut self.counts);
        if batch.rows() == 0 {
            batch.first_line = self.line;
        }
        let beyond = |position: i64| position < 0 || position > self.head;
        match row {
            Line::Event(event) => return self.event(event),
            Line::Claim(claim) => {
                if beyond(claim.position) {
                    return Err(format!("the claim's position {} is not in the log", claim.position));
                }
                counts.claims += 1;
                batch.claims.push(claim.try_into()?);
            }
            Line::Balance(held) => {
                counts.balances += 1;
                batch.balances.push(StoredBalance { account: held.account.into_owned(), balance: held.balance });
            }
            Line::Timer(timer) => {
                counts.timers += 1;
                batch.timers.push(TimerRow {
                    stream_id: timer.id,
                    stream_kind: timer.stream.into_owned(),
                    name: timer.name.into_owned(),
                    due_at: timer.due_at,
                });
            }
            Line::Sealed(entry) => {
                counts.sealed += 1;
                batch.sealed.push(entry.try_into()?);
            }
            Line::Checkpoint(checkpoint) => {
                if beyond(checkpoint.last_position) || beyond(checkpoint.position) {
                    return Err(format!("the checkpoint's position {} is not in the log", checkpoint.position));
                }
                counts.checkpoints += 1;
                batch.checkpoints.push(checkpoint.into());
            }
            Line::Header(_) | Line::End(_) => {}
        }
        Ok(())
    }

    fn event(&mut self, line: EventLine<'_>) -> Result<(), String> {
        let event = StoredEvent::try_from(line)?;
        self.counts.events += 1;
        let (position, incarnation, recorded_at) =
            std::mem::replace(&mut self.last, (event.position, event.incarnation, event.recorded_at));
        if event.position != position + 1 {
            return Err(format!("position {} follows position {position}", event.position));
        }
        if event.recorded_at < recorded_at {
            return Err(format!("position {} was recorded before the position before it", event.position));
        }
        let life = self.lives.iter().find(|life| life.incarnation == event.incarnation);
        if event.incarnation < incarnation || life.is_none_or(|life| life.after_position >= event.position) {
            return Err(format!("position {} can't be of incarnation {}", event.position, event.incarnation));
        }
        if event.seal() == Seal::Broken {
            return Err(format!(
                "the event at position {} is not what was appended: its checksum is wrong",
                event.position
            ));
        }
        if event.version < 1 || event.payload.len() > MAX_PAYLOAD_BYTES || event.event_type.is_empty() {
            return Err(format!("the event at position {} could never have been appended", event.position));
        }
        match serde_json::from_str::<Metadata>(&event.metadata) {
            Ok(metadata) if metadata.command_id == event.command_id => {}
            Ok(_) => return Err("its metadata names another command than command_id".to_owned()),
            Err(error) => return Err(format!("its metadata can't be read: {error}")),
        }
        self.batch.events.push(event);
        Ok(())
    }

    fn end(&mut self, end: &End) {
        self.end = true;
        let sha256 = hex(&self.hash.clone().finalize());
        if end.counts != self.counts {
            self.fault(format!("the file should hold {:?}, it holds {:?}", end.counts, self.counts));
        }
        if end.sha256 != sha256 {
            self.fault("the file was altered: its SHA-256 is another");
        }
        if self.last.0 != self.head {
            self.fault(format!("the log should end at position {}, it ends at {}", self.head, self.last.0));
        }
    }

    /// Nothing more is written once there is a fault.
    async fn write(&mut self, conn: &mut PgConnection) -> Result<(), ImportError> {
        let batch = std::mem::take(&mut self.batch);
        if !self.faults.is_empty() || batch.rows() == 0 {
            return Ok(());
        }
        match insert(conn, self.log, &batch).await {
            // What the file says can't be in the database: twice the same key, U+0000 in a text.
            Err(sqlx::Error::Database(error)) => {
                self.line = batch.first_line;
                self.fault(format!("these or the next {} lines are refused: {error}", batch.rows()));
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }

    /// What only the whole tells.
    async fn close(&mut self, conn: &mut PgConnection) -> Result<(), ImportError> {
        if !self.end {
            self.line += 1;
            self.fault("the end is missing: the file was cut");
            return Ok(());
        }
        transfer::insert_lives(conn, self.log, &self.lives).await?;
        transfer::insert_abandoned(conn, self.log, &self.abandoned).await?;
        for (position, version, nth) in transfer::misnumbered(conn, self.log, MAX_FAULTS as i64).await? {
            // Events come one a line, after the header.
            self.faults.push(Fault {
                line: position.unsigned_abs() + 1,
                what: format!(
                    "the event at position {position} has version {version} and is number {nth} of its stream"
                ),
            });
        }
        Ok(())
    }
}

async fn insert(conn: &mut PgConnection, log: Log, batch: &Batch) -> Result<(), sqlx::Error> {
    if !batch.events.is_empty() {
        transfer::insert_events(conn, log, &batch.events).await?;
    }
    if !batch.claims.is_empty() {
        transfer::insert_claims(conn, log, &batch.claims).await?;
    }
    if !batch.balances.is_empty() {
        transfer::insert_balances(conn, &batch.balances).await?;
    }
    if !batch.timers.is_empty() {
        transfer::insert_timers(conn, log, &batch.timers).await?;
    }
    if !batch.sealed.is_empty() {
        transfer::insert_sealed(conn, &batch.sealed).await?;
    }
    if !batch.checkpoints.is_empty() {
        transfer::insert_checkpoints(conn, log, &batch.checkpoints).await?;
    }
    Ok(())
}
