//! Rows of an earlier version, made anew by whoever takes over: what the versions since then make otherwise, and no more. It is done before
//! anything else, and again after the next takeover unless a batch of ours has moved the checkpoint since, which then is of this version;
//! the release before leaves it alone from then on, and one that has this module follows it for those who wait there.
//!
//! - 2: rows of sagas that have not ended, since when they wait and until when that is as expected.
//! - 3: rows of returns and of their sagas. What made version 1 took no return in: its order is parked there.
//! - 4: which orders are in motion, as the rows of their sagas say.
use super::{
    ProjectionError, VERSION,
    batch::Rows,
    builder::{Builder, read_history},
    history::History,
    returns::ReturnRow,
    runner::in_time,
    sagas::SagaRow,
    write::write_rows,
};
use crate::sql::{
    returns::{remove_strays, untold},
    sagas::{set_in_motion, unlike_ours},
};
use domain::saga::Which;
use eventstore::Position;
use futures_util::{StreamExt, stream};
use std::time::Instant;
use tracing::info;
use uuid::Uuid;

/// Made anew in one transaction.
const PAGE: i64 = 500;
/// How many histories are read at a time.
const CONCURRENT_READS: usize = 4;

/// What is made anew.
#[derive(Clone, Copy, Debug)]
enum What {
    Fulfillments,
    Returns,
}

impl Builder {
    /// The checkpoint stays where it is.
    pub(super) async fn renew(&mut self, from: i32) -> Result<(), ProjectionError> {
        let (began, mut rows) = (Instant::now(), 0);
        info!(version = VERSION, from, "the read model was made by an earlier version: what differs is made anew");
        remove_strays(&mut *self.pool.acquire().await?).await?;
        // What took no return in has none to tell of.
        let what = if from < 2 { What::Fulfillments } else { What::Returns };
        let mut after = Uuid::nil();
        while let Some(page) = in_time(self.renew_page(what, after)).await? {
            rows += page.rows;
            after = page.last;
        }
        rows += in_time(self.renew_motion()).await?;
        info!(rows, took = ?began.elapsed(), "the read model is as this version makes it");
        Ok(())
    }

    async fn renew_page(&mut self, what: What, after: Uuid) -> Result<Option<Page>, ProjectionError> {
        let mut conn = self.pool.acquire().await?;
        let found = match what {
            What::Fulfillments => unlike_ours(&mut conn, after, PAGE).await?,
            What::Returns => untold(&mut conn, after, PAGE).await?,
        };
        drop(conn);
        let Some(last) = found.last().copied() else { return Ok(None) };
        let mut histories = self.read_again(&found).await?;
        // A history that can't be read parks its order at its next event; until then its row stays.
        histories.retain(|history| history.fulfillment.order.placed.is_some());
        let rows = what
            .rows(&histories)
            .map_err(|source| ProjectionError::Unwritable { position: self.position(), source })?;
        let mut transaction = self.pool.begin().await?;
        self.hold(&mut transaction).await?;
        write_rows(&mut transaction, None, &rows).await?;
        transaction.commit().await?;
        Ok(Some(Page { last, rows: rows.sagas.len() + rows.new_sagas.len() }))
    }

    /// Rows that now lie elsewhere.
    async fn renew_motion(&mut self) -> Result<usize, ProjectionError> {
        let mut transaction = self.pool.begin().await?;
        self.hold(&mut transaction).await?;
        let moved = set_in_motion(&mut transaction).await?;
        transaction.commit().await?;
        Ok(usize::try_from(moved).unwrap_or(usize::MAX))
    }

    /// As far as the rows have come: of a parked order up to the event before the one that parked it.
    async fn read_again(&self, orders: &[Uuid]) -> Result<Vec<History>, ProjectionError> {
        let (store, held, position) = (self.store.as_ref(), &self.held, self.position());
        let read = |order: &Uuid| {
            let order = *order;
            let parked = held.parked.get(&order).map(|parked| Position(parked.position.0 - 1));
            async move { read_history(store, held, order, parked.unwrap_or(position)).await }
        };
        let mut histories = Vec::with_capacity(orders.len());
        let mut reads = stream::iter(orders.iter().map(read)).buffer_unordered(CONCURRENT_READS);
        while let Some(read) = reads.next().await {
            match read {
                Ok(history) => histories.push(history),
                Err(error) if error.may_be_of_one_event() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(histories)
    }
}

impl What {
    fn rows(self, histories: &[History]) -> Result<Rows, serde_json::Error> {
        let mut rows = Rows::default();
        for history in histories {
            match self {
                What::Fulfillments => rows.sagas.extend(SagaRow::of(history, Which::Fulfillment)),
                What::Returns => {
                    for number in history.fulfillment.returns.iter().map(|this| this.number) {
                        rows.new_returns.extend(ReturnRow::of(history, number)?);
                        rows.new_sagas.extend(SagaRow::of(history, Which::Return(number)));
                    }
                }
            }
        }
        Ok(rows)
    }
}

struct Page {
    last: Uuid,
    rows: usize,
}
