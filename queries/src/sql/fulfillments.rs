//! Writes `fulfillments`.
use super::Met;
use crate::projections::fulfillments::FulfillmentRow;
use sqlx::PgConnection;

pub(crate) async fn insert(conn: &mut PgConnection, rows: &[FulfillmentRow]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO fulfillments (fulfillment_id, order_id, shop, location, stage, carrier, tracking_number, lines)
        SELECT n.fulfillment_id, n.order_id, n.shop, n.location, n.stage, n.carrier, n.tracking_number, n.lines::json
        FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
            AS n (fulfillment_id, order_id, shop, location, stage, carrier, tracking_number, lines)
        "#,
        &rows.iter().map(|row| row.fulfillment_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.order_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.shop.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.location.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.stage).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.carrier.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.tracking_number.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.lines.as_str()).collect::<Vec<_>>() as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn update(conn: &mut PgConnection, rows: &[FulfillmentRow]) -> sqlx::Result<Met> {
    let done = sqlx::query!(
        r#"
        UPDATE fulfillments AS f
        SET stage = n.stage, carrier = n.carrier, tracking_number = n.tracking_number, lines = n.lines::json
        FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
            AS n (fulfillment_id, stage, carrier, tracking_number, lines)
        WHERE f.fulfillment_id = n.fulfillment_id
        "#,
        &rows.iter().map(|row| row.fulfillment_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.stage).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.carrier.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.tracking_number.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.lines.as_str()).collect::<Vec<_>>() as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
