//! Replays the whole log into tables beside the live ones, by the same code, and compares: every row must be the same.
//!
//! What is parked and what was skipped is part of where the live rows stand, as their position is: a replay holds back and leaves out the
//! same. A key that only the replay would park is a difference.
use super::{
    ProjectionError, VERSION,
    builder::{BATCH_EVENTS, Builder},
    connection::pool,
    parked::{Held, Parked},
};
use crate::sql::{
    checkpoint::{live_position, live_version},
    parked, replay as tables,
};
use eventstore::{EventStore, Position, RecordedEvent};
use sqlx::{PgConnection, postgres::PgConnectOptions};
use std::sync::Arc;

/// How many differing rows of a table are shown; more are not looked for.
const SHOWN_DIFFERENCES: i64 = 20;

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The position that the live rows reflected when they were compared.
    pub position: Position,
    /// How many rows were compared.
    pub rows: u64,
    /// How many keys were parked: of these the rows show what came before the event that parked them, in the replay as well.
    pub parked: usize,
    pub differences: Vec<Difference>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub table: &'static str,
    /// The replay has this row and the live table has not; else the other way round.
    pub missing: bool,
    /// The row as PostgreSQL writes it.
    pub row: String,
}

/// Replays the log and compares each row of the read model with it, as of the position that the live rows are at; that one may be
/// beyond the head at the beginning. Memory is bounded; the copy lies in the database (schema `read_replay`) until it is done.
/// Two at a time wait for each other. Readers and the runner go on unharmed.
pub async fn verify_projections(
    store: Arc<dyn EventStore>,
    database: &PgConnectOptions,
) -> Result<Comparison, ProjectionError> {
    let pool = pool(database, tables::SCHEMA);
    let mut guard = tables::exclusive(database).await?;
    tables::create(&mut guard).await?;
    let compared = replay_and_compare(store, pool.clone()).await;
    pool.close().await;
    tables::remove(&mut guard).await?;
    compared
}

async fn replay_and_compare(store: Arc<dyn EventStore>, pool: sqlx::PgPool) -> Result<Comparison, ProjectionError> {
    // First up to where the live rows are now, batch by batch: the long part, under no snapshot.
    let (target, held) = standing(&pool).await?;
    let mut builder = Builder::replay(store.clone(), pool.clone(), held).await?;
    while let Some(events) = next_events(store.as_ref(), &builder, target).await? {
        builder.apply(events).await?;
    }
    // Then one short snapshot: the live rows wherever they have come to meanwhile, and the replay brought to the very same position.
    let mut snapshot = tables::snapshot(&pool).await?;
    let live = live_position(&mut snapshot).await?;
    if live < builder.position() {
        return Err(ProjectionError::MadeAnew);
    }
    let held = parked::load(&mut snapshot).await?;
    builder.catch_up(&mut snapshot, held.clone()).await?;
    while let Some(events) = next_events(store.as_ref(), &builder, live).await? {
        let folded = builder.fold(events).await?;
        builder.write(&mut snapshot, &folded).await?;
        builder.keep(folded);
    }
    let mut comparison =
        Comparison { position: live, rows: 0, parked: held.parked.len(), differences: compare_parked(&builder, &held) };
    for table in tables::TABLES {
        comparison.rows += tables::count(&mut snapshot, table).await?;
        for (missing, row) in tables::differences(&mut snapshot, table, SHOWN_DIFFERENCES).await? {
            comparison.differences.push(Difference { table: table.name, missing, row });
        }
    }
    Ok(comparison)
}

/// Rows of an earlier version differ, as they may until whoever drives has made them anew.
pub(super) async fn of_this_version(snapshot: &mut PgConnection) -> Result<(), ProjectionError> {
    match live_version(snapshot).await? {
        Some(found) if found != VERSION => Err(ProjectionError::OtherVersion { found, ours: VERSION }),
        _ => Ok(()),
    }
}

/// Where the live rows are, and what they hold back there.
async fn standing(pool: &sqlx::PgPool) -> Result<(Position, Held), ProjectionError> {
    let mut snapshot = tables::snapshot(pool).await?;
    of_this_version(&mut snapshot).await?;
    Ok((live_position(&mut snapshot).await?, parked::load(&mut snapshot).await?))
}

/// What this program can't take in, and whoever wrote the rows could.
fn compare_parked(builder: &Builder, live: &Held) -> Vec<Difference> {
    let is_new =
        |parked: &&Parked| live.parked.get(&parked.stream.id).map(|live| live.position) != Some(parked.position);
    let mut differences: Vec<Difference> = builder.held.parked.values().filter(is_new).map(parked_difference).collect();
    differences.sort_by(|a, b| a.row.cmp(&b.row));
    differences.truncate(usize::try_from(SHOWN_DIFFERENCES).unwrap_or(usize::MAX));
    differences
}

pub(super) fn parked_difference(parked: &Parked) -> Difference {
    let Parked { stream, position, cause, .. } = parked;
    Difference { table: "parked", missing: true, row: format!("({stream},{position},{cause})") }
}

/// The next events up to `target`; `None` once it is reached.
async fn next_events(
    store: &dyn EventStore,
    builder: &Builder,
    target: Position,
) -> Result<Option<Vec<RecordedEvent>>, ProjectionError> {
    let at = builder.position();
    let wanted = usize::try_from(target.0 - at.0).unwrap_or(0).min(BATCH_EVENTS);
    if wanted == 0 {
        return Ok(None);
    }
    let events = store.read_log(at, wanted).await?;
    if events.is_empty() {
        return Err(ProjectionError::AheadOfLog { checkpoint: target, head: at });
    }
    Ok(Some(events))
}
