//! A row that is to be updated isn't there: somebody has been at the read model.
use crate::{
    given::{Given, placed},
    projections::{ProjectionError, builder::Builder, connection::live_pool, tests::assert_equal_to_a_replay},
};
use domain::{
    location::LocationMode,
    shipment::{FulfillmentPicked, LineQuantity},
};
use eventstore::{ActorKind, EventStore};
use sqlx::AssertSqlSafe;

#[tokio::test]
async fn a_row_that_is_gone_is_named_and_nothing_of_its_batch_is_written() {
    let picked = FulfillmentPicked { lines: vec![LineQuantity { line_id: "1".into(), quantity: 1 }] };
    for table in ["orders", "sagas", "fulfillments"] {
        let mut given = Given::new().await;
        given.mode = LocationMode::Manual;
        given.receive("dev", "a", 100).await;
        let order = given.place("dev", placed("r-1", &[("a", 2)])).await;
        given.goes_well(order, 2).await;
        let position = given.project().await;
        let pool = live_pool(&given.pool.connect_options());
        let mut builder = Builder::take_over(given.store.clone(), pool).await.unwrap();
        let gone = format!("WITH gone AS (DELETE FROM read.{table} RETURNING *) INSERT INTO kept SELECT * FROM gone");
        for sql in [format!("CREATE TABLE kept (LIKE read.{table})"), gone] {
            sqlx::query(AssertSqlSafe(sql)).execute(&given.pool).await.unwrap();
        }

        // Another order's events in the same batch: they aren't written either.
        given.place("dev", placed("r-2", &[("a", 1)])).await;
        given.append("dev", order.0, ActorKind::Warehouse, vec![picked.clone().into()]).await;
        let events = given.store.read_log(position, 500).await.unwrap();
        let error = builder.apply(events.clone()).await.unwrap_err();
        let ProjectionError::MissingRows { table: named, counts } = &error else { panic!("{error}") };
        assert_eq!((named.as_str(), counts.as_str()), (table, "1 rows to be updated, 0 there"));
        let row: (i64, i64) = sqlx::query_as(
            "SELECT (SELECT position FROM read.projections), (SELECT count(*) FROM read.orders WHERE ref = 'r-2')",
        )
        .fetch_one(&given.pool)
        .await
        .unwrap();
        assert_eq!(row, (position.0, 0));

        // It goes on where it stood once the row is back.
        let back = format!("INSERT INTO read.{table} SELECT * FROM kept");
        sqlx::query(AssertSqlSafe(back)).execute(&given.pool).await.unwrap();
        builder.apply(events).await.unwrap();
        assert_equal_to_a_replay(&given).await;
    }
}
