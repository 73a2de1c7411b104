//! The rows of the orders that a part of the log touched, against their histories.
use super::parked::teleport;
use crate::{
    given::{Given, placed},
    projections::{
        AuditPace, AuditVerdict, OrderAudit, RangeComparison, audit::PAGE_EVENTS, audit_rows, tests::busy,
        verify_orders, verify_projections,
    },
};
use domain::{OrderId, returns};
use eventstore::Position;
use sqlx::AssertSqlSafe;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

async fn all(given: &Given) -> RangeComparison {
    let head = given.head().await;
    verify_orders(given.store.clone(), &given.pool.connect_options(), Position::ZERO, head).await.unwrap()
}

/// The tables that differ, and which side has more.
fn told(compared: &RangeComparison) -> Vec<(&'static str, bool)> {
    compared.differences.iter().map(|difference| (difference.table, difference.missing)).collect()
}

async fn tamper(given: &Given, sql: &str, order: OrderId) {
    let done = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(order.0).execute(&given.pool).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{sql}");
}

#[tokio::test]
async fn each_row_that_was_tampered_with_is_found_by_its_order() {
    for (sql, found) in [
        ("UPDATE read.orders SET captured = captured + 1 WHERE order_id = $1", vec![("orders", true), ("orders", false)]),
        ("DELETE FROM read.orders WHERE order_id = $1", vec![("orders", true)]),
        ("DELETE FROM read.order_skus WHERE order_id = $1 AND sku = 'b'", vec![("order_skus", true)]),
        ("UPDATE read.fulfillments SET stage = 'PACKED' WHERE order_id = $1", vec![("fulfillments", true), ("fulfillments", false)]),
        (
            "INSERT INTO read.fulfillments SELECT gen_random_uuid(), order_id, shop, location, stage, carrier, tracking_number, lines
               FROM read.fulfillments WHERE order_id = $1",
            vec![("fulfillments", false)],
        ),
        ("UPDATE read.sagas SET step = 'ship' WHERE order_id = $1", vec![("sagas", true), ("sagas", false)]),
    ] {
        let given = Given::new().await;
        given.receive("dev", "a", 10).await;
        let order = given.completed("dev", placed("r-1", &[("a", 1), ("b", 1)])).await;
        given.completed("dev", placed("r-2", &[("a", 1)])).await;
        given.project().await;
        let clean = all(&given).await;
        assert_eq!((clean.differences.len(), clean.orders, clean.parked), (0, 2, 0));
        assert_eq!((clean.upto, clean.position), (given.head().await, given.head().await));
        assert_eq!(clean.rows, 9, "two orders with three SKUs, two fulfillments, two sagas");
        tamper(&given, sql, order).await;
        assert_eq!(told(&all(&given).await), found, "{sql}");
    }
}

#[tokio::test]
async fn each_row_of_a_return_that_was_tampered_with_is_found_by_its_order() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 1), ("b", 1)])).await;
    given.returning(order, returns::Command::Request { lines: None, note_id: None }).await;
    given.project().await;
    assert_eq!(told(&all(&given).await), vec![]);
    for (spoil, mend, found) in [
        ("stage = 'COMPLETED'", "stage = 'REQUESTED'", vec![("returns", true), ("returns", false)]),
        ("number = 7", "number = 1", vec![("returns", true), ("returns", false)]),
    ] {
        tamper(&given, &format!("UPDATE read.returns SET {spoil} WHERE order_id = $1"), order).await;
        assert_eq!(told(&all(&given).await), found, "{spoil}");
        let compared = verify_projections(given.store.clone(), &given.pool.connect_options()).await.unwrap();
        assert_eq!(compared.differences.len(), found.len(), "{spoil}: {:?}", compared.differences);
        tamper(&given, &format!("UPDATE read.returns SET {mend} WHERE order_id = $1"), order).await;
    }
    tamper(&given, "UPDATE read.sagas SET step = 'refund' WHERE order_id = $1 AND return_number = 1", order).await;
    assert_eq!(told(&all(&given).await), [("sagas", true), ("sagas", false)]);
    tamper(&given, "DELETE FROM read.sagas WHERE order_id = $1 AND return_number = 1", order).await;
    assert_eq!(told(&all(&given).await), [("sagas", true)]);
}

