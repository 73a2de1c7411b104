//! Incidents as whoever is called at night asks for them.
use super::{ask, data};
use crate::given::{Given, placed, shop, support};
use domain::{OrderId, saga::Reply};
use serde_json::{Value, json};

/// Stops at authorizing, without an answer.
async fn exhausted(given: &Given, shop: &str, order_ref: &str) -> OrderId {
    let order = given.place(shop, placed(order_ref, &[("a", 1)])).await;
    given.goes_well(order, 1).await;
    given.reply(order, Reply::Exhausted).await;
    order
}

/// Stops at giving the label back, by the carrier's code.
async fn undo_refused(given: &Given, order_ref: &str, code: &str) -> OrderId {
    let order = given.place("dev", placed(order_ref, &[("a", 1)])).await;
    given.goes_well(order, 2).await;
    given.cancel(order).await;
    given.reply(order, Reply::Nothing).await;
    given.reply(order, Reply::Refused { code: code.to_owned() }).await;
    order
}

const GROUPS: &str = "{ incidents { cause step direction count } }";

#[tokio::test]
async fn incidents_are_grouped_by_step_direction_and_cause_the_largest_first() {
    let given = Given::new().await;
    undo_refused(&given, "u-1", "label_in_use").await;
    for n in 0..3 {
        exhausted(&given, "dev", &format!("r-{n}")).await;
    }
    exhausted(&given, "other", "theirs").await;
    given.completed("dev", placed("fine", &[("a", 1)])).await;
    given.project().await;
    let group = |cause: &str, step: &str, direction: &str, count: i64| json!({"cause": cause, "step": step, "direction": direction, "count": count});
    let payment = |count| group("retries_exhausted", "authorize_payment", "FORWARD", count);
    let label = group("label_in_use", "ship", "COMPENSATE", 1);
    assert_eq!(data(&given, support(), GROUPS).await["incidents"], json!([payment(4), label]));
    assert_eq!(data(&given, shop("other"), GROUPS).await["incidents"], json!([payment(1)]), "a shop sees its own");
    let query = r#"{ incidents(shop: "dev") { count } }"#;
    assert_eq!(data(&given, support(), query).await["incidents"], json!([{"count": 3}, {"count": 1}]));
    assert_eq!(data(&given, shop("other"), query).await["incidents"], json!([]));
}

#[tokio::test]
async fn the_sagas_of_a_group_are_read_page_by_page_and_are_no_others() {
    let given = Given::new().await;
    let mut expected = Vec::new();
    for n in 0..5 {
        expected.push(exhausted(&given, "dev", &format!("r-{n}")).await.saga().to_string());
    }
    undo_refused(&given, "u-1", "label_in_use").await;
    given.project().await;
    expected.sort();
    let query = "query($after: String) { incidents { oldestSince sagas(first: 2, after: $after) { totalCount nodes { id waitingSince }
        pageInfo { hasNextPage endCursor } } } }";
    let (mut read, mut after, mut oldest) = (Vec::new(), Value::Null, Vec::new());
    loop {
        let answer = ask(&given.graphql(), support(), query, json!({"after": after})).await;
        let group = &answer["data"]["incidents"][0];
        assert_eq!(group["sagas"]["totalCount"], json!(5), "{answer}");
        for saga in group["sagas"]["nodes"].as_array().unwrap() {
            read.push(saga["id"].as_str().unwrap().to_owned());
            oldest.push(saga["waitingSince"].as_str().unwrap().to_owned());
        }
        after = group["sagas"]["pageInfo"]["endCursor"].clone();
        if group["sagas"]["pageInfo"]["hasNextPage"] == json!(false) {
            assert_eq!(group["oldestSince"].as_str(), oldest.iter().min().map(String::as_str));
            break;
        }
    }
    read.sort();
    assert_eq!(read, expected);
}

#[tokio::test]
async fn a_retry_takes_a_saga_out_of_its_group() {
    let given = Given::new().await;
    let order = exhausted(&given, "dev", "r-1").await;
    given.project().await;
    assert_eq!(data(&given, support(), "{ incidents { count } }").await["incidents"], json!([{"count": 1}]));
    let retry = domain::fulfillment::RetryRequested { note_id: None };
    given.append("dev", order.0, eventstore::ActorKind::Operator, vec![retry.into()]).await;
    given.project().await;
    assert_eq!(data(&given, support(), "{ incidents { count } }").await["incidents"], json!([]));
}
