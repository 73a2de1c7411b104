//! Writes `timeline`.
use crate::projections::timeline::TimelineRow;
use sqlx::PgConnection;

pub(crate) async fn insert(conn: &mut PgConnection, rows: &[TimelineRow]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO timeline (order_id, position, at, type, summary, actor, actor_kind)
        SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[])
        "#,
        &rows.iter().map(|row| row.order_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.position).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.at).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.event_type).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.summary.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.actor.as_str()).collect::<Vec<_>>() as _,
        &rows.iter().map(|row| row.actor_kind).collect::<Vec<_>>() as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}