#[tokio::test]
async fn only_orders_touched_in_the_range_are_looked_at_and_these_as_a_whole() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 1)])).await;
    let first = given.head().await;
    given.completed("dev", placed("r-2", &[("a", 1)])).await;
    given.project().await;
    tamper(&given, "DELETE FROM read.sagas WHERE order_id = $1", order).await;
    let database = given.pool.connect_options();
    let later = verify_orders(given.store.clone(), &database, first, given.head().await).await.unwrap();
    assert_eq!((later.orders, told(&later)), (1, vec![]));
    let last = verify_orders(given.store.clone(), &database, Position(first.0 - 1), first).await.unwrap();
    assert_eq!((last.orders, last.upto, told(&last)), (1, first, vec![("sagas", true)]));
    let nothing = verify_orders(given.store.clone(), &database, given.head().await, Position(1_000_000)).await.unwrap();
    assert_eq!((nothing.orders, nothing.rows, nothing.upto), (0, 0, given.head().await));
}

#[tokio::test]
async fn parked_orders_are_left_out_and_counted() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    teleport(&given, order).await;
    given.place("dev", placed("r-2", &[("a", 1)])).await;
    given.project().await;
    let compared = all(&given).await;
    assert_eq!((compared.orders, compared.parked, told(&compared)), (1, 1, vec![]));
}

#[tokio::test]
async fn an_audit_page_by_page_beside_a_runner_at_work_finds_nothing_and_ends_at_the_head() {
    let given = Given::new().await;
    given.receive("dev", "a", 10_000).await;
    let mut running = given.run();
    let mut orders = busy(&given, 60).await;
    running.reaches(given.head().await).await;
    let mut audit = OrderAudit::open(given.store.clone(), &given.pool.connect_options()).await.unwrap();
    let (mut after, mut compared, mut pages) = (Position::ZERO, 0, 0);
    for round in 0..40 {
        // While it looks, orders go on; in the last rounds it comes up with the log.
        if round < 30 {
            orders.extend(busy(&given, 3).await);
            for order in &orders[orders.len() - 3..] {
                given.goes_well(*order, 1).await;
            }
        } else {
            running.reaches(given.head().await).await;
        }
        let found = audit.compare(after, given.head().await).await.unwrap();
        assert_eq!(found.differences, vec![], "up to {}", found.upto);
        assert!(found.upto <= found.position && found.upto.0 - after.0 <= PAGE_EVENTS as i64);
        pages += usize::from(found.upto > after);
        (after, compared) = (found.upto, compared + found.orders);
    }
    assert_eq!(after, given.head().await);
    assert!(compared >= 150 && pages > 1, "{compared} orders in {pages} pages");
    audit.close().await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn however_often_it_compares_it_leaves_nothing_behind_on_the_disk() {
    let given = Given::new().await;
    given.completed("dev", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    let mut audit = OrderAudit::open(given.store.clone(), &given.pool.connect_options()).await.unwrap();
    for _ in 0..3 {
        let compared = audit.compare(Position::ZERO, given.head().await).await.unwrap();
        assert_eq!((compared.rows, told(&compared)), (4, vec![]));
    }
    let (tables, bytes): (i64, i64) = sqlx::query_as(
        "SELECT count(*), sum(pg_relation_size(oid))::bigint FROM pg_class WHERE relpersistence = 't' AND relkind = 'r' AND relname <> 'returns'",
    )
    .fetch_one(&given.pool)
    .await
    .unwrap();
    assert_eq!(tables, 4);
    assert_eq!(bytes, 0, "bytes of its tables");
    audit.close().await.unwrap();
}

#[tokio::test]
async fn the_audit_finds_what_was_tampered_with_keeps_it_in_mind_and_forgets_it_once_it_is_mended() {
    let given = Given::new().await;
    given.receive("dev", "a", 10).await;
    let order = given.completed("dev", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    tamper(&given, "UPDATE read.orders SET captured = captured + 1 WHERE order_id = $1", order).await;

    let (short, stop) = (Duration::from_millis(20), CancellationToken::new());
    let pace = AuditPace { share: 1.0, idle: short, between_passes: short };
    let (told, mut verdict) = watch::channel(AuditVerdict::default());
    let (_applied, applied) = watch::channel(given.head().await);
    let database = (*given.pool.connect_options()).clone();
    tokio::spawn(audit_rows(given.store.clone(), database, applied, pace, told, stop.clone()));
    let mut until = async |what: &dyn Fn(&AuditVerdict) -> bool| {
        let waited = tokio::time::timeout(Duration::from_secs(30), verdict.wait_for(|verdict| what(verdict))).await;
        waited.expect("in time").unwrap().clone()
    };
    let found = until(&|verdict| verdict.passes > 0).await;
    assert_eq!(
        (found.differences, found.position),
        (2, given.head().await),
        "the row that is, and the one that should be"
    );
    until(&|verdict| verdict.passes > found.passes + 2 && verdict.differences == 2).await;
    tamper(&given, "UPDATE read.orders SET captured = captured - 1 WHERE order_id = $1", order).await;
    until(&|verdict| verdict.differences == 0).await;
    stop.cancel();
}
