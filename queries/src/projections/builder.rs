//! Applies batches of events to one set of tables, live or a replay's.
use super::{
    ChangedOrder, ProjectionError, VERSION,
    batch::{Decoded, Rows, fold},
    history::History,
    parked::{Held, MAX_PARKED, Parked},
    write::write_rows,
};
use crate::sql::{
    self,
    checkpoint::{self, Advance, Checkpoint},
};
use eventstore::{EventStore, Incarnation, Lives, Position, RecordedEvent};
use futures_util::{StreamExt, stream};
use lru::LruCache;
use metrics::counter;
use sqlx::{Connection, PgConnection, PgPool};
use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::Arc,
};
use tracing::error;
use uuid::Uuid;

/// How many events go into one transaction at most.
pub(super) const BATCH_EVENTS: usize = 500;
/// How many orders under way are kept folded: some 4 KiB each. One that fell out is read again when it goes on.
const KEPT_HISTORIES: NonZeroUsize = NonZeroUsize::new(8_192).unwrap();
/// How many histories are read again at a time.
const CONCURRENT_READS: usize = 4;

#[derive(Debug)]
pub(super) struct Builder {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) pool: PgPool,
    /// Orders under way, folded up to `position`; none that is parked.
    histories: LruCache<Uuid, History>,
    /// As it is on record beside the live tables. A replay is told of it, and adds what it can't read itself.
    pub(super) held: Held,
    position: Position,
    incarnation: Incarnation,
    epoch: i64,
    /// Its tables are those that everybody reads.
    is_live: bool,
    /// Rows of this earlier version are there, and have to be made anew.
    pub(super) raised_from: Option<i32>,
}

/// A batch, folded and not yet written.
pub(super) struct Folded {
    rows: Rows,
    histories: HashMap<Uuid, History>,
    to: Position,
    incarnation: Incarnation,
    changed: Vec<ChangedOrder>,
    parked: Vec<Parked>,
}

impl Builder {
    /// Goes on from the live tables' checkpoint, or begins one; whoever did so before writes no more.
    pub(super) async fn take_over(store: Arc<dyn EventStore>, pool: PgPool) -> Result<Builder, ProjectionError> {
        let builder = Builder::open(store, pool).await?;
        let mut conn = builder.pool.acquire().await?;
        let taken = checkpoint::take_over(&mut conn, VERSION).await?;
        let taken = taken.ok_or(ProjectionError::Overtaken { from: builder.position })?;
        // Only now: nobody else parks or releases any more.
        let held = sql::parked::load(&mut conn).await?;
        drop(conn);
        let Checkpoint { incarnation, position, epoch, version } = taken;
        let raised_from = Some(version).filter(|version| *version < VERSION);
        Ok(Builder { incarnation, position, epoch, held, is_live: true, raised_from, ..builder })
    }

    /// Fills tables of its own, and holds back and leaves out what the live ones do.
    pub(super) async fn replay(
        store: Arc<dyn EventStore>,
        pool: PgPool,
        held: Held,
    ) -> Result<Builder, ProjectionError> {
        Ok(Builder { held, ..Builder::open(store, pool).await? })
    }

    async fn open(store: Arc<dyn EventStore>, pool: PgPool) -> Result<Builder, ProjectionError> {
        let head = store.head().await?;
        let mut conn = pool.acquire().await?;
        if checkpoint::load(&mut conn).await?.is_none() {
            sql::returns::remove_strays(&mut conn).await?;
            checkpoint::begin(&mut conn, VERSION, store.log(), head.incarnation).await?;
        }
        let found = checkpoint::load(&mut conn).await?.ok_or(sqlx::Error::RowNotFound)?;
        drop(conn);
        if found.version > VERSION {
            return Err(ProjectionError::OtherVersion { found: found.version, ours: VERSION });
        }
        if let Some(ahead) = ahead_of(&found, &store.lives().await?, head.position) {
            return Err(ahead);
        }
        let Checkpoint { incarnation, position, epoch, .. } = found;
        let (histories, held) = (LruCache::new(KEPT_HISTORIES), Held::default());
        Ok(Builder { store, pool, histories, held, position, incarnation, epoch, is_live: false, raised_from: None })
    }

