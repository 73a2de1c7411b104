//! What the rows say of returns, and that an order without any has none.
use super::assert_equal_to_a_replay;
use crate::{
    given::{Given, placed},
    projections::{
        batch::{Decoded, fold},
        history::History,
    },
};
use domain::{
    OrderId,
    returns::{Command, InspectedLine, ReturnLine},
    saga::{Reply, Which},
};
use eventstore::{EventStore, Position};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The rows of an order's returns, each with where its saga stands.
async fn rows(given: &Given, order: OrderId) -> Vec<Value> {
    let sql = "SELECT json_build_array(r.number, r.stage, r.carrier, r.refund, r.lines, s.state, s.step, s.waiting_on)
        FROM read.returns AS r JOIN read.sagas AS s ON s.saga_id = r.order_id AND s.return_number = r.number
        WHERE r.order_id = $1 ORDER BY r.number";
    sqlx::query_scalar(sql).bind(order.0).fetch_all(&given.pool).await.unwrap()
}

#[tokio::test]
async fn a_return_has_a_row_and_its_saga_one_of_its_own_and_both_follow_it_to_its_end() {
    let given = Given::new().await;
    given.receive("dev", "a", 10).await;
    let order = given.completed("dev", placed("r-1", &[("a", 3), ("b", 1)])).await;
    let lines = vec![ReturnLine { line_id: "1".into(), quantity: 3 }];
    let line = |received, restocked, written_off, refused| {
        json!([{"line_id": "1", "sku": "a", "quantity": 3, "received": received, "restocked": restocked,
            "written_off": written_off, "refused": refused}])
    };
    let none = Value::Null;
    let expect = async |expected: Value| {
        given.project().await;
        assert_eq!(rows(&given, order).await, [expected]);
    };
    given.returning(order, Command::Request { lines: Some(lines), note_id: None }).await;
    expect(json!([1, "REQUESTED", none, none, line(0, 0, 0, 0), "WAITING", "approve", "support"])).await;
    given.returning(order, Command::Approve { number: 1, note_id: None }).await;
    expect(json!([1, "APPROVED", none, none, line(0, 0, 0, 0), "RUNNING", "buy_label", "shipping"])).await;
    assert!(given.return_goes_on(order, 1).await);
    expect(json!([1, "IN_TRANSIT", "Parcel Post", none, line(0, 0, 0, 0), "WAITING", "receive", "warehouse"])).await;
    given.returning(order, Command::Receive { number: 1, lines: None }).await;
    expect(json!([1, "RECEIVED", "Parcel Post", none, line(3, 0, 0, 0), "WAITING", "inspect", "warehouse"])).await;
    let found = InspectedLine { line_id: "1".into(), restock: 1, write_off: 1, refuse: 1 };
    given.returning(order, Command::Inspect { number: 1, lines: Some(vec![found]) }).await;
    expect(json!([1, "INSPECTED", "Parcel Post", 100, line(3, 1, 1, 1), "RUNNING", "refund", "payment"])).await;
    while given.return_goes_on(order, 1).await {}
    expect(json!([1, "COMPLETED", "Parcel Post", 100, line(3, 1, 1, 1), "COMPLETED", "put_away", none])).await;
    let refunded: i64 = sqlx::query_scalar("SELECT refunded FROM read.orders").fetch_one(&given.pool).await.unwrap();
    assert_eq!(refunded, 100, "two pieces of 0.50");
    assert_equal_to_a_replay(&given).await;
}

#[tokio::test]
async fn a_refund_that_an_operator_passed_over_gives_nothing_back() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 1)])).await;
    given.returning(order, Command::Request { lines: None, note_id: None }).await;
    given.returning(order, Command::Approve { number: 1, note_id: None }).await;
    assert!(given.return_goes_on(order, 1).await);
    given.returning(order, Command::Receive { number: 1, lines: None }).await;
    given.returning(order, Command::Inspect { number: 1, lines: None }).await;
    given.reply_to(order, Which::Return(1), Reply::Refused { code: "closed_account".to_owned() }).await;
    given.project().await;
    let due = rows(&given, order).await.remove(0);
    assert_eq!(
        (&due[1], &due[3], &due[5], &due[7]),
        (&json!("INSPECTED"), &json!(50), &json!("PAUSED"), &json!("operator"))
    );
    given.operate(order, Which::Return(1), domain::saga::operator::Command::Skip).await;
    while given.return_goes_on(order, 1).await {}
    given.project().await;
    let passed_over = rows(&given, order).await.remove(0);
    assert_eq!((&passed_over[1], &passed_over[3]), (&json!("COMPLETED"), &json!(0)));
    assert_equal_to_a_replay(&given).await;
}

#[tokio::test]
async fn an_order_without_returns_makes_no_row_of_any_and_so_no_statement() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 3)])).await;
    let recorded = given.store.read_log(Position::ZERO, 100).await.unwrap();
    let events: Vec<_> = recorded.into_iter().map(|recorded| Decoded::decode(recorded).unwrap()).collect();
    let (rows, _) = fold(&events, &mut HashMap::from([(order.0, History::new(order.0))])).unwrap();
    assert_eq!((rows.new_sagas.len(), rows.sagas.len()), (1, 0));
    assert_eq!((rows.new_returns.len(), rows.returns.len()), (0, 0));
}

#[tokio::test]
async fn returns_that_go_their_way_at_random_have_the_rows_of_a_replay_wherever_a_batch_was_cut() {
    let seed = std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("WAYBILL_TEST_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let given = Given::new().await;
    given.receive("dev", "a", 1_000).await;
    let mut orders = vec![];
    for n in 0..4 {
        orders.push(given.completed("dev", placed(&format!("r-{n}"), &[("a", 3), ("b", 2)])).await);
    }
    let mut running = given.run();
    for _ in 0..120 {
        let order = orders[random.random_range(0..orders.len())];
        let (_, state) = given.state(order).await;
        let number = random.random_range(1..=4);
        let lines = Some(vec![ReturnLine { line_id: "1".into(), quantity: 1 }]);
        let command = match random.random_range(0..6) {
            0 => Command::Request { lines, note_id: None },
            1 => Command::Approve { number, note_id: None },
            2 => Command::Reject { number, note_id: None },
            3 if random.random_bool(0.3) => Command::Cancel { number, note_id: None },
            4 => Command::Receive { number, lines: None },
            _ => Command::Inspect { number, lines: None },
        };
        // What is out of place is refused, as it is of people.
        if state.returning(command.clone()).is_ok_and(|events| !events.is_empty()) {
            given.returning(order, command).await;
        }
        if state.returns.one(number).is_some() {
            given.return_goes_on(order, number).await;
        }
        if random.random_bool(0.05) {
            running.kill().await;
            running = given.run();
        }
    }
    running.reaches(given.head().await).await;
    running.stop().await;
    assert_equal_to_a_replay(&given).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM read.returns").fetch_one(&given.pool).await.unwrap();
    assert!(rows > 0);
}
