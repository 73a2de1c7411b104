//! An order's rows as the read model showed them once its first so many events were applied: folded from its history by the same code
//! that writes the tables, and never kept.
use super::{
    ProjectionError,
    batch::{Decoded, Rows, fold},
    fulfillments::FulfillmentRow,
    history::History,
    orders::{OrderRow, PlacedRow},
    returns::ReturnRow,
    sagas::SagaRow,
};
use crate::{
    narrative::{self, Entry},
    sql::read::{FulfillmentRecord, OrderRecord, ReturnRecord, SagaRecord},
};
use chrono::{DateTime, SubsecRound, Utc};
use eventstore::RecordedEvent;
use sqlx::types::Json;
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// What PostgreSQL keeps of an instant.
const MICROSECONDS: u16 = 6;

#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) order: Arc<OrderRecord>,
    pub(crate) fulfillments: Vec<Arc<FulfillmentRecord>>,
    pub(crate) saga: Arc<SagaRecord>,
    /// Each with its saga, by number.
    pub(crate) returns: Vec<(Arc<ReturnRecord>, Arc<SagaRecord>)>,
    /// All of it, the earliest first.
    pub(crate) timeline: Vec<Arc<Entry>>,
}

impl Past {
    /// Of the events that the order had by then, in position order; `None` when it was not placed yet. `at`: the moment of then, for what time
    /// alone changes.
    pub(crate) fn of(
        order: Uuid,
        recorded: Vec<RecordedEvent>,
        at: DateTime<Utc>,
    ) -> Result<Option<Past>, ProjectionError> {
        let Some(position) = recorded.last().map(|event| event.position) else { return Ok(None) };
        let events: Vec<Decoded> = recorded.into_iter().map(Decoded::decode).collect::<Result<_, _>>()?;
        let mut histories = HashMap::from([(order, History::new(order))]);
        let (rows, _) = fold(&events, &mut histories)?;
        let timeline = narrative::story(&events).into_iter().map(Arc::new).collect();
        Past::of_rows(rows, timeline, at).map_err(|source| ProjectionError::Unwritable { position, source })
    }

    fn of_rows(rows: Rows, timeline: Vec<Arc<Entry>>, at: DateTime<Utc>) -> Result<Option<Past>, serde_json::Error> {
        // The fulfillment's is the first, those of returns come as the returns do.
        let mut sagas = rows.new_sagas.into_iter();
        let (Some((placed, order)), Some(saga)) = (rows.placed.into_iter().next(), sagas.next()) else {
            return Ok(None);
        };
        Ok(Some(Past {
            order: Arc::new(order_record(placed, order)?),
            fulfillments: rows.new_fulfillments.into_iter().map(fulfillment_record).collect::<Result<_, _>>()?,
            saga: Arc::new(saga_record(saga, at)),
            returns: rows
                .new_returns
                .into_iter()
                .zip(sagas)
                .map(|(row, saga)| Ok((return_record(row)?, Arc::new(saga_record(saga, at)))))
                .collect::<Result<_, serde_json::Error>>()?,
            timeline,
        }))
    }
}

fn order_record(placed: PlacedRow, order: OrderRow) -> Result<OrderRecord, serde_json::Error> {
    Ok(OrderRecord {
        order_id: order.order_id,
        placed_at: placed.placed_at.trunc_subsecs(MICROSECONDS),
        received_at: placed.received_at.trunc_subsecs(MICROSECONDS),
        shop: placed.shop,
        order_ref: placed.order_ref,
        customer_ref: placed.customer_ref,
        currency: placed.currency,
        digits: placed.digits,
        total: placed.total,
        lines: Json(serde_json::from_str(&placed.lines)?),
        charges: Json(serde_json::from_str(&placed.charges)?),
        status: order.status.to_owned(),
        status_reason: order.status_reason,
        fulfillment_status: order.fulfillment_status.to_owned(),
        authorized: order.authorized,
        captured: order.captured,
        refunded: order.refunded,
        progress: Json(serde_json::from_str(&order.progress)?),
        customer_erased_at: order.customer_erased_at,
        updated_at: order.updated_at,
        version: order.version,
        position: order.position,
    })
}

fn fulfillment_record(row: FulfillmentRow) -> Result<Arc<FulfillmentRecord>, serde_json::Error> {
    Ok(Arc::new(FulfillmentRecord {
        fulfillment_id: row.fulfillment_id,
        order_id: row.order_id,
        shop: row.shop,
        location: row.location,
        stage: row.stage.to_owned(),
        carrier: row.carrier,
        tracking_number: row.tracking_number,
        lines: Json(serde_json::from_str(&row.lines)?),
    }))
}

fn return_record(row: ReturnRow) -> Result<Arc<ReturnRecord>, serde_json::Error> {
    Ok(Arc::new(ReturnRecord {
        order_id: row.order_id,
        number: row.number,
        shop: row.shop,
        location: row.location,
        stage: row.stage.to_owned(),
        carrier: row.carrier,
        tracking_number: row.tracking_number,
        refund: row.refund,
        digits: row.digits,
        lines: Json(serde_json::from_str(&row.lines)?),
    }))
}

fn saga_record(row: SagaRow, at: DateTime<Utc>) -> SagaRecord {
    SagaRecord {
        saga_id: row.key.saga_id,
        return_number: row.key.return_number,
        order_id: row.order_id,
        shop: row.shop,
        state: row.state.to_owned(),
        step: row.step.to_owned(),
        attempt: row.attempt,
        cause: row.cause,
        waiting_on: row.waiting_on.map(str::to_owned),
        waiting_since: row.waiting_since,
        remaining_steps: row.remaining_steps.split(',').filter(|step| !step.is_empty()).map(str::to_owned).collect(),
        expected_by: row.expected_by,
        direction: row.direction.map(str::to_owned),
        overdue: row.expected_by.is_some_and(|expected_by| expected_by < at),
    }
}
