//! No index that isn't read: each costs every write.
use super::ask;
use crate::{
    given::{Given, support},
    graphql::GraphQl,
};
use eventstore::testing::unread_indexes;
use serde_json::json;
use sqlx::{Executor, postgres::PgPoolOptions};

/// What clients ask for: every filter and every order that a list has.
const ASKED: [&str; 18] = [
    "{ orders(first: 5) { nodes { ref saga { step } fulfillments { stage } } } }",
    "{ orders(first: 5, orderBy: PLACED_AT_ASC) { nodes { ref } } }",
    "{ orders(first: 5, orderBy: UPDATED_AT_DESC) { nodes { ref } } }",
    r#"{ orders(first: 5, where: {shop: "shop-7"}) { nodes { ref } } }"#,
    "{ orders(first: 5, where: {status: ON_HOLD}) { nodes { ref } } }",
    r#"{ orders(first: 5, where: {customerRef: "c-77"}) { nodes { ref } } }"#,
    r#"{ orders(first: 5, where: {sku: "sku-7"}) { nodes { ref } } }"#,
    r#"{ order(ref: "r-7") { ref } }"#,
    "{ fulfillments(first: 5, where: {stage: TO_PICK}) { nodes { stage } } }",
    "{ sagas(first: 5, where: {state: PAUSED}) { nodes { step } } }",
    r#"{ sagas(first: 5, where: {step: "ship"}) { nodes { step } } }"#,
    "{ sagas(first: 5, where: {waitingLongerThanSeconds: 5}) { nodes { step } } }",
    "{ sagas(first: 5, where: {overdue: true}) { totalCount } }",
    r#"{ sagas(first: 5, where: {saga: "return"}) { nodes { step } } }"#,
    "{ returns(first: 5, where: {stage: IN_TRANSIT}) { nodes { number } } }",
    "{ incidents { cause sagas(first: 5) { nodes { step } } } }",
    r#"{ stock(first: 5, sku: "sku-7") { nodes { sku } } }"#,
    "{ stock(first: 5) { nodes { sku } } }",
];

/// Enough rows that PostgreSQL prefers an index by itself, and few of what is looked for.
const ROWS: &str = "
    INSERT INTO read.orders (order_id, placed_at, received_at, shop, ref, customer_ref, currency, digits, total, lines, charges, status,
                             fulfillment_status, authorized, captured, refunded, progress, updated_at, version, position)
    SELECT lpad(to_hex(n), 32, '0')::uuid, now() + n * interval '1 s', now(), 'shop-' || n % 100, 'r-' || n, 'c-' || n % 5000, 'USD', 2, 100,
           '[]', '[]', CASE WHEN n % 1000 = 0 THEN 'ON_HOLD' ELSE 'COMPLETED' END, 'FULFILLED', 0, 0, 0, '[]', now() - n * interval '1 s', 1, n
      FROM generate_series(1, 20000) AS n;
    INSERT INTO read.order_skus SELECT 'sku-' || n % 5000, lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, 20000) AS n;
    INSERT INTO read.fulfillments (fulfillment_id, order_id, shop, location, stage, lines)
    SELECT lpad(to_hex(n + 100000), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 'dev', 'main',
           CASE WHEN n % 5000 = 0 THEN 'TO_PICK' ELSE 'SHIPPED' END, '[]'
      FROM generate_series(1, 20000) AS n;
    INSERT INTO read.sagas (saga_id, order_id, shop, state, step, attempt, waiting_since, remaining_steps)
    SELECT lpad(to_hex(n + 200000), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 'dev',
           CASE WHEN n % 5000 = 0 THEN 'PAUSED' ELSE 'COMPLETED' END, CASE WHEN n % 4000 = 0 THEN 'ship' ELSE 'complete' END, 1,
           CASE WHEN n % 5000 = 0 THEN now() - interval '1 h' END, '{}'
      FROM generate_series(1, 20000) AS n;
    INSERT INTO read.sagas (saga_id, order_id, return_number, shop, state, step, attempt, remaining_steps)
    SELECT lpad(to_hex(n + 200000), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 1, 'dev', 'COMPLETED', 'put_away', 1, '{}'
      FROM generate_series(10001, 10100) AS n;
    INSERT INTO read.orders (order_id, placed_at, received_at, shop, ref, customer_ref, currency, digits, total, lines, charges, status,
                             fulfillment_status, authorized, captured, refunded, progress, updated_at, version, position, in_motion)
    SELECT lpad(to_hex(n), 32, '0')::uuid, now() + n * interval '1 s', now(), 'shop-' || n % 100, 'r-' || n, 'c-' || n % 5000, 'USD', 2, 100,
           '[]', '[]', 'ALLOCATED', 'UNFULFILLED', 0, 0, 0, '[]', now() - n * interval '1 s', 1, n, true
      FROM generate_series(20001, 25000) AS n;
    INSERT INTO read.sagas (saga_id, order_id, shop, state, step, attempt, waiting_since, remaining_steps)
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 'dev', 'RUNNING', 'authorize_payment', 1, now(), '{}'
      FROM generate_series(20001, 25000) AS n;
    INSERT INTO read.returns (order_id, number, shop, location, stage, digits, lines)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 1, 'dev', 'main', CASE WHEN n % 4000 = 0 THEN 'IN_TRANSIT' ELSE 'COMPLETED' END, 2, '[]'
      FROM generate_series(1, 20000) AS n;
    INSERT INTO read.stock SELECT 'shop-' || n % 10, 'sku-' || n, 'main', 5, 0 FROM generate_series(1, 20000) AS n;
    ANALYZE read.orders, read.order_skus, read.fulfillments, read.sagas, read.returns, read.stock;
    SELECT pg_stat_reset();";

#[tokio::test]
async fn each_index_of_the_read_model_is_read_by_what_clients_ask() {
    let given = Given::new().await;
    given.pool.execute(ROWS).await.unwrap();
    let options = given.pool.connect_options();
    let pool = PgPoolOptions::new().max_connections(2).connect_with((*options).clone()).await.unwrap();
    let graphql = GraphQl::new(pool.clone(), given.store.clone());
    for query in ASKED {
        let answer = ask(&graphql, support(), query, json!({})).await;
        assert_eq!(answer.get("errors"), None, "{query}");
    }
    pool.close().await;
    assert_eq!(unread_indexes(&given.pool, &["read"]).await, [""; 0], "read by none of what clients ask");
}
