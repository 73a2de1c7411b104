//! Answers queries from the live tables, by id.
use crate::projections::{
    fulfillments,
    orders::{Charge, Line, Progress},
    returns,
    sagas::SagaKey,
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

/// A row of `read.orders`. Amounts in minor units of `digits` decimals.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct OrderRecord {
    pub(crate) order_id: Uuid,
    pub(crate) placed_at: DateTime<Utc>,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) shop: String,
    pub(crate) order_ref: String,
    pub(crate) customer_ref: String,
    pub(crate) currency: String,
    pub(crate) digits: i16,
    pub(crate) total: i64,
    pub(crate) lines: Json<Vec<Line>>,
    pub(crate) charges: Json<Vec<Charge>>,
    pub(crate) status: String,
    pub(crate) status_reason: Option<String>,
    pub(crate) fulfillment_status: String,
    pub(crate) authorized: i64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) progress: Json<Vec<Progress>>,
    pub(crate) customer_erased_at: Option<DateTime<Utc>>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) version: i32,
    pub(crate) position: i64,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct FulfillmentRecord {
    pub(crate) fulfillment_id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) shop: String,
    pub(crate) location: String,
    pub(crate) stage: String,
    pub(crate) carrier: Option<String>,
    pub(crate) tracking_number: Option<String>,
    pub(crate) lines: Json<Vec<fulfillments::Line>>,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct SagaRecord {
    pub(crate) saga_id: Uuid,
    pub(crate) return_number: i16,
    pub(crate) order_id: Uuid,
    pub(crate) shop: String,
    pub(crate) state: String,
    pub(crate) step: String,
    pub(crate) attempt: i32,
    pub(crate) cause: Option<String>,
    pub(crate) waiting_on: Option<String>,
    pub(crate) waiting_since: Option<DateTime<Utc>>,
    pub(crate) remaining_steps: Vec<String>,
    pub(crate) expected_by: Option<DateTime<Utc>>,
    pub(crate) direction: Option<String>,
    /// At the moment of reading.
    pub(crate) overdue: bool,
}

impl SagaRecord {
    pub(crate) fn key(&self) -> SagaKey {
        SagaKey { saga_id: self.saga_id, return_number: self.return_number }
    }
}

