//! One order and all that hangs on it.
use super::{ask, code, data};
use crate::given::{Given, PLACED_AT, free_of_charge, out_of_stock, placed, shop, support};
use crate::projections::{ParkedKeys, Verb};
use eventstore::StreamId;
use serde_json::json;

#[tokio::test]
async fn a_completed_order_is_told_in_full() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("cj-1", &[("a", 2), ("b", 1)])).await;
    let head = given.project().await;
    let query = r#"{ order(ref: "cj-1") {
        id ref shop status statusReason placedAt receivedAt customerRef currency total version position fulfillmentStatus
        lines { id sku quantity lineTotal reserved shipped cancelled } charges { kind amount lineId }
        payment { authorizeStatus chargeStatus authorized captured refunded }
        fulfillments { id order { id } location stage carrier trackingNumber lines { lineId sku quantity picked packed shipped } }
        saga { id order { id } state step waitingOn waitingSince remainingSteps attempt cause }
        timeline { totalCount nodes { type actor actorKind orderId } }
    } }"#;
    let hex = order.0.simple();
    let found = data(&given, support(), query).await;
    let events = found["order"]["timeline"]["nodes"].as_array().unwrap().len();
    assert_eq!(found["order"]["timeline"]["totalCount"], json!(events));
    assert_eq!(events, 9, "one entry an event");
    assert_eq!(
        found["order"]["timeline"]["nodes"][0],
        json!({"type": "OrderPlaced", "actor": "shop dev", "actorKind": "shop", "orderId": format!("ord_{hex}")})
    );
    assert_eq!(found["order"]["timeline"]["nodes"][1]["actor"], json!("the fulfillment saga"));
    let mut rest = found["order"].clone();
    rest.as_object_mut().unwrap().remove("timeline");
    assert_eq!(
        rest,
        json!({
            "id": format!("ord_{hex}"), "ref": "cj-1", "shop": "dev", "status": "COMPLETED", "statusReason": null,
            "placedAt": PLACED_AT, "receivedAt": "2024-05-01T00:00:00.250Z", "customerRef": "hh-900", "currency": "USD",
            "total": "6.40", "version": 3, "position": head.to_string(), "fulfillmentStatus": "FULFILLED",
            "lines": [
                {"id": "1", "sku": "a", "quantity": 2, "lineTotal": "1.00", "reserved": 0, "shipped": 2, "cancelled": 0},
                {"id": "2", "sku": "b", "quantity": 1, "lineTotal": "0.50", "reserved": 0, "shipped": 1, "cancelled": 0},
            ],
            "charges": [{"kind": "shipping", "amount": "4.90", "lineId": null}],
            "payment": {
                "authorizeStatus": "FULL", "chargeStatus": "FULL", "authorized": "6.40", "captured": "6.40", "refunded": "0.00",
            },
            "fulfillments": [{
                "id": format!("ful_{hex}"), "order": {"id": format!("ord_{hex}")}, "location": "main", "stage": "SHIPPED",
                "carrier": "Parcel Post", "trackingNumber": "PP123",
                "lines": [
                    {"lineId": "1", "sku": "a", "quantity": 2, "picked": 2, "packed": 2, "shipped": 2},
                    {"lineId": "2", "sku": "b", "quantity": 1, "picked": 1, "packed": 1, "shipped": 1},
                ],
            }],
            "saga": {
                "id": format!("sag_{hex}"), "order": {"id": format!("ord_{hex}")}, "state": "COMPLETED", "step": "complete",
                "waitingOn": null, "waitingSince": null, "remainingSteps": [], "attempt": 1, "cause": null,
            },
        })
    );
}

