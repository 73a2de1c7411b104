//! Writes `stock`: sums of changes, not counts, so that the table itself is the state.
use crate::projections::stock::Changes;
use sqlx::PgConnection;

pub(crate) async fn apply(conn: &mut PgConnection, changes: &Changes) -> sqlx::Result<()> {
    let shelves = || changes.shelves.iter();
    sqlx::query!(
        r#"
        INSERT INTO stock (shop, sku, location, on_hand, reserved)
        SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
        ON CONFLICT (shop, sku, location) DO UPDATE
        SET on_hand = stock.on_hand + EXCLUDED.on_hand, reserved = stock.reserved + EXCLUDED.reserved
        "#,
        &shelves().map(|((shop, _, _), _)| shop.as_str()).collect::<Vec<_>>() as _,
        &shelves().map(|((_, sku, _), _)| sku.as_str()).collect::<Vec<_>>() as _,
        &shelves().map(|((_, _, location), _)| location.as_str()).collect::<Vec<_>>() as _,
        &shelves().map(|(_, change)| change.on_hand).collect::<Vec<_>>(),
        &shelves().map(|(_, change)| change.reserved).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
