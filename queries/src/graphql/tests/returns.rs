//! Returns as a shop, the warehouse and whoever watches over their sagas ask for them.
use super::{ask, data};
use crate::given::{Given, placed, shop, support};
use domain::{
    OrderId,
    returns::{Command, InspectedLine, ReturnLine},
    saga::{Reply, Which},
};
use serde_json::{Value, json};

async fn requested(given: &Given, of: &str, order_ref: &str) -> OrderId {
    let order = given.completed(of, placed(order_ref, &[("a", 2)])).await;
    let lines = Some(vec![ReturnLine { line_id: "1".into(), quantity: 1 }]);
    given.returning(order, Command::Request { lines, note_id: None }).await;
    order
}

async fn in_transit(given: &Given, of: &str, order_ref: &str) -> OrderId {
    let order = requested(given, of, order_ref).await;
    given.returning(order, Command::Approve { number: 1, note_id: None }).await;
    assert!(given.return_goes_on(order, 1).await);
    order
}

/// Its refund is refused, and needs a person.
async fn stopped(given: &Given, of: &str, order_ref: &str) -> OrderId {
    let order = in_transit(given, of, order_ref).await;
    given.returning(order, Command::Receive { number: 1, lines: None }).await;
    given.returning(order, Command::Inspect { number: 1, lines: None }).await;
    given.reply_to(order, Which::Return(1), Reply::Refused { code: "closed_account".to_owned() }).await;
    order
}

async fn some() -> (Given, [OrderId; 3]) {
    let given = Given::new().await;
    given.completed("dev", placed("none", &[("a", 1)])).await;
    let asked = requested(&given, "dev", "asked").await;
    let sent = in_transit(&given, "other", "sent").await;
    let stopped = stopped(&given, "dev", "stopped").await;
    given.project().await;
    (given, [asked, sent, stopped])
}

