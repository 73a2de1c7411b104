//! Writes `orders` and `order_skus`: one statement a batch and table.
use super::Met;
use crate::projections::orders::{OrderRow, PlacedRow};
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) async fn insert(conn: &mut PgConnection, rows: &[(PlacedRow, OrderRow)]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO orders (order_id, placed_at, received_at, shop, ref, customer_ref, currency, digits, total, lines, charges,
            status, status_reason, fulfillment_status, authorized, captured, refunded, progress, customer_erased_at, updated_at, version,
            position)
        SELECT n.order_id, n.placed_at, n.received_at, n.shop, n.ref, n.customer_ref, n.currency, n.digits, n.total,
            n.lines::json, n.charges::json, n.status, n.status_reason, n.fulfillment_status, n.authorized, n.captured,
            n.refunded, n.progress::json, n.customer_erased_at, n.updated_at, n.version, n.position
        FROM UNNEST($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::smallint[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[],
            $16::bigint[], $17::bigint[], $18::text[], $19::timestamptz[], $20::timestamptz[], $21::integer[], $22::bigint[])
            AS n (order_id, placed_at, received_at, shop, ref, customer_ref, currency, digits, total, lines, charges,
                status, status_reason, fulfillment_status, authorized, captured, refunded, progress, customer_erased_at, updated_at,
                version, position)
        "#,
        &rows.iter().map(|(_, row)| row.order_id).collect::<Vec<_>>(),
        &rows.iter().map(|(row, _)| row.placed_at).collect::<Vec<_>>(),
        &rows.iter().map(|(row, _)| row.received_at).collect::<Vec<_>>(),
        &rows.iter().map(|(row, _)| row.shop.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|(row, _)| row.order_ref.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|(row, _)| row.customer_ref.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|(row, _)| row.currency.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|(row, _)| row.digits).collect::<Vec<_>>(),
        &rows.iter().map(|(row, _)| row.total).collect::<Vec<_>>(),
        &rows.iter().map(|(row, _)| row.lines.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|(row, _)| row.charges.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|(_, row)| row.status).collect::<Vec<_>>() as _,
        &rows.iter().map(|(_, row)| row.status_reason.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|(_, row)| row.fulfillment_status).collect::<Vec<_>>() as _,
        &rows.iter().map(|(_, row)| row.authorized).collect::<Vec<_>>(),
        &rows.iter().map(|(_, row)| row.captured).collect::<Vec<_>>(),
        &rows.iter().map(|(_, row)| row.refunded).collect::<Vec<_>>(),
        &rows.iter().map(|(_, row)| row.progress.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|(_, row)| row.customer_erased_at).collect::<Vec<_>>() as _,
        &rows.iter().map(|(_, row)| row.updated_at).collect::<Vec<_>>(),
        &rows.iter().map(|(_, row)| row.version).collect::<Vec<_>>(),
        &rows.iter().map(|(_, row)| row.position).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn insert_skus(conn: &mut PgConnection, rows: &[(PlacedRow, OrderRow)]) -> sqlx::Result<()> {
    let pairs = || rows.iter().flat_map(|(placed, row)| placed.skus.iter().map(|sku| (sku.as_str(), row.order_id)));
    let skus: Vec<&str> = pairs().map(|(sku, _)| sku).collect();
    let orders: Vec<Uuid> = pairs().map(|(_, order)| order).collect();
    sqlx::query!(
        "INSERT INTO order_skus (sku, order_id) SELECT * FROM UNNEST($1::text[], $2::uuid[])",
        &skus as _,
        &orders
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn update(conn: &mut PgConnection, rows: &[OrderRow]) -> sqlx::Result<Met> {
    let done = sqlx::query!(
        r#"
        UPDATE orders AS o
        SET status = n.status, status_reason = n.status_reason, fulfillment_status = n.fulfillment_status,
            authorized = n.authorized, captured = n.captured, refunded = n.refunded, progress = n.progress::json,
            customer_erased_at = n.customer_erased_at, updated_at = n.updated_at, version = n.version, position = n.position
        FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
            $9::timestamptz[], $10::timestamptz[], $11::integer[], $12::bigint[])
            AS n (order_id, status, status_reason, fulfillment_status, authorized, captured, refunded, progress,
                customer_erased_at, updated_at, version, position)
        WHERE o.order_id = n.order_id
        "#,
        &rows.iter().map(|row| row.order_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.status).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.status_reason.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.fulfillment_status).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.authorized).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.captured).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.refunded).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.progress.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.customer_erased_at).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.updated_at).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.version).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.position).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
