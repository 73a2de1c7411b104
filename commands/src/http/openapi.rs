//! OpenAPI, generated from the handlers, the schemas and the table of operations.
//!
//! What many operations share (problems, keys, headers) is added from the table, so that no operation can leave it out.
use super::{
    operations::{OPERATIONS, Operation},
    problem::Code,
};
use axum::{
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use eventstore::Lifetime;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::LazyLock};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Waybill",
        description = "Takes an order from a shop and sees it through. Queries are GraphQL's, at `/graphql`."
    ),
    paths(
        super::orders::place,
        super::orders::find,
        super::orders::read,
        super::cancel::cancel,
        super::locations::set,
        super::receipts::receive,
        super::adjustments::adjust,
        super::fulfillments::pick,
        super::fulfillments::pack,
        super::fulfillments::ship,
        super::sagas::retry,
        super::sagas::skip,
        super::sagas::mark_done,
        super::sagas::compensate,
        super::sagas::pause,
        super::sagas::resume,
        super::returns::ask,
        super::returns::approve,
        super::returns::reject,
        super::returns::cancel,
        super::returns::receive,
        super::returns::inspect,
        super::people::erase,
        super::people::read
    ),
    components(schemas(super::schema::Problem))
)]
struct Described;

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&document()).unwrap_or_default().into());

pub(super) async fn serve() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], DOCUMENT.clone()).into_response()
}

/// The whole document.
pub(crate) fn document() -> Value {
    let mut document = serde_json::to_value(Described::openapi()).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({ "key": {
        "type": "http", "scheme": "bearer", "description": "An API key; its role says what it may do."
    } });
    if let Some(code) = document["components"]["schemas"].get_mut("ProblemCode") {
        let codes = OPERATIONS.iter().flat_map(|operation| operation.codes()).chain([Code::MethodNotAllowed]);
        let names: std::collections::BTreeSet<_> = codes.map(Code::name).collect();
        code["enum"] = json!(names);
    }
    close(&mut document["components"]["schemas"]);
    without_null(&mut document["paths"]);
    if let Value::Object(schemas) = &mut document["components"]["schemas"] {
        let answers = schemas.iter_mut().filter(|(name, _)| *name != ORDER && !READ.contains(&name.as_str()));
        answers.for_each(|(_, schema)| without_null(schema));
    }
    for operation in OPERATIONS {
        let described = &mut document["paths"][operation.path][operation.method.as_str().to_ascii_lowercase()];
        complete(described, operation);
    }
    document
}

/// The one answer in which `null` has a meaning: an order without a reason to tell.
const ORDER: &str = "Order";

/// The bodies that are read. They refuse fields they don't know, and take `null` for a field left out.
const READ: &[&str] = &[
    "PlaceOrder",
    "Customer",
    "Address",
    "OrderLine",
    "Charge",
    "Promise",
    "Payment",
    "Client",
    "Reason",
    "Skip",
    "MarkDone",
    "RequestReturn",
    "ReceiveReturn",
    "InspectReturn",
    "InspectedLine",
    "SetLocation",
    "Receipt",
    "ReceiptLine",
    "Adjustment",
    "Picked",
    "Packed",
    "Shipped",
    "LineQuantity",
    "PackedParcel",
    "Parcel",
];

/// What may be left out is described as what may be `null`; but no answer says `null` for it, and no parameter can.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_null = |schema: &Value| *schema == json!({ "type": "null" }) || *schema == json!("null");
            for alternatives in ["oneOf", "type"] {
                if let Some(Value::Array(all)) = fields.get_mut(alternatives) {
                    all.retain(|schema| !is_null(schema));
                }
            }
            if let Some(Value::Array(all)) = fields.get("type")
                && let [only] = all.as_slice()
            {
                let only = only.clone();
                fields.insert("type".to_owned(), only);
            }
            if let Some(Value::Array(all)) = fields.get("oneOf")
                && let [Value::Object(only)] = all.as_slice()
            {
                let only = only.clone();
                fields.remove("oneOf");
                fields.extend(only);
            }
            fields.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

fn close(schemas: &mut Value) {
    for name in READ {
        schemas[name]["additionalProperties"] = json!(false);
    }
}

fn complete(described: &mut Value, operation: &Operation) {
    let roles: Vec<_> = operation.roles.iter().map(|role| role.as_str()).collect();
    described["security"] = json!([{ "key": [] }]);
    described["x-roles"] = json!(roles);
    let told = described["description"].as_str().unwrap_or_default();
    described["description"] = json!(format!("{told}\n\nFor keys of role {}.", roles.join(", ")).trim());

    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let is_command = operation.method == Method::POST;
    if is_command && let Value::Array(parameters) = &mut described["parameters"] {
        let lives = match operation.key_lifetime() {
            Lifetime::Forever if operation.name == "erase" => "for ever",
            Lifetime::Forever => "as long as the order",
            Lifetime::Day => "for 24 hours at least, 48 at most",
        };
        let description = format!(
            "Bare, or quoted as RFC 8941 has it. The same key and the same body are the same request, however often it is sent. \
             Its scope is shop and route. It is remembered {lives}."
        );
        parameters
            .push(json!({ "name": "Idempotency-Key", "in": "header", "required": true, "description": description,
            "schema": { "type": "string", "minLength": 1, "maxLength": 255 } }));
    }
    if let Value::Object(responses) = &mut described["responses"] {
        for response in responses.values_mut() {
            let headers = &mut response["headers"];
            headers["Request-Id"] = text("The request's id.");
            if is_command {
                headers["Idempotent-Replayed"] = text("`true` when this was asked before under the same key.");
            }
            if operation.path == "/v1/orders" && is_command {
                headers["Location"] = text("Where to read the order.");
                headers["Preference-Applied"] = text("`wait=N`, when `Prefer` asked for it.");
            }
        }
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    operation.codes().for_each(|code| by_status.entry(code.status().as_u16()).or_default().push(code));
    for (status, codes) in by_status {
        described["responses"][status.to_string()] = problem(&codes);
    }
}

fn problem(codes: &[Code]) -> Value {
    let lines: Vec<_> = codes.iter().map(|code| format!("`{}`: {}.", code.name(), code.title())).collect();
    let examples: serde_json::Map<_, _> = codes
        .iter()
        .map(|code| {
            let value = json!({ "type": format!("urn:waybill:problem:{}", code.name()), "title": code.title(), "status": code.status().as_u16(),
                "detail": code.title(), "instance": "/v1", "code": code.name(), "request_id": "019a3f0e6d1c7b50a2b1c3d4e5f60718" });
            (code.name().to_owned(), json!({ "value": value }))
        })
        .collect();
    let mut headers = json!({ "Request-Id": { "description": "The request's id.", "schema": { "type": "string" } } });
    if codes.iter().any(|code| matches!(code, Code::Unavailable | Code::KeyInFlight)) {
        headers["Retry-After"] = json!({ "description": "Seconds.", "schema": { "type": "integer" } });
    }
    json!({ "description": lines.join(" "), "headers": headers, "content": { "application/problem+json": {
        "schema": { "$ref": "#/components/schemas/Problem" }, "examples": examples } } })
}
