//! Which rows of `sagas` an earlier version made otherwise, and which of `orders` by what they say.
use sqlx::PgConnection;
use uuid::Uuid;

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

/// Moves the rows of orders that an earlier version left where they don't belong, and says how many they were.
pub(crate) async fn set_in_motion(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let rests = sqlx::query!(
        "UPDATE orders AS o SET in_motion = false
          WHERE in_motion AND NOT EXISTS (
              SELECT FROM sagas AS s WHERE s.saga_id = o.order_id AND s.return_number = 0 AND s.state = 'RUNNING')"
    );
    let rest = rests.execute(&mut *conn).await?.rows_affected();
    let moves = sqlx::query!(
        "UPDATE orders AS o SET in_motion = true FROM sagas AS s
          WHERE s.state = 'RUNNING' AND s.return_number = 0 AND o.order_id = s.saga_id AND NOT o.in_motion"
    );
    Ok(rest + moves.execute(&mut *conn).await?.rows_affected())
}