fn refs(list: &Value) -> Vec<&str> {
    list["nodes"].as_array().unwrap().iter().map(|node| node["order"]["ref"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_warehouse_finds_what_is_to_be_received_and_inspected_by_stage_and_place() {
    let (given, _) = some().await;
    for (filter, expected) in [
        ("", vec!["asked", "sent", "stopped"]),
        ("stage: IN_TRANSIT", vec!["sent"]),
        ("stage: INSPECTED", vec!["stopped"]),
        ("stage: RECEIVED", vec![]),
        (r#"stage: REQUESTED, location: "main", orderRef: "asked", shop: "dev""#, vec!["asked"]),
        (r#"location: "elsewhere""#, vec![]),
        (r#"orderRef: "none""#, vec![]),
        (r#"shop: "other""#, vec!["sent"]),
    ] {
        let query = format!("{{ returns(where: {{{filter}}}) {{ totalCount nodes {{ order {{ ref }} }} }} }}");
        let found = data(&given, support(), &query).await["returns"].clone();
        assert_eq!(refs(&found), expected, "{filter}");
        assert_eq!(found["totalCount"], json!(expected.len()), "{filter}");
    }
    let page = "query($after: String) { returns(first: 2, after: $after) { nodes { order { ref } } pageInfo { hasNextPage endCursor } } }";
    let first = ask(&given.graphql(), support(), page, json!({})).await["data"]["returns"].clone();
    assert_eq!((refs(&first), &first["pageInfo"]["hasNextPage"]), (vec!["asked", "sent"], &json!(true)));
    let after = json!({"after": first["pageInfo"]["endCursor"]});
    let second = ask(&given.graphql(), support(), page, after).await["data"]["returns"].clone();
    assert_eq!((refs(&second), &second["pageInfo"]["hasNextPage"]), (vec!["stopped"], &json!(false)));
}

#[tokio::test]
async fn a_return_tells_its_lines_its_label_what_is_given_back_and_its_saga() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("r-1", &[("a", 3), ("b", 1)])).await;
    given.returning(order, Command::Request { lines: None, note_id: None }).await;
    given.returning(order, Command::Approve { number: 1, note_id: None }).await;
    assert!(given.return_goes_on(order, 1).await);
    let came = vec![ReturnLine { line_id: "1".into(), quantity: 3 }];
    given.returning(order, Command::Receive { number: 1, lines: Some(came) }).await;
    let found = InspectedLine { line_id: "1".into(), restock: 1, write_off: 1, refuse: 1 };
    given.returning(order, Command::Inspect { number: 1, lines: Some(vec![found]) }).await;
    given.project().await;
    let inspected = given.head().await;
    while given.return_goes_on(order, 1).await {}
    given.project().await;

    let query = "query($id: ID!, $asOf: AsOf) { order(id: $id, asOf: $asOf) { payment { captured refunded chargeStatus } returns {
        id number stage location refund label { carrier trackingNumber }
        lines { lineId sku quantity received restocked writtenOff refused }
        saga { id saga state step waitingOn remainingSteps return { id order { id } } } } } }";
    let asked = async |as_of: Value| {
        let variables = json!({"id": order.to_string(), "asOf": as_of});
        let answer = ask(&given.graphql(), support(), query, variables).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        answer["data"]["order"].clone()
    };
    let id = order.returned(1).to_string();
    let expected = |stage: &str, refunded: &str, state: &str, step: &str, waiting_on: Value, rest: Value| {
        json!({
            "payment": {"captured": "6.90", "refunded": refunded, "chargeStatus": if refunded == "0.00" { "FULL" } else { "PARTIAL" }},
            "returns": [{"id": id, "number": 1, "stage": stage, "location": "main", "refund": "1.00",
                "label": {"carrier": "Parcel Post", "trackingNumber": "PP123"},
                "lines": [
                    {"lineId": "1", "sku": "a", "quantity": 3, "received": 3, "restocked": 1, "writtenOff": 1, "refused": 1},
                    {"lineId": "2", "sku": "b", "quantity": 1, "received": 0, "restocked": 0, "writtenOff": 0, "refused": 0},
                ],
                "saga": {"id": id, "saga": "return", "state": state, "step": step, "waitingOn": waiting_on, "remainingSteps": rest,
                    "return": {"id": id, "order": {"id": order.to_string()}}}}]})
    };
    let then = json!({"position": inspected.to_string()});
    let (on, rest) = (json!("payment"), json!(["refund", "put_away"]));
    assert_eq!(asked(then).await, expected("INSPECTED", "0.00", "RUNNING", "refund", on, rest));
    assert_eq!(
        asked(Value::Null).await,
        expected("COMPLETED", "1.00", "COMPLETED", "put_away", Value::Null, json!([]))
    );
    let before = asked(json!({"position": "1"})).await;
    assert_eq!(before["returns"], json!([]));
}

#[tokio::test]
async fn sagas_of_returns_are_listed_beside_the_others_and_by_themselves() {
    let (given, [asked, sent, stopped]) = some().await;
    let ids = async |filter: &str| {
        let query =
            format!("{{ sagas(where: {{{filter}}}) {{ totalCount nodes {{ id saga order {{ saga {{ id }} }} }} }} }}");
        let found = data(&given, support(), &query).await["sagas"].clone();
        let nodes = found["nodes"].as_array().unwrap().clone();
        assert_eq!(found["totalCount"], json!(nodes.len()), "{filter}");
        for node in &nodes {
            assert!(
                node["order"]["saga"]["id"].as_str().unwrap().starts_with("sag_"),
                "an order's is its fulfillment: {node}"
            );
        }
        nodes.iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let of_returns = [asked, sent, stopped].map(|order| order.returned(1).to_string());
    assert_eq!(ids(r#"saga: "return""#).await, of_returns);
    assert_eq!(ids("ended: false").await, of_returns, "their orders are complete");
    assert_eq!(ids(r#"waitingOn: "support""#).await, of_returns[..1]);
    assert_eq!(ids(r#"waitingOn: "warehouse", step: "receive""#).await, of_returns[1..2]);
    assert_eq!(ids(r#"saga: "fulfillment""#).await.len(), 4);
    assert_eq!(ids("").await.len(), 7);
    assert_eq!(ids(r#"saga: "no_such_saga""#).await, [""; 0]);

    // One after the other, a return beside its order's fulfillment and none twice.
    let page =
        "query($after: String) { sagas(first: 1, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }";
    let (mut seen, mut after) = (vec![], Value::Null);
    loop {
        let found = ask(&given.graphql(), support(), page, json!({"after": after})).await["data"]["sagas"].clone();
        seen.push(found["nodes"][0]["id"].as_str().unwrap().to_owned());
        if found["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = found["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen, ids("").await);
    assert_eq!(seen[1..3], [asked.saga().to_string(), asked.returned(1).to_string()]);
}

#[tokio::test]
async fn a_refund_that_is_refused_is_an_incident_with_its_return_in_it() {
    let (given, [_, _, stopped]) = some().await;
    let query = "{ incidents { cause step direction count sagas { nodes { id return { stage refund } } } } }";
    let expected = json!({"incidents": [{"cause": "closed_account", "step": "refund", "direction": "FORWARD", "count": 1,
        "sagas": {"nodes": [{"id": stopped.returned(1).to_string(), "return": {"stage": "INSPECTED", "refund": "0.50"}}]}}]});
    assert_eq!(data(&given, support(), query).await, expected);
}

#[tokio::test]
async fn an_id_of_a_return_is_the_return_and_leads_to_its_saga() {
    let (given, [asked, ..]) = some().await;
    let id = asked.returned(1);
    let query = format!(
        r#"{{ node(id: "{id}") {{ __typename id ... on Return {{ number saga {{ step order {{ ref }} }} }} }} }}"#
    );
    let expected = json!({"node": {"__typename": "Return", "id": id.to_string(), "number": 1,
        "saga": {"step": "approve", "order": {"ref": "asked"}}}});
    assert_eq!(data(&given, support(), &query).await, expected);
    let none = format!(r#"{{ node(id: "{}") {{ id }} }}"#, asked.returned(2));
    assert_eq!(data(&given, support(), &none).await, json!({"node": null}));
}

#[tokio::test]
async fn for_a_shop_returns_of_others_do_not_exist() {
    let (given, [asked, sent, _]) = some().await;
    let query = format!(
        r#"{{ returns {{ totalCount }} theirs: returns(where: {{shop: "dev"}}) {{ totalCount }} sagas(where: {{saga: "return"}}) {{ totalCount }}
            node(id: "{}") {{ id }} mine: node(id: "{}") {{ id }} }}"#,
        asked.returned(1),
        sent.returned(1)
    );
    assert_eq!(
        data(&given, shop("other"), &query).await,
        json!({"returns": {"totalCount": 1}, "theirs": {"totalCount": 0}, "sagas": {"totalCount": 1}, "node": null,
            "mine": {"id": sent.returned(1).to_string()}})
    );
}
