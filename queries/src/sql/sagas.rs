//! Which rows of `sagas` an earlier version made otherwise.
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