/// A row of `read.returns`. Its refund is in minor units of `digits` decimals.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ReturnRecord {
    pub(crate) order_id: Uuid,
    pub(crate) number: i16,
    pub(crate) shop: String,
    pub(crate) location: String,
    pub(crate) stage: String,
    pub(crate) carrier: Option<String>,
    pub(crate) tracking_number: Option<String>,
    pub(crate) refund: Option<i64>,
    pub(crate) digits: i16,
    pub(crate) lines: Json<Vec<returns::Line>>,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct StockRecord {
    pub(crate) shop: String,
    pub(crate) sku: String,
    pub(crate) location: String,
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct ParkedRecord {
    pub(crate) key: Uuid,
    pub(crate) position: i64,
    pub(crate) cause: String,
    pub(crate) parked_at: DateTime<Utc>,
}

pub(crate) async fn orders(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<OrderRecord>> {
    sqlx::query_as!(
        OrderRecord,
        r#"
        SELECT order_id, placed_at, received_at, shop, ref AS order_ref, customer_ref, currency, digits, total,
            lines AS "lines: Json<Vec<Line>>", charges AS "charges: Json<Vec<Charge>>", status, status_reason, fulfillment_status,
            authorized, captured, refunded, progress AS "progress: Json<Vec<Progress>>", customer_erased_at, updated_at, version,
            position
        FROM read.orders WHERE order_id = ANY($1)
        "#,
        ids
    )
    .fetch_all(conn)
    .await
}

/// The orders of this ref, by shop; of one shop only, if given.
pub(crate) async fn orders_by_ref(
    conn: &mut PgConnection,
    order_ref: &str,
    shop: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<(Uuid, String)>> {
    let rows = sqlx::query!(
        "SELECT order_id, shop FROM read.orders WHERE ref = $1 AND ($2::text IS NULL OR shop = $2) ORDER BY shop LIMIT $3",
        order_ref,
        shop,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.order_id, row.shop)).collect())
}

/// By their own ids.
pub(crate) async fn fulfillments(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<FulfillmentRecord>> {
    sqlx::query_as!(
        FulfillmentRecord,
        r#"
        SELECT fulfillment_id, order_id, shop, location, stage, carrier, tracking_number,
            lines AS "lines: Json<Vec<fulfillments::Line>>"
        FROM read.fulfillments WHERE fulfillment_id = ANY($1)
        "#,
        ids
    )
    .fetch_all(conn)
    .await
}

pub(crate) async fn fulfillments_of(conn: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Vec<FulfillmentRecord>> {
    sqlx::query_as!(
        FulfillmentRecord,
        r#"
        SELECT fulfillment_id, order_id, shop, location, stage, carrier, tracking_number,
            lines AS "lines: Json<Vec<fulfillments::Line>>"
        FROM read.fulfillments WHERE order_id = ANY($1) ORDER BY fulfillment_id
        "#,
        orders
    )
    .fetch_all(conn)
    .await
}

pub(crate) async fn sagas(conn: &mut PgConnection, keys: &[SagaKey]) -> sqlx::Result<Vec<SagaRecord>> {
    sqlx::query_as!(
        SagaRecord,
        r#"
        SELECT s.saga_id, s.return_number, s.order_id, s.shop, s.state, s.step, s.attempt, s.cause, s.waiting_on, s.waiting_since,
            s.remaining_steps, s.expected_by, s.direction, COALESCE(s.expected_by < now(), false) AS "overdue!"
        FROM UNNEST($1::uuid[], $2::smallint[]) AS k (saga_id, return_number)
            JOIN read.sagas AS s ON s.saga_id = k.saga_id AND s.return_number = k.return_number
        "#,
        &keys.iter().map(|key| key.saga_id).collect::<Vec<_>>(),
        &keys.iter().map(|key| key.return_number).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await
}

/// Of each order its fulfillment.
pub(crate) async fn sagas_of(conn: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Vec<SagaRecord>> {
    sqlx::query_as!(
        SagaRecord,
        r#"
        SELECT saga_id, return_number, order_id, shop, state, step, attempt, cause, waiting_on, waiting_since, remaining_steps,
            expected_by, direction, COALESCE(expected_by < now(), false) AS "overdue!"
        FROM read.sagas WHERE order_id = ANY($1) AND return_number = 0
        "#,
        orders
    )
    .fetch_all(conn)
    .await
}

/// By order and number.
pub(crate) async fn returns(conn: &mut PgConnection, keys: &[(Uuid, i16)]) -> sqlx::Result<Vec<ReturnRecord>> {
    sqlx::query_as!(
        ReturnRecord,
        r#"
        SELECT r.order_id, r.number, r.shop, r.location, r.stage, r.carrier, r.tracking_number, r.refund, r.digits,
            r.lines AS "lines: Json<Vec<returns::Line>>"
        FROM UNNEST($1::uuid[], $2::smallint[]) AS k (order_id, number)
            JOIN read.returns AS r ON r.order_id = k.order_id AND r.number = k.number
        "#,
        &keys.iter().map(|(order, _)| *order).collect::<Vec<_>>(),
        &keys.iter().map(|(_, number)| *number).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await
}

/// Of each order all, by number.
pub(crate) async fn returns_of(conn: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Vec<ReturnRecord>> {
    sqlx::query_as!(
        ReturnRecord,
        r#"
        SELECT order_id, number, shop, location, stage, carrier, tracking_number, refund, digits,
            lines AS "lines: Json<Vec<returns::Line>>"
        FROM read.returns WHERE order_id = ANY($1) ORDER BY order_id, number
        "#,
        orders
    )
    .fetch_all(conn)
    .await
}

/// Which of these keys are parked.
pub(crate) async fn parked(conn: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<Vec<ParkedRecord>> {
    sqlx::query_as!(ParkedRecord, "SELECT key, position, cause, parked_at FROM read.parked WHERE key = ANY($1)", keys)
        .fetch_all(conn)
        .await
}