#[tokio::test]
async fn an_order_of_nothing_has_no_payment() {
    let given = Given::new().await;
    given.completed("dev", free_of_charge("gift")).await;
    given.project().await;
    let found = data(&given, support(), r#"{ order(ref: "gift") { status total payment { captured } } }"#).await;
    assert_eq!(found["order"], json!({"status": "COMPLETED", "total": "0.00", "payment": null}));
}

#[tokio::test]
async fn a_cancelled_order_says_why() {
    let given = Given::new().await;
    let order = given.place("dev", placed("cj-1", &[("1095275", 3)])).await;
    given.reply(order, out_of_stock("1095275")).await;
    given.goes_well(order, 10).await;
    given.project().await;
    let query = r#"{ order(ref: "cj-1") { status statusReason payment { authorizeStatus chargeStatus }
        lines { cancelled } saga { state } timeline { nodes { summary } } } }"#;
    let found = data(&given, shop("dev"), query).await;
    assert_eq!(found["order"]["status"], json!("CANCELLED"));
    assert_eq!(found["order"]["statusReason"], json!("out_of_stock"));
    assert_eq!(found["order"]["payment"], json!({"authorizeStatus": "NONE", "chargeStatus": "NONE"}));
    assert_eq!(found["order"]["lines"], json!([{"cancelled": 3}]));
    assert_eq!(found["order"]["saga"]["state"], json!("COMPENSATED"));
    let told: Vec<_> =
        found["order"]["timeline"]["nodes"].as_array().unwrap().iter().map(|n| n["summary"].clone()).collect();
    assert!(told.contains(&json!("Not enough stock of 1095275 at main: 3 wanted, 1 free")), "{told:?}");
    assert!(told.contains(&json!("The order was cancelled: there was not enough stock")), "{told:?}");
}

#[tokio::test]
async fn everything_with_an_id_is_a_node() {
    let given = Given::new().await;
    let order = given.completed("dev", placed("cj-1", &[("a", 1)])).await;
    given.project().await;
    let (ord, ful, sag) = (order, order.fulfillment(), order.saga());
    let query = format!(
        r#"{{ o: node(id: "{ord}") {{ __typename id }} f: node(id: "{ful}") {{ __typename id }} s: node(id: "{sag}") {{ __typename id }}
            nothing: node(id: "ord_{}") {{ id }} nonsense: node(id: "x") {{ id }} }}"#,
        "0".repeat(32)
    );
    let found = data(&given, support(), &query).await;
    assert_eq!(
        found,
        json!({
            "o": {"__typename": "Order", "id": ord.to_string()}, "f": {"__typename": "Fulfillment", "id": ful.to_string()},
            "s": {"__typename": "Saga", "id": sag.to_string()}, "nothing": null, "nonsense": null,
        })
    );
}

