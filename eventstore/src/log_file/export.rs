//! Writes the file, from one moment of the database: appends go on meanwhile and are not in it.
use super::line::{
    AbandonedLine, BalanceLine, CheckpointLine, ClaimLine, End, EventLine, Header, LifeLine, Line, SealedLine,
    TimerLine, hex,
};
use super::{Counts, FORMAT, FORMAT_VERSION};
use crate::sql::{inspect, transfer};
use crate::{AsOf, Log, Position, ReadError};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use std::io::Write;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ExportError {
    #[error("there is no log here: the database was never used by Waybill")]
    NoLog,
    #[error("the log ends at position {head}; there is no position {asked} yet")]
    BeyondHead { asked: Position, head: Position },
    #[error("the event store can't be read: {0}")]
    Read(#[from] sqlx::Error),
    #[error(transparent)]
    Store(#[from] ReadError),
    #[error("the file can't be written: {0}")]
    Write(#[from] std::io::Error),
}

/// The position that a moment means, without opening the store.
pub async fn position(pool: &PgPool, log: Log, as_of: AsOf) -> Result<Position, ExportError> {
    match as_of {
        AsOf::Position(position) => Ok(position),
        AsOf::Time(time) => Ok(crate::sql::position_at(pool, log, time).await?),
    }
}

/// Writes the log to `out`, whole or as of a position; answers what was written. `told` hears of positions, now and then.
///
/// As of a position it holds events and claims alone: what the store keeps beside them is known of the present only. Such a file is for
/// reading; an import refuses it.
pub async fn export(
    pool: &PgPool,
    log: Log,
    as_of: Option<Position>,
    made_by: &str,
    out: &mut (dyn Write + Send),
    told: &(dyn Fn(Position) + Send + Sync),
) -> Result<Counts, ExportError> {
    let mut moment = transfer::moment(pool).await?;
    let (lives, head) = transfer::outline(&mut moment, log).await?;
    if lives.is_empty() {
        return Err(ExportError::NoLog);
    }
    if let Some(asked) = as_of.filter(|asked| *asked > head) {
        return Err(ExportError::BeyondHead { asked, head });
    }
    let upto = as_of.unwrap_or(head);
    let abandoned = match as_of {
        None => transfer::abandoned(&mut moment, log).await?,
        Some(_) => Vec::new(),
    };
    let abandoned: Result<Vec<AbandonedLine>, _> = abandoned.into_iter().map(AbandonedLine::try_from).collect();
    let mut file = File::new(out);
    file.write(&Line::Header(Header {
        format: FORMAT.into(),
        version: FORMAT_VERSION,
        log: log.0,
        head: upto.0,
        as_of: as_of.is_some(),
        made_by: made_by.into(),
        // A life that began later was not known of then; the first one always was.
        incarnations: lives
            .iter()
            .filter(|life| life.incarnation == 1 || life.after_position <= upto.0)
            .map(LifeLine::from)
            .collect(),
        abandoned: abandoned.map_err(std::io::Error::from)?,
    }))?;
    let mut counts = Counts::default();
    let mut events = inspect::events(&mut *moment, log, Position::ZERO, upto);
    while let Some(event) = events.try_next().await? {
        file.write(&Line::Event(EventLine::from(&event)))?;
        counts.events += 1;
        told(Position(event.position));
    }
    drop(events);
    let mut claims = transfer::claims(&mut moment, log, upto);
    while let Some(claim) = claims.try_next().await? {
        file.write(&Line::Claim(ClaimLine::from(&claim)))?;
        counts.claims += 1;
    }
    drop(claims);
    if as_of.is_none() {
        beside(&mut file, &mut moment, log, &mut counts).await?;
    }
    file.end(counts)?;
    Ok(counts)
}

/// What stands beside the events and was never an event.
async fn beside(
    file: &mut File<'_>,
    moment: &mut sqlx::PgConnection,
    log: Log,
    counts: &mut Counts,
) -> Result<(), ExportError> {
    let mut balances = transfer::balances(moment);
    while let Some(held) = balances.try_next().await? {
        file.write(&Line::Balance(BalanceLine::from(&held)))?;
        counts.balances += 1;
    }
    drop(balances);
    let mut timers = transfer::timers(moment, log);
    while let Some(timer) = timers.try_next().await? {
        file.write(&Line::Timer(TimerLine::from(&timer)))?;
        counts.timers += 1;
    }
    drop(timers);
    let mut sealed = transfer::sealed(moment);
    while let Some(entry) = sealed.try_next().await? {
        file.write(&Line::Sealed(SealedLine::from(&entry)))?;
        counts.sealed += 1;
    }
    drop(sealed);
    for checkpoint in transfer::checkpoints(moment, log).await? {
        file.write(&Line::Checkpoint(CheckpointLine::from(&checkpoint)))?;
        counts.checkpoints += 1;
    }
    Ok(())
}

/// Lines out, and the sum of them.
struct File<'a> {
    out: &'a mut (dyn Write + Send),
    hash: Sha256,
    line: Vec<u8>,
}

impl<'a> File<'a> {
    fn new(out: &'a mut (dyn Write + Send)) -> File<'a> {
        File { out, hash: Sha256::new(), line: Vec::new() }
    }

    fn write(&mut self, line: &Line<'_>) -> std::io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.hash.update(&self.line);
        self.out.write_all(&self.line)
    }

    fn end(mut self, counts: Counts) -> std::io::Result<()> {
        let sha256 = hex(&self.hash.clone().finalize());
        self.write(&Line::End(End { counts, sha256 }))?;
        self.out.flush()
    }
}
