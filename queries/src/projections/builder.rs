//! Applies batches of events to one set of tables, live or a replay's.
use super::{
    ChangedOrder, ProjectionError, VERSION,
    batch::{Decoded, Rows, fold},
    history::History,
};
use crate::sql::{
    self,
    checkpoint::{self, Checkpoint},
};
use eventstore::{EventStore, Incarnation, Lives, Position, RecordedEvent};
use futures_util::{StreamExt, TryStreamExt, stream};
use lru::LruCache;
use sqlx::{
    PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

/// How many events go into one transaction at most.
pub(super) const BATCH_EVENTS: usize = 500;
/// How many orders under way are kept folded: some 4 KiB each. One that fell out is read again when it goes on.
const KEPT_HISTORIES: NonZeroUsize = NonZeroUsize::new(8_192).unwrap();
/// How many histories are read again at a time.
const CONCURRENT_READS: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Builder {
    store: Arc<dyn EventStore>,
    pool: PgPool,
    /// Orders under way, folded up to `position`.
    histories: LruCache<Uuid, History>,
    position: Position,
    incarnation: Incarnation,
}

/// A batch, folded and not yet written.
pub(super) struct Folded {
    rows: Rows,
    histories: HashMap<Uuid, History>,
    to: Position,
    incarnation: Incarnation,
    pub(super) changed: Vec<ChangedOrder>,
}

/// One connection that finds its tables in `schema`.
///
/// It commits without waiting for the disk: rows and checkpoint go back together if the server crashes, and the events come again.
/// The settings keep each statement at one plan that is right at every size: look each key up in its index.
pub(super) fn pool(options: &PgConnectOptions, schema: &str) -> PgPool {
    let options = options.clone().options([
        ("search_path", schema),
        ("synchronous_commit", "off"),
        ("plan_cache_mode", "force_generic_plan"),
        ("jit", "off"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ]);
    PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT_TIMEOUT).connect_lazy_with(options)
}

impl Builder {
    /// Goes on from the tables' checkpoint, or begins one.
    pub(super) async fn open(store: Arc<dyn EventStore>, pool: PgPool) -> Result<Builder, ProjectionError> {
        let head = store.head().await?;
        let mut conn = pool.acquire().await?;
        if checkpoint::load(&mut conn).await?.is_none() {
            checkpoint::begin(&mut conn, VERSION, store.log(), head.incarnation).await?;
        }
        let found = checkpoint::load(&mut conn).await?.ok_or(sqlx::Error::RowNotFound)?;
        drop(conn);
        if found.version != VERSION {
            return Err(ProjectionError::OtherVersion { found: found.version, ours: VERSION });
        }
        if let Some(ahead) = ahead_of(&found, &store.lives().await?, head.position) {
            return Err(ahead);
        }
        let histories = LruCache::new(KEPT_HISTORIES);
        Ok(Builder { store, pool, histories, position: found.position, incarnation: found.incarnation })
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Applies the next events in a transaction of their own.
    pub(super) async fn apply(&mut self, events: Vec<RecordedEvent>) -> Result<Vec<ChangedOrder>, ProjectionError> {
        let folded = self.fold(events).await?;
        let mut transaction = self.pool.begin().await?;
        self.write(&mut transaction, &folded).await?;
        transaction.commit().await?;
        Ok(self.keep(folded))
    }

    /// Folds the next events; nothing is written or kept yet, so that a failure leaves no trace.
    pub(super) async fn fold(&mut self, events: Vec<RecordedEvent>) -> Result<Folded, ProjectionError> {
        let (mut to, mut incarnation) = (self.position, self.incarnation);
        for event in &events {
            if event.position.0 != to.0 + 1 {
                return Err(ProjectionError::Gap { after: to, found: event.position });
            }
            (to, incarnation) = (event.position, event.incarnation);
        }
        let events: Vec<Decoded> = events.into_iter().map(Decoded::decode).collect::<Result<_, _>>()?;
        let mut histories = self.histories_of(&events).await?;
        let (rows, changed) = fold(&events, &mut histories)?;
        Ok(Folded { rows, histories, to, incarnation, changed })
    }

    pub(super) async fn write(&self, conn: &mut PgConnection, folded: &Folded) -> Result<(), ProjectionError> {
        // First, so that of two runners one waits here before it has written anything.
        if !checkpoint::advance(conn, self.position, folded.to, folded.incarnation).await? {
            return Err(ProjectionError::Overtaken { from: self.position });
        }
        write_rows(conn, &folded.rows).await
    }

    /// After the commit.
    pub(super) fn keep(&mut self, folded: Folded) -> Vec<ChangedOrder> {
        (self.position, self.incarnation) = (folded.to, folded.incarnation);
        for (order, history) in folded.histories {
            if history.has_ended() {
                self.histories.pop(&order);
            } else {
                self.histories.put(order, history);
            }
        }
        folded.changed
    }

    /// The orders of these events as they were before them: kept, new, or read again.
    async fn histories_of(&mut self, events: &[Decoded]) -> Result<HashMap<Uuid, History>, ProjectionError> {
        let mut histories = HashMap::new();
        let mut missing = HashSet::new();
        for event in events {
            let Some(order) = event.order() else { continue };
            if histories.contains_key(&order) || missing.contains(&order) {
                continue;
            }
            if event.is_placement() {
                histories.insert(order, History::new(order));
            } else if let Some(kept) = self.histories.get(&order) {
                histories.insert(order, kept.clone());
            } else {
                missing.insert(order);
            }
        }
        let (store, upto) = (&self.store, self.position);
        let read = stream::iter(missing)
            .map(|order| read_history(store.as_ref(), order, upto))
            .buffer_unordered(CONCURRENT_READS)
            .try_collect::<Vec<_>>()
            .await?;
        histories.extend(read);
        Ok(histories)
    }
}

/// Why rows that have come this far aren't a function of the log any more, if they aren't.
pub(super) fn ahead_of(found: &Checkpoint, lives: &Lives, head: Position) -> Option<ProjectionError> {
    let Checkpoint { incarnation, position, .. } = *found;
    match () {
        () if position > head => Some(ProjectionError::AheadOfLog { checkpoint: position, head }),
        () if incarnation > lives.current() || lives.has_abandoned(incarnation, position) => {
            Some(ProjectionError::Abandoned { incarnation, checkpoint: position })
        }
        () => None,
    }
}

async fn read_history(store: &dyn EventStore, order: Uuid, upto: Position) -> Result<(Uuid, History), ProjectionError> {
    let mut history = History::new(order);
    for recorded in store.read_streams(order).await? {
        if recorded.position > upto {
            break;
        }
        let Decoded { recorded, events } = Decoded::decode(recorded)?;
        history.evolve(&recorded, &events);
    }
    Ok((order, history))
}

async fn write_rows(conn: &mut PgConnection, rows: &Rows) -> Result<(), ProjectionError> {
    if !rows.placed.is_empty() {
        sql::orders::insert(conn, &rows.placed).await?;
        sql::orders::insert_skus(conn, &rows.placed).await?;
    }
    if !rows.orders.is_empty() {
        met("orders", rows.orders.len(), sql::orders::update(conn, &rows.orders).await?)?;
    }
    if !rows.new_sagas.is_empty() {
        sql::sagas::insert(conn, &rows.new_sagas).await?;
    }
    if !rows.sagas.is_empty() {
        met("sagas", rows.sagas.len(), sql::sagas::update(conn, &rows.sagas).await?)?;
    }
    if !rows.new_fulfillments.is_empty() {
        sql::fulfillments::insert(conn, &rows.new_fulfillments).await?;
    }
    if !rows.fulfillments.is_empty() {
        met("fulfillments", rows.fulfillments.len(), sql::fulfillments::update(conn, &rows.fulfillments).await?)?;
    }
    if !rows.timeline.is_empty() {
        sql::timeline::insert(conn, &rows.timeline).await?;
    }
    if !rows.stock.shelves.is_empty() {
        sql::stock::apply(conn, &rows.stock).await?;
    }
    Ok(())
}

fn met(table: &'static str, rows: usize, found: sql::Met) -> Result<(), ProjectionError> {
    if found == rows as u64 { Ok(()) } else { Err(ProjectionError::MissingRows { table, rows, found }) }
}
