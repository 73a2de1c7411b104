//! Filters, orders and pages.
use super::{ask, code, data};
use crate::given::{Given, instant, out_of_stock, placed, support};
use chrono::TimeDelta;
use domain::{location::LocationMode, saga::Reply};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Refs `r-00`… placed a minute apart, some at the same instant.
async fn orders(given: &Given, count: i64) {
    for n in 0..count {
        let mut order = placed(&format!("r-{n:02}"), &[("a", 1), (if n % 2 == 0 { "even" } else { "odd" }, 1)]);
        order.placed_at = instant("2017-01-01T00:00:00Z") + TimeDelta::minutes(n / 2);
        order.customer_ref = format!("c-{}", n % 3);
        given.place("dev", order).await;
    }
}

fn refs(connection: &Value) -> Vec<String> {
    connection["nodes"].as_array().unwrap().iter().map(|node| node["ref"].as_str().unwrap().to_owned()).collect()
}

async fn found(given: &Given, arguments: &str) -> Vec<String> {
    refs(&data(given, support(), &format!("{{ orders({arguments}) {{ nodes {{ ref }} }} }}")).await["orders"])
}

#[tokio::test]
async fn orders_are_found_by_each_filter_and_by_all_at_once() {
    let given = Given::new().await;
    orders(&given, 6).await;
    let cancelled = given.place("dev", placed("gone", &[("b", 3)])).await;
    given.reply(cancelled, out_of_stock("b")).await;
    given.goes_well(cancelled, 10).await;
    given.place("other", placed("theirs", &[("c", 1)])).await;
    given.project().await;

    assert_eq!(found(&given, r#"where: {status: CANCELLED}"#).await, ["gone"]);
    assert_eq!(found(&given, r#"where: {statusIn: [CANCELLED, COMPLETED]}"#).await, ["gone"]);
    assert_eq!(found(&given, r#"where: {statusIn: []}"#).await, [""; 0]);
    assert_eq!(found(&given, r#"where: {ref: "r-03"}"#).await, ["r-03"]);
    assert_eq!(found(&given, r#"where: {customerRef: "c-1"}, orderBy: PLACED_AT_ASC"#).await, ["r-01", "r-04"]);
    assert_eq!(found(&given, r#"where: {shop: "other"}"#).await, ["theirs"]);
    assert_eq!(found(&given, r#"where: {sku: "odd"}, orderBy: PLACED_AT_ASC"#).await, ["r-01", "r-03", "r-05"]);
    let range = r#"{from: "2017-01-01T00:01:00Z", to: "2017-01-01T01:02:00+01:00"}"#;
    assert_eq!(found(&given, &format!("where: {{placedAt: {range}}}, orderBy: PLACED_AT_ASC")).await, ["r-02", "r-03"]);
    let all = format!(r#"where: {{placedAt: {range}, sku: "odd", status: PLACED, customerRef: "c-0", shop: "dev"}}"#);
    assert_eq!(found(&given, &all).await, ["r-03"]);
}

#[tokio::test]
async fn orders_come_by_placement_or_by_last_change_either_way() {
    let given = Given::new().await;
    orders(&given, 4).await;
    let first = given.place("dev", placed("latest", &[("a", 1)])).await;
    given.project().await;
    assert_eq!(found(&given, "orderBy: null").await, ["latest", "r-03", "r-02", "r-01", "r-00"]);
    assert_eq!(found(&given, "orderBy: PLACED_AT_ASC").await, ["r-00", "r-01", "r-02", "r-03", "latest"]);
    assert_eq!(found(&given, "orderBy: UPDATED_AT_ASC, first: 1").await, ["r-00"]);
    given.goes_well(first, 1).await;
    given.project().await;
    assert_eq!(found(&given, "orderBy: UPDATED_AT_DESC, first: 1").await, ["latest"]);
}

#[tokio::test]
async fn a_page_says_whether_there_is_more_on_either_side() {
    let given = Given::new().await;
    orders(&given, 5).await;
    given.project().await;
    let query = "query($first: Int, $after: String, $last: Int, $before: String) {
        orders(orderBy: PLACED_AT_ASC, first: $first, after: $after, last: $last, before: $before) {
            totalCount edges { cursor node { ref } } nodes { ref } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let graphql = given.graphql();
    let page = async |variables: Value| ask(&graphql, support(), query, variables).await["data"]["orders"].clone();

    let first = page(json!({"first": 2})).await;
    assert_eq!(refs(&first), ["r-00", "r-01"]);
    assert_eq!(first["totalCount"], json!(5));
    assert_eq!(first["pageInfo"]["hasNextPage"], json!(true));
    assert_eq!(first["pageInfo"]["hasPreviousPage"], json!(false));
    assert_eq!(first["pageInfo"]["startCursor"], first["edges"][0]["cursor"]);
    assert_eq!(first["pageInfo"]["endCursor"], first["edges"][1]["cursor"]);

    let last = page(json!({"last": 2, "before": null})).await;
    assert_eq!(refs(&last), ["r-03", "r-04"]);
    assert_eq!(last["pageInfo"]["hasNextPage"], json!(false));
    assert_eq!(last["pageInfo"]["hasPreviousPage"], json!(true));

    let middle = page(json!({"first": 2, "after": first["pageInfo"]["endCursor"]})).await;
    assert_eq!(refs(&middle), ["r-02", "r-03"]);
    assert_eq!(middle["pageInfo"]["hasPreviousPage"], json!(true));
    let back = page(json!({"last": 2, "before": middle["pageInfo"]["startCursor"]})).await;
    assert_eq!(refs(&back), ["r-00", "r-01"]);
    assert_eq!(back["pageInfo"]["hasPreviousPage"], json!(false));
    assert_eq!(back["pageInfo"]["hasNextPage"], json!(true));
    let between = json!({"after": first["edges"][0]["cursor"], "before": last["edges"][1]["cursor"]});
    assert_eq!(refs(&page(between).await), ["r-01", "r-02", "r-03"]);
    let none = page(json!({"first": 0})).await;
    assert_eq!((refs(&none).len(), &none["pageInfo"]["hasNextPage"]), (0, &json!(true)));
}

/// Whatever the size of the pages, the direction and the order: read to the end, they hold each row once, in the order of the list.
#[test]
fn pages_put_together_are_the_list() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let given = runtime.block_on(async {
        let given = Given::new().await;
        orders(&given, 17).await;
        given.project().await;
        given
    });
    let graphql = runtime.block_on(async { given.graphql() });
    let cases = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let orders = prop::sample::select(vec!["PLACED_AT_ASC", "PLACED_AT_DESC", "UPDATED_AT_ASC", "UPDATED_AT_DESC"]);
    proptest!(cases, |(size in 1..=18i32, backward: bool, order in orders)| {
        let (limit, bound) = if backward { ("last", "before") } else { ("first", "after") };
        let query = format!("query($size: Int, $from: String) {{ orders(orderBy: {order}, {limit}: $size, {bound}: $from) {{
            nodes {{ ref }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}");
        let whole = runtime.block_on(found(&given, &format!("orderBy: {order}")));
        let (mut read, mut from) = (Vec::new(), Value::Null);
        loop {
            let answer = runtime.block_on(ask(&graphql, support(), &query, json!({"size": size, "from": from})));
            let page = &answer["data"]["orders"];
            let (more, next) = if backward { ("hasPreviousPage", "startCursor") } else { ("hasNextPage", "endCursor") };
            if backward {
                read.splice(0..0, refs(page));
            } else {
                read.extend(refs(page));
            }
            from = page["pageInfo"][next].clone();
            if page["pageInfo"][more] == json!(false) { break; }
        }
        prop_assert_eq!(read, whole);
    });
}

#[tokio::test]
async fn wrong_page_arguments_are_refused() {
    let given = Given::new().await;
    orders(&given, 2).await;
    given.project().await;
    let query = "{ orders(first: 1, orderBy: PLACED_AT_ASC) { pageInfo { endCursor } } }";
    let cursor = data(&given, support(), query).await["orders"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    for arguments in [
        "first: 201",
        "last: 201",
        "first: -1",
        "last: -5",
        "first: 1, last: 1",
        r#"after: """#,
        r#"after: "nonsense""#,
        r#"before: "bm9uc2Vuc2U""#,
        &format!(r#"after: "{cursor}""#),
        &format!(r#"orderBy: UPDATED_AT_ASC, after: "{cursor}""#),
        &format!(r#"orderBy: PLACED_AT_ASC, after: "{}""#, "A".repeat(5_000)),
    ] {
        let query = format!("{{ orders({arguments}) {{ nodes {{ ref }} }} }}");
        assert_eq!(code(&given, support(), &query).await, "BAD_USER_INPUT", "{arguments}");
    }
    let stock = format!(r#"{{ stock(after: "{cursor}") {{ nodes {{ sku }} }} }}"#);
    assert_eq!(code(&given, support(), &stock).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn a_timeline_is_read_page_by_page_and_for_many_orders_at_once() {
    let given = Given::new().await;
    for n in 0..3 {
        given.completed("dev", placed(&format!("r-{n}"), &[("a", 1)])).await;
    }
    given.project().await;
    let query = "{ orders { nodes { timeline(first: 4) { totalCount nodes { type } pageInfo { hasNextPage endCursor } }
        tail: timeline(last: 2) { nodes { type } pageInfo { hasPreviousPage } } } } }";
    let found = data(&given, support(), query).await;
    for order in found["orders"]["nodes"].as_array().unwrap() {
        let types = |of: &Value| of["nodes"].as_array().unwrap().iter().map(|n| n["type"].clone()).collect::<Vec<_>>();
        assert_eq!(order["timeline"]["totalCount"], json!(9));
        assert_eq!(types(&order["timeline"]).len(), 4);
        assert_eq!(types(&order["timeline"])[0], json!("OrderPlaced"));
        assert_eq!(order["timeline"]["pageInfo"]["hasNextPage"], json!(true));
        assert_eq!(types(&order["tail"]), [json!("OrderCompleted"), json!("SagaCompleted")]);
        assert_eq!(order["tail"]["pageInfo"]["hasPreviousPage"], json!(true));
    }
    let cursor = found["orders"]["nodes"][0]["timeline"]["pageInfo"]["endCursor"].as_str().unwrap();
    let query =
        format!(r#"{{ orders(first: 1) {{ nodes {{ timeline(after: "{cursor}") {{ nodes {{ type }} }} }} }} }}"#);
    let rest = data(&given, support(), &query).await;
    assert_eq!(rest["orders"]["nodes"][0]["timeline"]["nodes"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_timeline_tells_what_its_order_s_row_shows_and_no_more() {
    let given = Given::new().await;
    let order = given.place("dev", placed("r-1", &[("a", 1)])).await;
    given.project().await;
    // The log has come further than the rows.
    given.cancel(order).await;
    let query = "{ orders { nodes { status timeline { totalCount nodes { type } } } } }";
    let placed = json!({"status": "PLACED", "timeline": {"totalCount": 1, "nodes": [{"type": "OrderPlaced"}]}});
    assert_eq!(data(&given, support(), query).await["orders"]["nodes"], json!([placed]));
    given.project().await;
    let found = data(&given, support(), query).await["orders"]["nodes"][0].clone();
    assert_eq!((&found["status"], &found["timeline"]["totalCount"]), (&json!("CANCELLING"), &json!(2)));
}

#[tokio::test]
async fn stock_comes_by_sku_and_says_what_is_free() {
    let given = Given::new().await;
    for (shop, sku) in [("dev", "b"), ("dev", "a"), ("other", "a")] {
        given.receive(shop, sku, 10).await;
    }
    given.completed("dev", placed("r-1", &[("a", 2)])).await;
    let order = given.place("dev", placed("r-2", &[("a", 3)])).await;
    given.goes_well(order, 1).await;
    given.project().await;
    let found =
        data(&given, support(), "{ stock { totalCount nodes { shop sku location onHand reserved available } } }").await;
    let shelf = |shop: &str, sku: &str, on_hand: i64, reserved: i64| json!({"shop": shop, "sku": sku, "location": "main", "onHand": on_hand, "reserved": reserved, "available": on_hand - reserved});
    assert_eq!(
        found["stock"],
        json!({"totalCount": 3, "nodes": [shelf("dev", "a", 8, 3), shelf("other", "a", 10, 0), shelf("dev", "b", 10, 0)]})
    );
    let query = r#"{ stock(shop: "dev", sku: "b", location: "main") { nodes { sku } } }"#;
    assert_eq!(data(&given, support(), query).await["stock"]["nodes"], json!([{"sku": "b"}]));
    let page = data(&given, support(), "{ stock(first: 1) { pageInfo { endCursor } } }").await;
    let cursor = page["stock"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    let query = format!(r#"{{ stock(after: "{cursor}") {{ nodes {{ shop sku }} }} }}"#);
    let rest = data(&given, support(), &query).await;
    assert_eq!(rest["stock"]["nodes"], json!([{"shop": "other", "sku": "a"}, {"shop": "dev", "sku": "b"}]));
}

#[tokio::test]
async fn staff_find_what_to_pick_and_what_has_stopped() {
    let mut given = Given::new().await;
    given.mode = LocationMode::Manual;
    let waits = given.place("dev", placed("to-pick", &[("a", 1)])).await;
    given.goes_well(waits, 10).await;
    given.mode = LocationMode::Auto;
    given.completed("dev", placed("shipped", &[("a", 1)])).await;
    let stuck = given.place("dev", placed("stuck", &[("a", 1)])).await;
    given.goes_well(stuck, 1).await;
    given.reply(stuck, Reply::Exhausted).await;
    given.project().await;

    let query = r#"{ fulfillments(where: {stage: TO_PICK, location: "main"}) { totalCount nodes { order { ref } } } }"#;
    let to_pick = json!({"totalCount": 1, "nodes": [{"order": {"ref": "to-pick"}}]});
    assert_eq!(data(&given, support(), query).await["fulfillments"], to_pick);
    let query = r#"{ fulfillments(where: {orderRef: "shipped"}) { nodes { stage } } }"#;
    assert_eq!(data(&given, support(), query).await["fulfillments"]["nodes"], json!([{"stage": "SHIPPED"}]));

    let query = "{ sagas(where: {state: PAUSED}) { totalCount nodes { order { ref status } step waitingOn cause } } }";
    let paused = json!({"totalCount": 1, "nodes": [{"order": {"ref": "stuck", "status": "ALLOCATED"}, "step": "authorize_payment",
        "waitingOn": "operator", "cause": "retries_exhausted"}]});
    assert_eq!(data(&given, support(), query).await["sagas"], paused);
    let query =
        r#"{ sagas(where: {step: "ship", waitingLongerThanSeconds: 0}) { nodes { waitingOn order { ref } } } }"#;
    let waiting = json!([{"waitingOn": "warehouse", "order": {"ref": "to-pick"}}]);
    assert_eq!(data(&given, support(), query).await["sagas"]["nodes"], waiting);
    let query = "{ sagas(where: {waitingLongerThanSeconds: 3600}) { totalCount } }";
    assert_eq!(data(&given, support(), query).await["sagas"]["totalCount"], json!(0));
    let query = "{ sagas(where: {waitingLongerThanSeconds: -1}) { totalCount } }";
    assert_eq!(code(&given, support(), query).await, "BAD_USER_INPUT");
}
