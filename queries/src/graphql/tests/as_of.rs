//! Orders as they were: who may see them, how they are found, what is refused.
use super::{ask, code, data};
use crate::given::{Given, placed, shop, support};
use serde_json::{Value, json};

#[tokio::test]
async fn a_ref_that_did_not_exist_then_is_null() {
    let given = Given::new().await;
    given.receive("dev", "a", 10).await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    let found = data(&given, support(), r#"{ order(ref: "r-1", asOf: {position: "1"}) { id } }"#).await;
    assert_eq!(found, json!({"order": null}));
    let found = data(&given, support(), r#"{ order(ref: "r-1", asOf: {position: "2"}) { id status } }"#).await;
    assert_eq!(found, json!({"order": {"id": order.to_string(), "status": "PLACED"}}));
    let found = data(&given, support(), r#"{ order(ref: "r-9", asOf: {position: "2"}) { id } }"#).await;
    assert_eq!(found, json!({"order": null}));
}

#[tokio::test]
async fn a_ref_is_ambiguous_only_once_two_shops_have_used_it() {
    let given = Given::new().await;
    let first = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.place("other", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    let found = data(&given, support(), r#"{ order(ref: "r-1", asOf: {position: "1"}) { id } }"#).await;
    assert_eq!(found, json!({"order": {"id": first.to_string()}}));
    assert_eq!(
        code(&given, support(), r#"{ order(ref: "r-1", asOf: {position: "2"}) { id } }"#).await,
        "AMBIGUOUS_REF"
    );
    let found = data(&given, support(), r#"{ order(ref: "r-1", shop: "dev", asOf: {position: "2"}) { id } }"#).await;
    assert_eq!(found, json!({"order": {"id": first.to_string()}}));
}

#[tokio::test]
async fn a_shop_sees_its_own_past_alone() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    for query in [
        format!(r#"{{ order(id: "{order}", asOf: {{position: "2"}}) {{ status }} }}"#),
        r#"{ order(ref: "r-1", asOf: {position: "2"}) { status } }"#.to_owned(),
    ] {
        assert!(data(&given, shop("dev"), &query).await["order"].is_object(), "{query}");
        assert_eq!(data(&given, shop("other"), &query).await["order"], Value::Null, "{query}");
    }
}

#[tokio::test]
async fn what_can_not_be_meant_is_refused() {
    let given = Given::new().await;
    given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    for (as_of, expected) in [
        (r#"{position: "2"}"#, "POSITION_NOT_REACHED"),
        (r#"{position: "-1"}"#, "BAD_USER_INPUT"),
        (r#"{position: "x"}"#, "BAD_USER_INPUT"),
        ("{position: 1}", "BAD_USER_INPUT"),
        (r#"{time: "yesterday"}"#, "BAD_USER_INPUT"),
        (r#"{time: "2026-11-24T09:00:00"}"#, "BAD_USER_INPUT"),
        (r#"{position: "1", time: "2026-11-24T09:00:00Z"}"#, "BAD_USER_INPUT"),
        ("{}", "BAD_USER_INPUT"),
    ] {
        let query = format!(r#"{{ order(ref: "r-1", asOf: {as_of}) {{ id }} }}"#);
        assert_eq!(code(&given, support(), &query).await, expected, "{as_of}");
    }
    let answer =
        ask(&given.graphql(), support(), r#"{ order(ref: "r-1", asOf: {position: "9"}) { id } }"#, json!({})).await;
    assert_eq!(
        answer["errors"][0]["extensions"],
        json!({"code": "POSITION_NOT_REACHED", "wanted": "9", "reached": "1"})
    );
}

#[tokio::test]
async fn past_the_rows_it_is_found_by_id_and_a_ref_is_not_said_to_be_unknown() {
    let given = Given::new().await;
    given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    // The rows don't know of it yet.
    let order = given.place("dev", placed("r-2", &[("a", 1)])).await;
    let by_id = format!(r#"{{ order(id: "{order}", asOf: {{position: "2"}}) {{ ref }} }}"#);
    assert_eq!(data(&given, support(), &by_id).await, json!({"order": {"ref": "r-2"}}));
    let by_ref = r#"{ order(ref: "r-2", asOf: {position: "2"}) { id } }"#;
    assert_eq!(code(&given, support(), by_ref).await, "POSITION_NOT_REACHED");
    given.project().await;
    assert_eq!(data(&given, support(), by_ref).await, json!({"order": {"id": order.to_string()}}));
}

#[tokio::test]
async fn a_request_can_not_ask_for_histories_without_end() {
    let given = Given::new().await;
    let fields: String =
        (0..250).map(|n| format!(r#"o{n}: order(ref: "r-1", asOf: {{position: "0"}}) {{ id }} "#)).collect();
    assert_eq!(code(&given, support(), &format!("{{ {fields} }}")).await, "BAD_USER_INPUT");
}
