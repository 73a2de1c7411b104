//! Writes `returns`, for orders that have some.
use super::Met;
use crate::projections::returns::ReturnRow;
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) async fn insert(conn: &mut PgConnection, rows: &[ReturnRow]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO returns (order_id, number, shop, location, stage, carrier, tracking_number, refund, digits, lines)
        SELECT n.order_id, n.number, n.shop, n.location, n.stage, n.carrier, n.tracking_number, n.refund, n.digits, n.lines::json
        FROM UNNEST($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
            $9::smallint[], $10::text[])
            AS n (order_id, number, shop, location, stage, carrier, tracking_number, refund, digits, lines)
        "#,
        &rows.iter().map(|row| row.order_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.number).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.shop.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.location.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.stage).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.carrier.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.tracking_number.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.refund).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.digits).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.lines.as_str()).collect::<Vec<_>>() as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn update(conn: &mut PgConnection, rows: &[ReturnRow]) -> sqlx::Result<Met> {
    let done = sqlx::query!(
        r#"
        UPDATE returns AS r
        SET stage = n.stage, carrier = n.carrier, tracking_number = n.tracking_number, refund = n.refund, lines = n.lines::json
        FROM UNNEST($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[])
            AS n (order_id, number, stage, carrier, tracking_number, refund, lines)
        WHERE r.order_id = n.order_id AND r.number = n.number
        "#,
        &rows.iter().map(|row| row.order_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.number).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.stage).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.carrier.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.tracking_number.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.refund).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.lines.as_str()).collect::<Vec<_>>() as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// After `after`, orders that have returns of which there are no rows: they were taken in by a build that made none.
pub(crate) async fn untold(conn: &mut PgConnection, after: Uuid, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"
        SELECT DISTINCT t.order_id FROM timeline AS t
        WHERE t.type = 'ReturnRequested' AND t.order_id > $1
            AND NOT EXISTS (SELECT FROM returns AS r WHERE r.order_id = t.order_id)
        ORDER BY t.order_id LIMIT $2
        "#,
        after,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Takes away what has no saga. A release that knows nothing of this table leaves it behind when it empties the others.
pub(crate) async fn remove_strays(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM returns AS r
          WHERE NOT EXISTS (SELECT FROM sagas AS s WHERE s.saga_id = r.order_id AND s.return_number = r.number)"
    )
    .execute(conn)
    .await?;
    Ok(())
}