#[tokio::test]
async fn a_ref_of_several_shops_is_refused_with_the_candidates() {
    let given = Given::new().await;
    let one = given.place("one", placed("same", &[("a", 1)])).await;
    let other = given.place("two", placed("same", &[("a", 1)])).await;
    given.project().await;

    let answer = ask(&given.graphql(), support(), r#"{ order(ref: "same") { id } }"#, json!({})).await;
    let extensions = &answer["errors"][0]["extensions"];
    assert_eq!(extensions["code"], json!("AMBIGUOUS_REF"));
    assert_eq!(
        extensions["candidates"],
        json!([{"id": one.to_string(), "shop": "one"}, {"id": other.to_string(), "shop": "two"}])
    );
    let found = data(&given, support(), r#"{ order(ref: "same", shop: "two") { id } }"#).await;
    assert_eq!(found["order"]["id"], json!(other.to_string()));
    let found = data(&given, shop("one"), r#"{ order(ref: "same") { id } }"#).await;
    assert_eq!(found["order"]["id"], json!(one.to_string()));
}

#[tokio::test]
async fn an_order_is_asked_for_by_id_or_by_ref() {
    let given = Given::new().await;
    let order = given.place("dev", placed("cj-1", &[("a", 1)])).await;
    given.project().await;
    let by_id = format!(r#"{{ order(id: "{order}", shop: "dev") {{ ref }} }}"#);
    assert_eq!(data(&given, support(), &by_id).await, json!({"order": {"ref": "cj-1"}}));
    let other_shop = format!(r#"{{ order(id: "{order}", shop: "other") {{ ref }} }}"#);
    assert_eq!(data(&given, support(), &other_shop).await, json!({"order": null}));
    assert_eq!(data(&given, support(), r#"{ order(ref: "unknown") { id } }"#).await, json!({"order": null}));
    assert_eq!(data(&given, support(), r#"{ order(id: "unknown") { id } }"#).await, json!({"order": null}));
    assert_eq!(code(&given, support(), "{ order { id } }").await, "BAD_USER_INPUT");
    let both = format!(r#"{{ order(id: "{order}", ref: "cj-1") {{ id }} }}"#);
    assert_eq!(code(&given, support(), &both).await, "BAD_USER_INPUT");
    assert_eq!(code(&given, support(), r#"{ order(ref: "\u0000") { id } }"#).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn an_answer_tells_the_position_that_it_reflects() {
    let given = Given::new().await;
    let graphql = given.graphql();
    let position = async || graphql.execute("{ __typename }".into(), support()).await.1;
    assert_eq!(position().await, Some(eventstore::Position::ZERO));
    given.place("dev", placed("cj-1", &[("a", 1)])).await;
    let head = given.project().await;
    assert_eq!(position().await, Some(head));
}

#[tokio::test]
async fn a_query_that_is_too_large_or_wrong_is_refused_with_a_code() {
    let given = Given::new().await;
    let deep = "{ orders { nodes { saga { order { saga { order { saga { order { saga { order { saga { order { saga { order { saga { \
                order { saga { order { saga { order { id } } } } } } } } } } } } } } } } } } } } } }";
    let wide = "{ orders(first: 200) { nodes { timeline(first: 200) { nodes { position at type summary actor actorKind } } } } }";
    for query in [deep, wide, "{ nothing }", "{", "mutation { place }", "subscription { orderChanged { id } }"] {
        assert_eq!(code(&given, support(), query).await, "BAD_USER_INPUT", "{query}");
    }
    let usual = "{ orders(first: 200) { totalCount nodes { id ref status total lines { sku quantity } } } }";
    data(&given, support(), usual).await;
}

#[tokio::test]
async fn the_query_by_which_tools_know_the_schema_is_allowed() {
    let given = Given::new().await;
    let deep = (0..8).fold("kind name".to_owned(), |of, _| format!("kind name ofType {{ {of} }}"));
    let query = format!(
        "{{ __schema {{ queryType {{ name }} types {{ kind name description fields(includeDeprecated: true) {{ name description
            args {{ name type {{ {deep} }} defaultValue }} type {{ {deep} }} }} inputFields {{ name type {{ {deep} }} }}
            enumValues {{ name }} possibleTypes {{ {deep} }} }} directives {{ name locations args {{ name type {{ {deep} }} }} }} }} }}"
    );
    let found = data(&given, shop("dev"), &query).await;
    assert!(found["__schema"]["types"].as_array().unwrap().iter().any(|t| t["name"] == "TimelineConnection"));
}

#[tokio::test]
async fn an_order_that_is_parked_says_so_and_what_was_skipped_never_was() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    let at = given.record(StreamId::new(order.0, "order"), "OrderTeleported", 1, "{}").await;
    given.cancel(order).await;
    let mut running = given.run();
    running.reaches(given.head().await).await;
    let query = r#"{ order(ref: "r-1") { status parked { position cause since } timeline { nodes { type } } } }"#;
    let found = data(&given, support(), query).await["order"].clone();
    assert_eq!((&found["status"], &found["parked"]["position"]), (&json!("PLACED"), &json!(at.to_string())));
    let placed = json!({"type": "OrderPlaced"});
    assert_eq!(found["timeline"], json!({"nodes": [placed]}), "as far as its row");
    assert!(found["parked"]["cause"].as_str().unwrap().contains("OrderTeleported"), "{found}");
    assert!(found["parked"]["since"].is_string());

    let keys = ParkedKeys::new(&given.pool.connect_options());
    let event = keys.get(order.0).await.unwrap().unwrap().event;
    let request = keys.ask(&event, Verb::Skip, "agreed", "ada").await.unwrap().unwrap();
    while keys.outcome(request).await.unwrap().is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let found = data(&given, support(), query).await["order"].clone();
    let timeline = json!({"nodes": [placed, {"type": "CancelRequested"}]});
    assert_eq!(found, json!({"status": "CANCELLING", "parked": null, "timeline": timeline}));
    for (position, status) in [(at.0, "PLACED"), (at.0 + 1, "CANCELLING")] {
        let then =
            format!(r#"{{ order(ref: "r-1", asOf: {{position: "{position}"}}) {{ status parked {{ cause }} }} }}"#);
        assert_eq!(data(&given, support(), &then).await["order"], json!({"status": status, "parked": null}));
    }
    running.stop().await;
}
