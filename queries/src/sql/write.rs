//! Writes a batch: one call of `read.write_rows`, one round trip.
use super::checkpoint::{Advance, CHANNEL, NAME};
use crate::projections::Rows;
use sqlx::PgConnection;

/// With `advance` only if the checkpoint can be moved so: `false`, and nothing is written, when it can't.
///
/// Outside of a transaction it is committed when this returns.
pub(crate) async fn rows(conn: &mut PgConnection, advance: Option<&Advance>, rows: &Rows) -> sqlx::Result<bool> {
    let placed = || rows.placed.iter().map(|(placed, _)| placed);
    let orders = || rows.placed.iter().map(|(_, row)| row).chain(&rows.orders);
    let skus =
        || rows.placed.iter().flat_map(|(placed, row)| placed.skus.iter().map(|sku| (sku.as_str(), row.order_id)));
    let sagas = || rows.new_sagas.iter().chain(&rows.sagas);
    let fulfillments = || rows.new_fulfillments.iter().chain(&rows.fulfillments);
    let returns = || rows.new_returns.iter().chain(&rows.returns);
    // `fetch_all` and not `fetch_one`: it reads on to ReadyForQuery, which is sent after the commit. The row comes before it.
    let written = sqlx::query_scalar!(
        r#"
        SELECT CASE WHEN $1::text IS NULL OR read.advance($1, $2, $3, $4, $5, $6, $7)
            THEN read.write_rows($8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29,
                $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51,
                $52, $53, $54, $55, $56, $57, $58, $59, $60, $61, $62, $63, $64, $65, $66, $67, $68)
            ELSE false END AS "written!"
        "#,
        advance.map(|_| NAME),
        advance.map(|advance| advance.epoch),
        advance.map(|advance| advance.from.0),
        advance.map(|advance| advance.to.0),
        advance.map(|advance| advance.incarnation.0),
        advance.map(|advance| advance.version),
        advance.filter(|advance| advance.tell).map(|_| CHANNEL),
        &orders().map(|row| row.order_id).collect::<Vec<_>>(),
        &orders().map(|row| row.status).collect::<Vec<_>>() as _,
        &orders().map(|row| row.status_reason.as_deref()).collect::<Vec<_>>() as _,
        &orders().map(|row| row.fulfillment_status).collect::<Vec<_>>() as _,
        &orders().map(|row| row.authorized).collect::<Vec<_>>(),
        &orders().map(|row| row.captured).collect::<Vec<_>>(),
        &orders().map(|row| row.refunded).collect::<Vec<_>>(),
        &orders().map(|row| row.progress.as_str()).collect::<Vec<_>>() as _,
        &orders().map(|row| row.customer_erased_at).collect::<Vec<_>>() as _,
        &orders().map(|row| row.updated_at).collect::<Vec<_>>(),
        &orders().map(|row| row.version).collect::<Vec<_>>(),
        &orders().map(|row| row.position).collect::<Vec<_>>(),
        &orders().map(|row| row.in_motion).collect::<Vec<_>>(),
        &placed().map(|row| row.placed_at).collect::<Vec<_>>(),
        &placed().map(|row| row.received_at).collect::<Vec<_>>(),
        &placed().map(|row| row.shop.as_str()).collect::<Vec<_>>() as _,
        &placed().map(|row| row.order_ref.as_str()).collect::<Vec<_>>() as _,
        &placed().map(|row| row.customer_ref.as_str()).collect::<Vec<_>>() as _,
        &placed().map(|row| row.currency.as_str()).collect::<Vec<_>>() as _,
        &placed().map(|row| row.digits).collect::<Vec<_>>(),
        &placed().map(|row| row.total).collect::<Vec<_>>(),
        &placed().map(|row| row.lines.as_str()).collect::<Vec<_>>() as _,
        &placed().map(|row| row.charges.as_str()).collect::<Vec<_>>() as _,
        &skus().map(|(sku, _)| sku).collect::<Vec<_>>() as _,
        &skus().map(|(_, order)| order).collect::<Vec<_>>(),
        &sagas().map(|row| row.key.saga_id).collect::<Vec<_>>(),
        &sagas().map(|row| row.key.return_number).collect::<Vec<_>>(),
        &sagas().map(|row| row.state).collect::<Vec<_>>() as _,
        &sagas().map(|row| row.step).collect::<Vec<_>>() as _,
        &sagas().map(|row| row.attempt).collect::<Vec<_>>(),
        &sagas().map(|row| row.cause.as_deref()).collect::<Vec<_>>() as _,
        &sagas().map(|row| row.waiting_on).collect::<Vec<_>>() as _,
        &sagas().map(|row| row.waiting_since).collect::<Vec<_>>() as _,
        &sagas().map(|row| row.expected_by).collect::<Vec<_>>() as _,
        &sagas().map(|row| row.direction).collect::<Vec<_>>() as _,
        &sagas().map(|row| row.remaining_steps.as_str()).collect::<Vec<_>>() as _,
        &rows.new_sagas.iter().map(|row| row.order_id).collect::<Vec<_>>(),
        &rows.new_sagas.iter().map(|row| row.shop.as_str()).collect::<Vec<_>>() as _,
        &fulfillments().map(|row| row.fulfillment_id).collect::<Vec<_>>(),
        &fulfillments().map(|row| row.stage).collect::<Vec<_>>() as _,
        &fulfillments().map(|row| row.carrier.as_deref()).collect::<Vec<_>>() as _,
        &fulfillments().map(|row| row.tracking_number.as_deref()).collect::<Vec<_>>() as _,
        &fulfillments().map(|row| row.lines.as_str()).collect::<Vec<_>>() as _,
        &rows.new_fulfillments.iter().map(|row| row.order_id).collect::<Vec<_>>(),
        &rows.new_fulfillments.iter().map(|row| row.shop.as_str()).collect::<Vec<_>>() as _,
        &rows.new_fulfillments.iter().map(|row| row.location.as_str()).collect::<Vec<_>>() as _,
        &returns().map(|row| row.order_id).collect::<Vec<_>>(),
        &returns().map(|row| row.number).collect::<Vec<_>>(),
        &returns().map(|row| row.stage).collect::<Vec<_>>() as _,
        &returns().map(|row| row.carrier.as_deref()).collect::<Vec<_>>() as _,
        &returns().map(|row| row.tracking_number.as_deref()).collect::<Vec<_>>() as _,
        &returns().map(|row| row.refund).collect::<Vec<_>>() as _,
        &returns().map(|row| row.lines.as_str()).collect::<Vec<_>>() as _,
        &rows.new_returns.iter().map(|row| row.shop.as_str()).collect::<Vec<_>>() as _,
        &rows.new_returns.iter().map(|row| row.location.as_str()).collect::<Vec<_>>() as _,
        &rows.new_returns.iter().map(|row| row.digits).collect::<Vec<_>>(),
        &rows.stock.shelves.iter().map(|((shop, _, _), _)| shop.as_str()).collect::<Vec<_>>() as _,
        &rows.stock.shelves.iter().map(|((_, sku, _), _)| sku.as_str()).collect::<Vec<_>>() as _,
        &rows.stock.shelves.iter().map(|((_, _, location), _)| location.as_str()).collect::<Vec<_>>() as _,
        &rows.stock.shelves.iter().map(|(_, change)| change.on_hand).collect::<Vec<_>>(),
        &rows.stock.shelves.iter().map(|(_, change)| change.reserved).collect::<Vec<_>>(),
    );
    Ok(written.fetch_all(conn).await? == [true])
}
