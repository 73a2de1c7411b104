//! Rows of an earlier version, made anew by whoever takes over: what the versions since then make otherwise, and no more. It is done before
//! anything else, and again after the next takeover unless a batch of ours has moved the checkpoint since, which then is of this version;
//! the release before leaves it alone from then on, and one that has this module follows it for those who wait there.
//!
//! - 2: rows of sagas that have not ended, since when they wait and until when that is as expected.
use super::{
    ProjectionError, VERSION,
    batch::Rows,
    builder::{Builder, read_history},
    history::History,
    runner::in_time,
    sagas::SagaRow,
    write::write_rows,
};
use crate::sql::sagas::{OfSaga, unlike_ours};
use eventstore::Position;
use futures_util::{StreamExt, stream};
use std::time::Instant;
use tracing::info;
use uuid::Uuid;

/// Made anew in one transaction.
const PAGE: i64 = 500;
/// How many histories are read at a time.
const CONCURRENT_READS: usize = 4;

impl Builder {
    /// The checkpoint stays where it is.
    pub(super) async fn renew(&mut self) -> Result<(), ProjectionError> {
        let (began, mut sagas, mut after) = (Instant::now(), 0, Uuid::nil());
        info!(version = VERSION, "the read model was made by an earlier version: what differs is made anew");
        while let Some(page) = in_time(self.renew_page(after)).await? {
            sagas += page.rows;
            after = page.last;
        }
        info!(sagas, took = ?began.elapsed(), "the read model is as this version makes it");
        Ok(())
    }

    async fn renew_page(&mut self, after: Uuid) -> Result<Option<Page>, ProjectionError> {
        let found = unlike_ours(&mut *self.pool.acquire().await?, after, PAGE).await?;
        let Some(last) = found.last().map(|saga| saga.saga_id) else { return Ok(None) };
        let mut histories = self.read_again(&found).await?;
        // A history that can't be read parks its order at its next event; until then its row stays.
        histories.retain(|history| history.fulfillment.order.placed.is_some());
        let rows = Rows { sagas: histories.iter().map(SagaRow::of).collect(), ..Rows::default() };
        let mut transaction = self.pool.begin().await?;
        self.hold(&mut transaction).await?;
        write_rows(&mut transaction, &rows).await?;
        transaction.commit().await?;
        Ok(Some(Page { last, rows: rows.sagas.len() }))
    }

    /// As far as the rows have come: of a parked order up to the event before the one that parked it.
    async fn read_again(&self, sagas: &[OfSaga]) -> Result<Vec<History>, ProjectionError> {
        let (store, held, position) = (self.store.as_ref(), &self.held, self.position());
        let read = |saga: &OfSaga| {
            let order = saga.order_id;
            let parked = held.parked.get(&order).map(|parked| Position(parked.position.0 - 1));
            async move { read_history(store, held, order, parked.unwrap_or(position)).await }
        };
        let mut histories = Vec::with_capacity(sagas.len());
        let mut reads = stream::iter(sagas.iter().map(read)).buffer_unordered(CONCURRENT_READS);
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

struct Page {
    last: Uuid,
    rows: usize,
}
