//! What the rows say.
use crate::given::{Given, free_of_charge, out_of_stock, placed};
use domain::{OrderId, location::LocationMode, saga::Reply};
use sqlx::{AssertSqlSafe, Row, postgres::PgRow};

async fn row(given: &Given, sql: &str, order: OrderId) -> PgRow {
    sqlx::query(AssertSqlSafe(sql.to_owned())).bind(order.0).fetch_one(&given.pool).await.unwrap()
}

async fn text(given: &Given, table: &str, column: &str, order: OrderId) -> Option<String> {
    row(given, &format!("SELECT {column}::text FROM read.{table} WHERE order_id = $1"), order).await.get(0)
}

async fn shelf(given: &Given, sku: &str) -> (i64, i64) {
    let found = sqlx::query_as(
        "SELECT on_hand, reserved FROM read.stock WHERE shop = 'dev' AND location = 'main' AND sku = $1",
    );
    found.bind(sku).fetch_one(&given.pool).await.unwrap()
}

#[tokio::test]
async fn a_completed_order_shows_what_was_shipped_and_captured() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 2), ("b", 1)])).await;
    given.project().await;

    assert_eq!(text(&given, "orders", "status", order).await.as_deref(), Some("COMPLETED"));
    assert_eq!(text(&given, "orders", "fulfillment_status", order).await.as_deref(), Some("FULFILLED"));
    assert_eq!(text(&given, "orders", "captured", order).await.as_deref(), Some("640"));
    assert_eq!(text(&given, "orders", "progress", order).await.as_deref(), Some("[[0,2,0],[0,1,0]]"));
    assert_eq!(text(&given, "fulfillments", "stage", order).await.as_deref(), Some("SHIPPED"));
    assert_eq!(text(&given, "fulfillments", "tracking_number", order).await.as_deref(), Some("PP123"));
    assert_eq!(text(&given, "sagas", "state", order).await.as_deref(), Some("COMPLETED"));
    assert_eq!(text(&given, "sagas", "remaining_steps", order).await.as_deref(), Some("{}"));
    assert_eq!(text(&given, "sagas", "waiting_since", order).await, None);
}

#[tokio::test]
async fn an_order_without_stock_is_cancelled_and_none_of_it_is_left_reserved() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 3)])).await;
    given.reply(order, out_of_stock("a")).await;
    given.goes_well(order, 10).await;
    given.project().await;

    assert_eq!(text(&given, "orders", "status", order).await.as_deref(), Some("CANCELLED"));
    assert_eq!(text(&given, "orders", "status_reason", order).await.as_deref(), Some("out_of_stock"));
    assert_eq!(text(&given, "orders", "progress", order).await.as_deref(), Some("[[0,0,3]]"));
    assert_eq!(text(&given, "sagas", "state", order).await.as_deref(), Some("COMPENSATED"));
}

#[tokio::test]
async fn an_order_under_way_shows_what_it_waits_for_since_when_and_what_remains() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 3)])).await;
    given.goes_well(order, 1).await;
    given.reply(order, Reply::Unanswered { cause: "unavailable".to_owned() }).await;
    given.project().await;
    let since = text(&given, "sagas", "waiting_since", order).await;
    given.reply(order, Reply::Unanswered { cause: "unavailable".to_owned() }).await;
    given.project().await;

    assert_eq!(text(&given, "orders", "status", order).await.as_deref(), Some("ALLOCATED"));
    assert_eq!(text(&given, "orders", "progress", order).await.as_deref(), Some("[[3,0,0]]"));
    assert_eq!(text(&given, "sagas", "state", order).await.as_deref(), Some("WAITING"));
    assert_eq!(text(&given, "sagas", "waiting_on", order).await.as_deref(), Some("payment"));
    assert_eq!(text(&given, "sagas", "cause", order).await.as_deref(), Some("unavailable"));
    assert!(since.is_some());
    assert_eq!(text(&given, "sagas", "waiting_since", order).await, since, "it still waits for the same one");
    assert_eq!(
        text(&given, "sagas", "remaining_steps", order).await.as_deref(),
        Some("{authorize_payment,release_to_warehouse,ship,capture_payment,complete}")
    );
}

#[tokio::test]
async fn shelves_hold_what_came_in_less_what_left_and_what_is_set_aside() {
    let mut given = Given::new().await;
    given.receive("dev", "a", 10).await;
    given.receive("dev", "b", 5).await;
    given.adjust("dev", "b", -1).await;
    given.project().await;
    given.completed("dev", placed("shipped", &[("a", 2), ("a", 1)])).await;
    given.mode = LocationMode::Manual;
    let waits = given.place("dev", placed("waits", &[("a", 3), ("b", 1)])).await;
    given.goes_well(waits, 10).await;
    given.project().await;
    assert_eq!(shelf(&given, "a").await, (7, 3));
    assert_eq!(shelf(&given, "b").await, (4, 1));

    given.cancel(waits).await;
    given.reply(waits, Reply::Nothing).await;
    given.goes_well(waits, 10).await;
    given.project().await;
    assert_eq!(text(&given, "orders", "status", waits).await.as_deref(), Some("CANCELLED"));
    assert_eq!(shelf(&given, "a").await, (7, 0));
    assert_eq!(shelf(&given, "b").await, (4, 0));
}

#[tokio::test]
async fn an_order_of_nothing_completes_without_a_payment_step() {
    let given = Given::new().await;
    let order = given.place("dev", free_of_charge("r-1")).await;
    given.project().await;
    assert_eq!(
        text(&given, "sagas", "remaining_steps", order).await.as_deref(),
        Some("{reserve_stock,release_to_warehouse,ship,complete}")
    );
    given.goes_well(order, 10).await;
    given.project().await;
    assert_eq!(text(&given, "orders", "status", order).await.as_deref(), Some("COMPLETED"));
}
