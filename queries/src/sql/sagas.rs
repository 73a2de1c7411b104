//! Writes `sagas`.
use super::Met;
use crate::projections::sagas::SagaRow;
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) async fn insert(conn: &mut PgConnection, rows: &[SagaRow]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO sagas (saga_id, order_id, shop, state, step, attempt, cause, waiting_on, waiting_since, remaining_steps,
            expected_by, direction, return_number)
        SELECT n.saga_id, n.order_id, n.shop, n.state, n.step, n.attempt, n.cause, n.waiting_on, n.waiting_since,
            string_to_array(n.remaining_steps, ','), n.expected_by, n.direction, n.return_number
        FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::text[], $8::text[],
            $9::timestamptz[], $10::text[], $11::timestamptz[], $12::text[], $13::smallint[])
            AS n (saga_id, order_id, shop, state, step, attempt, cause, waiting_on, waiting_since, remaining_steps, expected_by,
                direction, return_number)
        "#,
        &rows.iter().map(|row| row.key.saga_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.order_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.shop.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.state).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.step).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.attempt).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.cause.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.waiting_on).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.waiting_since).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.remaining_steps.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.expected_by).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.direction).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.key.return_number).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn update(conn: &mut PgConnection, rows: &[SagaRow]) -> sqlx::Result<Met> {
    let done = sqlx::query!(
        r#"
        UPDATE sagas AS s
        SET state = n.state, step = n.step, attempt = n.attempt, cause = n.cause, waiting_on = n.waiting_on,
            waiting_since = n.waiting_since, remaining_steps = string_to_array(n.remaining_steps, ','),
            expected_by = n.expected_by, direction = n.direction
        FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[], $8::text[],
            $9::timestamptz[], $10::text[], $11::smallint[])
            AS n (saga_id, state, step, attempt, cause, waiting_on, waiting_since, remaining_steps, expected_by, direction, return_number)
        WHERE s.saga_id = n.saga_id AND s.return_number = n.return_number
        "#,
        &rows.iter().map(|row| row.key.saga_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.state).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.step).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.attempt).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.cause.as_deref()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.waiting_on).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.waiting_since).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.remaining_steps.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.expected_by).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.direction).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.key.return_number).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// After `after`, orders whose fulfillment the release before may have written otherwise: what has not ended, and what has and still says that
/// it waits.
pub(crate) async fn unlike_ours(conn: &mut PgConnection, after: Uuid, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"
        SELECT order_id FROM sagas
        WHERE saga_id > $1 AND return_number = 0
            AND (state NOT IN ('COMPLETED', 'COMPENSATED') OR direction IS NOT NULL)
        ORDER BY saga_id LIMIT $2
        "#,
        after,
        limit
    )
    .fetch_all(conn)
    .await
}
