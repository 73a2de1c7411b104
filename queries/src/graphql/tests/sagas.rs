//! Sagas as whoever watches over them asks for them.
use super::{ask, code, data};
use crate::{
    given::{Given, placed, shop, support},
    projections::past::Past,
};
use chrono::{TimeDelta, Utc};
use domain::{location::LocationMode, saga::Reply};
use eventstore::EventStore;
use serde_json::{Value, json};
use sqlx::Executor;

async fn refs(given: &Given, filter: &str) -> Vec<String> {
    let query = format!("{{ sagas(where: {{{filter}}}) {{ totalCount nodes {{ order {{ ref }} }} }} }}");
    let found = data(given, support(), &query).await["sagas"].clone();
    let nodes = found["nodes"].as_array().unwrap();
    assert_eq!(found["totalCount"], json!(nodes.len()), "{filter}");
    nodes.iter().map(|node| node["order"]["ref"].as_str().unwrap().to_owned()).collect()
}

/// One of each kind; `late` waits for staff longer than they have.
async fn some_of_each() -> Given {
    let mut given = Given::new().await;
    given.mode = LocationMode::Manual;
    for order_ref in ["to-pick", "late"] {
        let order = given.place("dev", placed(order_ref, &[("a", 1)])).await;
        given.goes_well(order, 10).await;
    }
    given.mode = LocationMode::Auto;
    let retrying = given.place("other", placed("retrying", &[("a", 1)])).await;
    given.goes_well(retrying, 1).await;
    given.reply(retrying, Reply::Unanswered { cause: "unavailable".to_owned() }).await;
    let paused = given.place("dev", placed("paused", &[("a", 1)])).await;
    given.goes_well(paused, 1).await;
    given.reply(paused, Reply::Exhausted).await;
    let undoing = given.place("dev", placed("undoing", &[("a", 1)])).await;
    given.goes_well(undoing, 2).await;
    given.cancel(undoing).await;
    given.reply(undoing, Reply::Nothing).await;
    given.completed("dev", placed("done", &[("a", 1)])).await;
    given.project().await;
    let late = "UPDATE read.sagas AS s SET expected_by = now() - interval '1 s' FROM read.orders AS o
                 WHERE o.order_id = s.order_id AND o.ref = 'late'";
    given.pool.execute(late).await.unwrap();
    given
}

#[tokio::test]
async fn sagas_are_found_by_each_filter_and_by_all_at_once() {
    let given = some_of_each().await;
    for (filter, expected) in [
        ("overdue: true", vec!["late"]),
        ("overdue: false", vec!["to-pick", "retrying", "paused", "undoing", "done"]),
        ("ended: true", vec!["done"]),
        ("ended: false, overdue: false", vec!["to-pick", "retrying", "paused", "undoing"]),
        (r#"waitingOn: "warehouse""#, vec!["to-pick", "late"]),
        (r#"waitingOn: "payment""#, vec!["retrying"]),
        (r#"cause: "unavailable""#, vec!["retrying"]),
        (r#"cause: "retries_exhausted", state: PAUSED"#, vec!["paused"]),
        ("direction: COMPENSATE", vec!["undoing"]),
        ("direction: FORWARD", vec!["to-pick", "late", "retrying", "paused"]),
        (r#"shop: "other""#, vec!["retrying"]),
        (
            r#"state: WAITING, step: "ship", direction: FORWARD, waitingOn: "warehouse", overdue: true, ended: false, shop: "dev",
               waitingLongerThanSeconds: 0"#,
            vec!["late"],
        ),
        (r#"overdue: true, shop: "other""#, vec![]),
        (r#"step: "no_such_step""#, vec![]),
    ] {
        assert_eq!(refs(&given, filter).await, expected, "{filter}");
    }
    assert_eq!(
        code(&given, support(), r#"{ sagas(where: {cause: "\u0000"}) { totalCount } }"#).await,
        "BAD_USER_INPUT"
    );
}

#[tokio::test]
async fn a_shop_that_asks_for_the_sagas_of_another_finds_none() {
    let given = some_of_each().await;
    let query = r#"{ sagas(where: {shop: "dev"}) { totalCount } }"#;
    assert_eq!(data(&given, shop("other"), query).await["sagas"]["totalCount"], json!(0));
    assert_eq!(data(&given, shop("dev"), query).await["sagas"]["totalCount"], json!(5));
}

#[tokio::test]
async fn a_saga_says_until_when_it_waits_as_expected_and_whether_that_is_over() {
    let given = some_of_each().await;
    let query = "{ sagas { nodes { order { ref } expectedBy overdue direction } } }";
    let found = data(&given, support(), query).await;
    let of = |order_ref: &str| {
        let nodes = found["sagas"]["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["order"]["ref"] == order_ref).unwrap().clone()
    };
    assert_eq!((&of("late")["overdue"], &of("to-pick")["overdue"]), (&json!(true), &json!(false)));
    assert!(of("to-pick")["expectedBy"].is_string());
    let incident = of("paused");
    assert_eq!((&incident["expectedBy"], &incident["overdue"]), (&Value::Null, &json!(false)));
    assert_eq!((&incident["direction"], &of("undoing")["direction"]), (&json!("FORWARD"), &json!("COMPENSATE")));
    let done = of("done");
    assert_eq!(
        (&done["expectedBy"], &done["overdue"], &done["direction"]),
        (&Value::Null, &json!(false), &Value::Null)
    );
}

#[tokio::test]
async fn as_of_then_it_is_overdue_if_it_was_then() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.goes_well(order, 1).await;
    let events = given.store.read_streams(order.0).await.unwrap();
    let since = events.last().unwrap().recorded_at;
    let overdue = |seconds| {
        let at = since + TimeDelta::seconds(seconds);
        Past::of(order.0, events.clone(), at).unwrap().unwrap().saga.overdue
    };
    assert_eq!([overdue(0), overdue(30), overdue(31)], [false, false, true], "30 s for the payment");
}

#[tokio::test]
async fn a_time_to_come_is_now_for_what_is_overdue_too() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    let position = given.project().await;
    let query = "query($id: ID!, $asOf: AsOf) { order(id: $id, asOf: $asOf) { saga { overdue waitingOn } } }";
    for as_of in
        [json!({"time": (Utc::now() + TimeDelta::hours(9)).to_rfc3339()}), json!({"position": position.to_string()})]
    {
        let answer = ask(&given.graphql(), support(), query, json!({"id": order.to_string(), "asOf": as_of})).await;
        assert_eq!(answer["data"]["order"]["saga"], json!({"overdue": false, "waitingOn": "inventory"}), "{answer}");
    }
}
