//! A return on the real stack: asked for, approved, received and inspected by people; the label, the money and the stock are the saga's.
use crate::support::{
    app::{TestApp, text},
    client::{Client, order, unique},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Until the read model shows it: generous.
const SOON: Duration = Duration::from_secs(30);

const QUERY: &str =
    "query($id: ID!) { order(id: $id) { status payment { captured refunded chargeStatus } saga { id state }
    returns { id number stage refund location label { trackingNumber }
        lines { lineId sku quantity received restocked writtenOff refused }
        saga { id saga state step waitingOn overdue remainingSteps } } } }";

/// The order once its first return is at this stage.
async fn at_stage(client: &Client, order: &str, stage: &str) -> Value {
    let since = Instant::now();
    loop {
        let found = client.graphql("support", QUERY, json!({"id": order})).await["order"].clone();
        if found["returns"][0]["stage"] == stage {
            return found;
        }
        assert!(since.elapsed() < SOON, "it does not come to {stage}: {found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn report(client: &Client, role: &str, id: &str, verb: &str, body: Value) -> Value {
    let answer = client.post(role, &format!("/v1/returns/{id}/{verb}"), &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{verb}: {}", answer.body);
    answer.body
}

async fn stock(client: &Client, sku: &str) -> Value {
    let query = "query($sku: String) { stock(sku: $sku) { nodes { onHand reserved available } } }";
    client.graphql("warehouse", query, json!({"sku": sku})).await["stock"]["nodes"].clone()
}

/// What a list of `returns` finds, by id.
async fn listed(client: &Client, filter: Value) -> Vec<String> {
    let query = "query($where: ReturnWhere) { returns(where: $where) { nodes { id } } }";
    let found = client.graphql("warehouse", query, json!({"where": filter})).await;
    found["returns"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect()
}

/// The provider's refunds for an order.
async fn refunds(client: &Client, order: &str) -> Vec<Value> {
    let ledger: Vec<Value> =
        reqwest::get(format!("{}/ledger", client.url("payment"))).await.unwrap().json().await.unwrap();
    ledger.into_iter().filter(|entry| entry["reference"] == order && entry["kind"] == "refund").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_come_back_are_refunded_restocked_and_seen_at_each_stage() {
    let app = TestApp::start("returns").await;
    let client = &app.client;
    let sku = unique("sku");
    client.receive(&sku, 10).await;
    let placed = order(&sku, 3, "tok_ok");
    let completed = client.order_to_its_end(&placed).await;
    assert_eq!(completed.body["status"], "COMPLETED", "{}", completed.body);
    let id = completed.body["order_id"].as_str().unwrap();
    assert_eq!(stock(client, &sku).await, json!([{"onHand": 7, "reserved": 0, "available": 7}]));

    let asked = client.post("shop", &format!("/v1/orders/{id}/returns"), &json!({"reason": "too small"})).await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
    let ret = asked.body["return_id"].as_str().unwrap();
    assert_eq!(ret, format!("ret_{}_1", &id[4..]));
    let requested = at_stage(client, id, "REQUESTED").await;
    let (found, saga) = (&requested["returns"][0], &requested["returns"][0]["saga"]);
    assert_eq!((&found["id"], &saga["id"], &saga["saga"]), (&json!(ret), &json!(ret), &json!("return")));
    assert_eq!(
        (&saga["state"], &saga["waitingOn"], &saga["overdue"]),
        (&json!("WAITING"), &json!("support"), &json!(false))
    );
    assert_eq!((&found["location"], &found["label"], &found["refund"]), (&json!("main"), &Value::Null, &Value::Null));
    assert_eq!(requested["saga"], json!({"id": format!("sag_{}", &id[4..]), "state": "COMPLETED"}));

    report(client, "support", ret, "approve", json!({"reason": "within thirty days"})).await;
    let sent = at_stage(client, id, "IN_TRANSIT").await;
    assert!(sent["returns"][0]["label"]["trackingNumber"].is_string(), "{sent}");
    assert_eq!(sent["returns"][0]["saga"]["remainingSteps"], json!(["receive", "inspect", "refund", "put_away"]));
    assert_eq!(
        listed(client, json!({"stage": "IN_TRANSIT", "location": "main"})).await,
        [ret],
        "the warehouse is to receive it"
    );
    let told = app.waybill(&["trace", id]).await;
    let told = text(&told.stdout);
    for part in ["return 1", "in transit", "Return 1: It is at “receive” and waits for warehouse", ret] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let shown = text(&app.waybill(&["sagas", "show", ret]).await.stdout);
    assert!(shown.starts_with(&format!("Saga {ret}")) && shown.contains("waits for  warehouse"), "{shown}");
    let waiting = text(&app.waybill(&["sagas", "list", "--waiting-on", "warehouse"]).await.stdout);
    assert!(waiting.contains(ret), "{waiting}");
    // On its way back it is under way, and nothing is wrong with that.
    app.assert_verified().await;

    report(client, "warehouse", ret, "receive", json!({})).await;
    let came = at_stage(client, id, "RECEIVED").await;
    assert_eq!((&came["returns"][0]["lines"][0]["received"], &came["returns"][0]["refund"]), (&json!(3), &Value::Null));
    assert_eq!(listed(client, json!({"stage": "RECEIVED", "orderRef": placed["order_ref"]})).await, [ret]);

    let found = json!({"lines": [{"line_id": "1", "restock": 1, "write_off": 1, "refuse": 1}]});
    let inspected = report(client, "warehouse", ret, "inspect", found).await;
    // Two of three pieces for 9.80.
    assert_eq!(inspected["refund"], "6.53");
    let done = at_stage(client, id, "COMPLETED").await;
    let found = &done["returns"][0];
    assert_eq!(
        found["lines"],
        json!([{"lineId": "1", "sku": sku, "quantity": 3, "received": 3, "restocked": 1, "writtenOff": 1, "refused": 1}])
    );
    assert_eq!((&found["refund"], &found["saga"]["state"]), (&json!("6.53"), &json!("COMPLETED")));
    assert_eq!(
        (&done["status"], &done["payment"]),
        (&json!("COMPLETED"), &json!({"captured": "9.80", "refunded": "6.53", "chargeStatus": "PARTIAL"}))
    );
    assert_eq!(
        stock(client, &sku).await,
        json!([{"onHand": 8, "reserved": 0, "available": 8}]),
        "one is for sale again"
    );
    assert_eq!(client.ledger("payment", id).await, ["authorize", "capture", "refund"]);
    let refunds = refunds(client, id).await;
    assert_eq!(refunds.iter().map(|entry| &entry["amount"]).collect::<Vec<_>>(), ["6.53"], "{refunds:?}");
    assert_eq!(listed(client, json!({"stage": "RECEIVED"})).await, [""; 0]);

    // As of the moment that it had come to, and never left.
    let position = inspected["position"].as_str().unwrap();
    let then =
        "query($id: ID!, $asOf: AsOf) { order(id: $id, asOf: $asOf) { payment { refunded } returns { stage } } }";
    let then = client.graphql("support", then, json!({"id": id, "asOf": {"position": position}})).await;
    assert_eq!(then["order"], json!({"payment": {"refunded": "0.00"}, "returns": [{"stage": "INSPECTED"}]}));

    // One that is rejected leaves no trace in goods or money.
    let again = client.post("shop", &format!("/v1/orders/{id}/returns"), &json!({"reason": "the other one too"})).await;
    let second = again.body["return_id"].as_str().unwrap_or_else(|| panic!("{}", again.body));
    report(client, "support", second, "reject", json!({"reason": "it was worn"})).await;
    let since = Instant::now();
    loop {
        let found = client.graphql("support", QUERY, json!({"id": id})).await["order"]["returns"][1].clone();
        if found["stage"] == "CLOSED" {
            assert_eq!((&found["saga"]["state"], &found["saga"]["waitingOn"]), (&json!("COMPENSATED"), &Value::Null));
            break;
        }
        assert!(since.elapsed() < SOON, "{found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(client.ledger("shipping", id).await, ["label", "label"], "one to send it, one to send it back");
    app.assert_verified().await;
}