    /// Nobody else writes the rows while the transaction lasts.
    pub(super) async fn hold(&self, conn: &mut PgConnection) -> Result<(), ProjectionError> {
        match checkpoint::hold(conn, (self.position, self.epoch)).await? {
            true => Ok(()),
            false => Err(ProjectionError::Overtaken { from: self.position }),
        }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Applies the next events in a transaction of their own; one that can't be taken in parks its key.
    pub(super) async fn apply(&mut self, events: Vec<RecordedEvent>) -> Result<Vec<ChangedOrder>, ProjectionError> {
        let last = events.last().map_or(self.position, |event| event.position);
        match self.try_apply(events).await {
            Err(error) if error.may_be_of_one_event() => self.apply_one_by_one(last).await,
            applied => applied,
        }
    }

    async fn try_apply(&mut self, events: Vec<RecordedEvent>) -> Result<Vec<ChangedOrder>, ProjectionError> {
        let folded = self.fold(events).await?;
        self.commit(folded).await
    }

    async fn commit(&mut self, folded: Folded) -> Result<Vec<ChangedOrder>, ProjectionError> {
        let mut conn = self.pool.acquire().await?;
        if folded.parked.is_empty() {
            // One statement, that is a transaction by itself.
            self.write(&mut conn, &folded).await?;
        } else {
            let mut transaction = conn.begin().await?;
            self.write(&mut transaction, &folded).await?;
            transaction.commit().await?;
        }
        Ok(self.keep(folded))
    }

    /// Finds the event at which it fails, by the same code with batches of one. They are read again: as a rule nobody needs them twice.
    async fn apply_one_by_one(&mut self, last: Position) -> Result<Vec<ChangedOrder>, ProjectionError> {
        let mut changed = Vec::new();
        while self.position < last {
            let events = self.store.read_log(self.position, 1).await?;
            let Some(event) = events.first().cloned() else { break };
            match self.try_apply(events).await {
                Ok(more) => changed.extend(more),
                Err(error) if error.may_be_of_one_event() => {
                    let parked = Parked::at(&event, error.to_string());
                    self.room_for(&parked, 1)?;
                    let folded = Folded { parked: vec![parked], ..Folded::nothing(event.position, event.incarnation) };
                    self.commit(folded).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(latest(changed))
    }

    /// Folds the next events; nothing is written or kept yet, so that a failure leaves no trace.
    pub(super) async fn fold(&mut self, events: Vec<RecordedEvent>) -> Result<Folded, ProjectionError> {
        let mut folded = Folded::nothing(self.position, self.incarnation);
        let mut parking: HashMap<Uuid, Parked> = HashMap::new();
        let mut decoded: Vec<Decoded> = Vec::with_capacity(events.len());
        for event in events {
            if event.position.0 != folded.to.0 + 1 {
                return Err(ProjectionError::Gap { after: folded.to, found: event.position });
            }
            (folded.to, folded.incarnation) = (event.position, event.incarnation);
            let key = event.stream.id;
            if self.held.holds_back(&event) || self.held.leaves_out(&event) || parking.contains_key(&key) {
                continue;
            }
            match Decoded::read(event) {
                Ok(event) => decoded.push(event),
                Err((event, cause)) => {
                    parking.insert(key, Parked::at(&event, cause.to_string()));
                }
            }
        }
        folded.histories = self.histories_of(&mut decoded, &mut parking).await?;
        folded.parked = parking.into_values().collect();
        if let Some(last) = folded.parked.iter().max_by_key(|parked| parked.position) {
            self.room_for(last, folded.parked.len())?;
        }
        (folded.rows, folded.changed) = fold(&decoded, &mut folded.histories)?;
        Ok(folded)
    }

    fn room_for(&self, last: &Parked, more: usize) -> Result<(), ProjectionError> {
        let parked = self.held.parked.len();
        if parked + more <= MAX_PARKED {
            return Ok(());
        }
        Err(ProjectionError::TooManyParked { parked, position: last.position, cause: last.cause.clone() })
    }

    pub(super) async fn write(&self, conn: &mut PgConnection, folded: &Folded) -> Result<(), ProjectionError> {
        self.advance_with(conn, (folded.to, folded.incarnation), &folded.rows).await?;
        if self.is_live && !folded.parked.is_empty() {
            sql::parked::park(conn, &folded.parked).await?;
        }
        Ok(())
    }

    /// Moves the checkpoint and writes the rows. The checkpoint goes first, so that of two runners one waits there before it has written
    /// anything. Whoever reads the rows elsewhere is told of it when it is committed.
    pub(super) async fn advance_with(
        &self,
        conn: &mut PgConnection,
        (to, incarnation): (Position, Incarnation),
        rows: &Rows,
    ) -> Result<(), ProjectionError> {
        let (epoch, from, tell) = (self.epoch, self.position, self.is_live);
        let advance = Advance { epoch, from, to, incarnation, version: VERSION, tell };
        if write_rows(conn, Some(&advance), rows).await? {
            return Ok(());
        }
        Err(ProjectionError::Overtaken { from })
    }

    /// After the commit.
    pub(super) fn keep(&mut self, folded: Folded) -> Vec<ChangedOrder> {
        (self.position, self.incarnation) = (folded.to, folded.incarnation);
        for (order, history) in folded.histories {
            self.keep_history(order, history);
        }
        for parked in folded.parked {
            self.keep_parked(parked);
        }
        folded.changed
    }

    pub(super) fn keep_history(&mut self, order: Uuid, history: History) {
        if history.has_ended() {
            self.histories.pop(&order);
        } else {
            self.histories.put(order, history);
        }
    }

    pub(super) fn keep_parked(&mut self, parked: Parked) {
        self.histories.pop(&parked.stream.id);
        if self.is_live {
            counter!("waybill_projection_parked_total").increment(1);
            let Parked { stream, position, cause, .. } = &parked;
            error!(%stream, %position, %cause, "an event can't be taken in: its key is parked, all others go on");
        }
        self.held.parked.insert(parked.stream.id, parked);
    }

    /// The orders of these events as they were before them: kept, new, or read again. One whose history can't be read parks its key at
    /// the first of these events.
    async fn histories_of(
        &mut self,
        events: &mut Vec<Decoded>,
        parking: &mut HashMap<Uuid, Parked>,
    ) -> Result<HashMap<Uuid, History>, ProjectionError> {
        let mut histories = HashMap::new();
        let mut missing = HashSet::new();
        for event in events.iter() {
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
        let (store, held, upto) = (&self.store, &self.held, self.position);
        let read: Vec<_> = stream::iter(missing)
            .map(|order| async move { (order, read_history(store.as_ref(), held, order, upto).await) })
            .buffer_unordered(CONCURRENT_READS)
            .collect()
            .await;
        for (order, history) in read {
            match history {
                Ok(history) => {
                    histories.insert(order, history);
                }
                Err(error) if error.may_be_of_one_event() => {
                    let first = events.iter().find(|event| event.order() == Some(order));
                    if let Some(first) = first {
                        parking.insert(order, Parked::at(&first.recorded, error.to_string()));
                    }
                    events.retain(|event| event.order() != Some(order));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(histories)
    }
}

/// Of each order the last that is said of it, in the order of these.
fn latest(changed: Vec<ChangedOrder>) -> Vec<ChangedOrder> {
    let last: HashMap<_, _> = changed.iter().map(|changed| (changed.order_id, changed.position)).collect();
    changed.into_iter().filter(|changed| last.get(&changed.order_id) == Some(&changed.position)).collect()
}

impl Folded {
    /// Moves the checkpoint alone.
    fn nothing(to: Position, incarnation: Incarnation) -> Folded {
        let (rows, histories) = (Rows::default(), HashMap::new());
        Folded { rows, histories, to, incarnation, changed: Vec::new(), parked: Vec::new() }
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

pub(super) async fn read_history(
    store: &dyn EventStore,
    held: &Held,
    order: Uuid,
    upto: Position,
) -> Result<History, ProjectionError> {
    let mut history = History::new(order);
    for recorded in store.read_streams(order).await? {
        if recorded.position > upto {
            break;
        }
        if held.leaves_out(&recorded) {
            continue;
        }
        let Decoded { recorded, events } = Decoded::decode(recorded)?;
        history.evolve(&recorded, &events);
    }
    Ok(history)
}
