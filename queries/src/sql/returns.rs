//! Which rows of `returns` an earlier version did not make, or left behind.
use sqlx::PgConnection;
use uuid::Uuid;

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
