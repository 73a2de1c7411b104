//! What the past looks like is what the read model showed then, at every position of a run.
use crate::{
    given::{Given, free_of_charge, out_of_stock, placed, support},
    graphql::{GraphQl, Request},
    projections::{builder::Builder, connection::pool},
};
use async_graphql::Variables;
use domain::{
    OrderId,
    location::LocationMode,
    returns::{Command, InspectedLine, ReturnLine},
    saga::{Reply, Which},
};
use eventstore::{EventStore, Position};
use serde_json::{Value, json};

/// All that can be asked of an order.
const EVERYTHING: &str = "query($id: ID!, $asOf: AsOf) { order(id: $id, asOf: $asOf) {
    id ref shop status statusReason placedAt receivedAt updatedAt customerRef customerErasedAt currency total version position fulfillmentStatus
    lines { id sku quantity lineTotal reserved shipped cancelled } charges { kind amount lineId }
    payment { authorizeStatus chargeStatus authorized captured refunded }
    fulfillments { id order { id status } location stage carrier trackingNumber lines { lineId sku quantity picked packed shipped } }
    saga { id order { id status } state step waitingOn waitingSince expectedBy overdue remainingSteps attempt direction cause }
    returns { id number order { id status } stage location lines { lineId sku quantity received restocked writtenOff refused }
        label { carrier trackingNumber } refund
        saga { id saga state step waitingOn waitingSince expectedBy overdue remainingSteps attempt direction cause order { id } return { id } } }
    timeline(first: 200) { totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        edges { cursor node { position at type summary actor actorKind orderId } } }
    last: timeline(last: 2) { totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } nodes { position } } } }";

/// The whole answer, and the position that it reflects.
async fn ask(graphql: &GraphQl, order: OrderId, as_of: Value) -> (Value, Position) {
    let variables = Variables::from_json(json!({"id": order.to_string(), "asOf": as_of}));
    let (response, position) = graphql.execute(Request::new(EVERYTHING).variables(variables), support()).await;
    let answer = serde_json::to_value(response).unwrap();
    assert!(answer.get("errors").is_none(), "{answer}");
    (answer["data"].clone(), position.unwrap())
}

/// Of two pieces of line 1 and one of line 2.
async fn a_return_of_each_fate(given: &Given, order: OrderId) {
    let some = |line: &str, quantity| Some(vec![ReturnLine { line_id: line.into(), quantity }]);
    given.returning(order, Command::Request { lines: some("1", 2), note_id: None }).await;
    given.returning(order, Command::Request { lines: some("2", 1), note_id: None }).await;
    given.returning(order, Command::Approve { number: 1, note_id: None }).await;
    given.returning(order, Command::Approve { number: 2, note_id: None }).await;
    given.return_goes_on(order, 2).await;
    given.reply_to(order, Which::Return(1), Reply::Unanswered { cause: "unavailable".to_owned() }).await;
    given.return_goes_on(order, 1).await;
    given.returning(order, Command::Cancel { number: 2, note_id: None }).await;
    while given.return_goes_on(order, 2).await {}
    given.returning(order, Command::Receive { number: 1, lines: None }).await;
    let found = InspectedLine { line_id: "1".into(), restock: 1, write_off: 1, refuse: 0 };
    given.returning(order, Command::Inspect { number: 1, lines: Some(vec![found]) }).await;
    given.reply_to(order, Which::Return(1), Reply::Refused { code: "closed_account".to_owned() }).await;
}

/// Orders of every fate, each event an append of its own or among others, as it comes.
async fn a_run(given: &mut Given) -> Vec<OrderId> {
    given.receive("dev", "a", 100).await;
    let completed = given.place("dev", placed("r-1", &[("a", 2), ("b", 1)])).await;
    let refused = given.place("dev", placed("r-2", &[("a", 3)])).await;
    given.goes_well(completed, 2).await;
    given.reply(refused, out_of_stock("a")).await;
    let waiting = given.place("other", placed("r-1", &[("c", 7)])).await;
    given.goes_well(waiting, 1).await;
    given.reply(waiting, Reply::Unanswered { cause: "unavailable".to_owned() }).await;
    given.goes_well(completed, 10).await;
    given.goes_well(refused, 10).await;
    given.mode = LocationMode::Manual;
    let cancelled = given.place("dev", placed("r-3", &[("d", 1)])).await;
    given.goes_well(cancelled, 2).await;
    given.cancel(cancelled).await;
    given.goes_well(cancelled, 10).await;
    given.mode = LocationMode::Auto;
    let gift = given.completed("dev", free_of_charge("gift")).await;
    a_return_of_each_fate(given, completed).await;
    vec![completed, refused, waiting, cancelled, gift]
}

#[tokio::test]
async fn the_past_is_what_the_read_model_showed_at_every_position_of_a_run() {
    let mut given = Given::new().await;
    let orders = a_run(&mut given).await;
    let head = given.head().await;
    let graphql = given.graphql();
    let builder_pool = pool(&given.pool.connect_options(), "read");
    let mut builder = Builder::take_over(given.store.clone(), builder_pool.clone()).await.unwrap();
    let mut shown = Vec::new();
    for position in 1..=head.0 {
        let event = given.store.read_log(Position(position - 1), 1).await.unwrap();
        builder.apply(event).await.unwrap();
        for order in &orders {
            let (answer, reflected) = ask(&graphql, *order, Value::Null).await;
            assert_eq!(reflected, Position(position), "the present is that position");
            shown.push((position, *order, answer));
        }
    }
    builder_pool.close().await;
    let (mut there, mut not_yet) = (0, 0);
    for (position, order, answer) in &shown {
        let (then, reflected) = ask(&graphql, *order, json!({"position": position.to_string()})).await;
        assert_eq!(then, *answer, "{order} as of {position}");
        assert_eq!(reflected, Position(*position));
        *if then["order"].is_null() { &mut not_yet } else { &mut there } += 1;
    }
    assert!(there > 50 && not_yet > 20, "{there} and {not_yet} answers were compared");
    let (nothing, reflected) = ask(&graphql, orders[0], json!({"position": "0"})).await;
    assert_eq!((nothing, reflected), (json!({"order": null}), Position::ZERO));
}

#[tokio::test]
async fn by_time_it_is_the_last_event_recorded_by_then() {
    let mut given = Given::new().await;
    let orders = a_run(&mut given).await;
    given.project().await;
    let graphql = given.graphql();
    for event in given.store.read_log(Position::ZERO, 1_000).await.unwrap() {
        let last = given.store.position_at(event.recorded_at).await.unwrap();
        let (by_time, reflected) = ask(&graphql, orders[0], json!({"time": event.recorded_at.to_rfc3339()})).await;
        assert_eq!(reflected, last);
        let (by_position, _) = ask(&graphql, orders[0], json!({"position": last.to_string()})).await;
        assert_eq!(by_time, by_position);
    }
    let (now, reflected) = ask(&graphql, orders[0], json!({"time": "2999-01-01T00:00:00+02:00"})).await;
    assert_eq!(reflected, given.head().await, "a time to come is now");
    assert_eq!(now, ask(&graphql, orders[0], Value::Null).await.0);
    let (before, reflected) = ask(&graphql, orders[0], json!({"time": "1999-01-01T00:00:00Z"})).await;
    assert_eq!((before, reflected), (json!({"order": null}), Position::ZERO));
}
