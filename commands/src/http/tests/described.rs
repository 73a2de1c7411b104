//! OpenAPI says what is served: every route, every status, every field.
use super::super::{
    openapi::document,
    operations::OPERATIONS,
    validate::{fulfillment, order, stock},
};
use super::{TestApp, request};
use axum::body::Body;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn every_route_is_served_and_described_with_all_its_answers() {
    let app = TestApp::new().await;
    let document = document();
    for operation in OPERATIONS {
        let path = operation
            .path
            .replace("{id}", "x")
            .replace("{code}", "main")
            .replace("{shop}", "dev")
            .replace("{ref}", "c-1");
        let answer = app.send(request(operation.method.clone(), "none", &path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.code(), "unauthenticated", "{} {path} is served", operation.method);

        let described = &document["paths"][operation.path][operation.method.as_str().to_ascii_lowercase()];
        assert!(described["operationId"].is_string(), "{} {}", operation.method, operation.path);
        assert!(described["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2')));
        for code in operation.codes() {
            let answer = &described["responses"][code.status().as_str()]["content"]["application/problem+json"];
            assert!(
                answer["examples"][code.name()].is_object(),
                "{} {}: {}",
                operation.method,
                operation.path,
                code.name()
            );
        }
        assert!(described["security"].is_array());
    }
    let paths = document["paths"].as_object().unwrap();
    let described: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(described, OPERATIONS.len(), "nothing is described that is not served");
}

#[test]
fn every_reference_leads_somewhere() {
    fn look(value: &Value, document: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let found = document.pointer(reference.trim_start_matches('#'));
                    assert!(found.is_some(), "{reference}");
                }
                fields.values().for_each(|value| look(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| look(value, document)),
            _ => {}
        }
    }
    let document = document();
    look(&document, &document);
}

#[test]
fn null_is_described_only_where_it_is_sent_or_taken() {
    let mut document = document();
    assert_eq!(
        document["components"]["schemas"]["Order"]["properties"]["status_reason"]["type"],
        json!(["string", "null"])
    );
    let body = &document["components"]["schemas"]["PlaceOrder"]["properties"];
    assert_eq!(body["channel"]["type"], json!(["string", "null"]), "it may be left out");
    assert_eq!(body["order_ref"]["type"], "string", "it is required");
    if let Value::Object(schemas) = &mut document["components"]["schemas"] {
        schemas.retain(|name, schema| name != "Order" && schema["additionalProperties"] != false);
    }
    let text = document["components"].to_string() + &document["paths"].to_string();
    assert!(!text.contains("\"null\""), "{text}");
    let pick = &document["paths"]["/v1/fulfillments/{id}/pick"]["post"]["requestBody"];
    assert_ne!(pick["required"], true, "a report may be empty");
    assert_eq!(pick["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/Picked");
}

#[test]
fn a_body_s_schema_names_the_fields_that_are_read_and_no_others() {
    let document = document();
    let tables: [(&str, &[&str]); 24] = [
        ("PlaceOrder", order::ORDER_FIELDS),
        ("Customer", order::CUSTOMER_FIELDS),
        ("Address", order::ADDRESS_FIELDS),
        ("OrderLine", order::LINE_FIELDS),
        ("Charge", order::CHARGE_FIELDS),
        ("Promise", order::PROMISE_FIELDS),
        ("Payment", order::PAYMENT_FIELDS),
        ("Client", order::CLIENT_FIELDS),
        ("Reason", super::super::validate::REASON_FIELDS),
        ("Skip", super::super::validate::saga::SKIP_FIELDS),
        ("MarkDone", super::super::validate::saga::MARK_DONE_FIELDS),
        ("RequestReturn", super::super::validate::returned::REQUEST_FIELDS),
        ("ReceiveReturn", super::super::validate::returned::RECEIVE_FIELDS),
        ("InspectReturn", super::super::validate::returned::RECEIVE_FIELDS),
        ("InspectedLine", super::super::validate::returned::INSPECTED_FIELDS),
        ("SetLocation", stock::LOCATION_FIELDS),
        ("Receipt", stock::RECEIPT_FIELDS),
        ("ReceiptLine", stock::RECEIPT_LINE_FIELDS),
        ("Adjustment", stock::ADJUSTMENT_FIELDS),
        ("Picked", fulfillment::PICK_FIELDS),
        ("Packed", fulfillment::PACK_FIELDS),
        ("Shipped", fulfillment::SHIP_FIELDS),
        ("LineQuantity", fulfillment::LINE_FIELDS),
        ("Parcel", fulfillment::PARCEL_FIELDS),
    ];
    for (name, read) in tables {
        let schema = &document["components"]["schemas"][name];
        let described: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, read.iter().copied().collect(), "{name}");
        assert_eq!(schema["additionalProperties"], false, "{name}");
    }
}
