//! Who may do what, what is looked at first, and how every refusal looks.
use super::{TestApp, order, request};
use axum::{
    body::{Body, Bytes},
    http::{Method, StatusCode, header},
};
use serde_json::json;
use std::convert::Infallible;

const NOBODY: &str = "wbk_0000000000000000000000000000000000000000000000000000000000000000";

#[tokio::test]
async fn each_role_may_do_what_the_contract_says_and_no_more() {
    let app = TestApp::new().await;
    let id = app.place("r-1").await.body["order_id"].as_str().unwrap().to_owned();
    let hex = &id[4..];
    let reason = json!({ "reason": "x" });
    let calls = [
        (Method::POST, "/v1/orders".to_owned(), order("r-2"), "shop"),
        (Method::GET, format!("/v1/orders/{id}"), json!(null), "shop support operator"),
        (Method::GET, "/v1/orders?ref=r-1".to_owned(), json!(null), "shop support operator"),
        (Method::POST, format!("/v1/orders/{id}/cancel"), reason.clone(), "shop support operator"),
        (Method::PUT, "/v1/locations/main".to_owned(), json!({ "mode": "AUTO" }), "warehouse"),
        (Method::POST, "/v1/stock/receipts".to_owned(), json!({}), "warehouse"),
        (Method::POST, "/v1/stock/adjustments".to_owned(), json!({}), "warehouse"),
        (Method::POST, format!("/v1/fulfillments/ful_{hex}/pick"), json!({}), "warehouse"),
        (Method::POST, format!("/v1/fulfillments/ful_{hex}/pack"), json!({}), "warehouse"),
        (Method::POST, format!("/v1/fulfillments/ful_{hex}/ship"), json!({}), "warehouse"),
        (Method::POST, format!("/v1/sagas/sag_{hex}/retry"), reason, "operator"),
    ];
    for (n, (method, path, body, allowed)) in calls.iter().enumerate() {
        let roles = [
            ("shop", &app.shop),
            ("warehouse", &app.warehouse),
            ("support", &app.support),
            ("operator", &app.operator),
        ];
        for (role, key) in roles {
            let answer = match *method {
                Method::GET => app.get(key, path).await,
                Method::PUT => app.put(key, path, body).await,
                _ => app.post_as(key, &format!("{role}-{n}"), path, body, &[]).await,
            };
            let refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(refused, !allowed.split(' ').any(|a| a == role), "{method} {path} as {role}: {answer:?}");
            assert!(!refused || answer.code() == "forbidden");
        }
        let nobody = app.send(request(method.clone(), NOBODY, path).body(Body::empty()).unwrap()).await;
        assert_eq!((nobody.status, nobody.code()), (StatusCode::UNAUTHORIZED, "unauthenticated"));
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    }
}

#[tokio::test]
async fn checks_come_in_the_order_of_the_contract() {
    let app = TestApp::new().await;
    let large = || Body::from(vec![b' '; 1024 * 1024 + 1]);
    let missing = "/v1/orders/ord_00000000000000000000000000000000/cancel";
    let post = |key: &str| request(Method::POST, key, missing);
    let code = async |request| app.send(request).await.code().to_owned();

    assert_eq!(code(post(NOBODY).body(large()).unwrap()).await, "unauthenticated");
    assert_eq!(code(post(&app.warehouse).body(large()).unwrap()).await, "forbidden");
    assert_eq!(code(post(&app.shop).body(large()).unwrap()).await, "body_too_large");
    let text = post(&app.shop).header(header::CONTENT_TYPE, "text/plain");
    assert_eq!(code(text.body(Body::from("{")).unwrap()).await, "unsupported_media_type");
    let json = || post(&app.shop).header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    assert_eq!(code(json().body(Body::from("{")).unwrap()).await, "idempotency_key_missing");
    let keyed = || json().header("idempotency-key", "k");
    assert_eq!(code(keyed().body(Body::from("{")).unwrap()).await, "malformed_json");
    assert_eq!(code(keyed().body(Body::from("{}")).unwrap()).await, "not_found");
    let id = app.place("r-1").await.body["order_id"].as_str().unwrap().to_owned();
    let invalid = app.post(&app.shop, &format!("/v1/orders/{id}/cancel?dry=true"), &json!({ "why": 1 })).await;
    assert_eq!((invalid.status, invalid.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"));
    assert_eq!(invalid.faults(), ["/query/dry unknown_parameter", "/reason required", "/why unknown_field"]);
}

#[tokio::test]
async fn faults_of_body_query_and_headers_are_told_together_and_nothing_is_stored() {
    let app = TestApp::new().await;
    let long = "k".repeat(256);
    let answer = app
        .post_as(&app.shop, &long, "/v1/orders?dry_run=true", &json!({ "lines": [] }), &[("waybill-source", "fax")])
        .await;
    assert_eq!(
        answer.faults(),
        [
            "/currency required",
            "/customer/ref required",
            "/headers/idempotency-key invalid_key",
            "/headers/waybill-source unknown_value",
            "/lines too_short",
            "/order_ref required",
            "/query/dry_run unknown_parameter"
        ]
    );
    assert!(app.events().await.is_empty());
}

#[tokio::test]
async fn a_body_in_pieces_is_bounded_like_any_other() {
    let app = TestApp::new().await;
    let pieces = |count: usize| {
        let piece = Ok::<_, Infallible>(Bytes::from(vec![b' '; 64 * 1024]));
        Body::from_stream(futures_util::stream::iter(vec![piece; count]))
    };
    let post = || request(Method::POST, &app.shop, "/v1/orders").header(header::CONTENT_TYPE, "application/json");
    let answer = app.send(post().body(pieces(17)).unwrap()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
    let answer = app.send(post().header("idempotency-key", "k").body(pieces(16)).unwrap()).await;
    assert_eq!(answer.code(), "malformed_json", "a MiB is not too large");
}

#[tokio::test]
async fn json_that_parses_is_never_400() {
    let app = TestApp::new().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in
        ["null", "[]", "7", "\"x\"", "{}", r#"{"lines":{}}"#, r#"{"lines":[1e999]}"#, r#"{"a":"\ud800"}"#, &deep]
    {
        let post = request(Method::POST, &app.shop, "/v1/orders")
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", "k");
        let answer = app.send(post.body(Body::from(body.to_owned())).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"), "{answer:?}");
    }
}

#[tokio::test]
async fn an_unknown_path_or_method_is_a_problem_too() {
    let app = TestApp::new().await;
    let answer = app.get(&app.shop, "/v1/nothing").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code(), answer.body["instance"].as_str()),
        (404, "not_found", Some("/v1/nothing"))
    );
    let answer = app.put(&app.shop, "/v1/orders", &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (405, "method_not_allowed"));
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("POST")), "{answer:?}");
    assert_eq!(app.get(NOBODY, "/v1/nothing").await.status.as_u16(), 401);
    for verb in ["skip", "compensate", "pause", "resume"] {
        let path = format!("/v1/sagas/sag_00000000000000000000000000000000/{verb}");
        assert_eq!(app.post(&app.operator, &path, &json!({ "reason": "x" })).await.status.as_u16(), 404);
    }
}

#[tokio::test]
async fn openapi_needs_no_key() {
    let app = TestApp::new().await;
    let request = axum::http::Request::builder().uri("/openapi.json").body(Body::empty()).unwrap();
    let answer = app.send(request).await;
    assert_eq!((answer.status, answer.body["info"]["title"].as_str()), (StatusCode::OK, Some("Waybill")));
}

/// What a client on a real socket reads back after it has sent all of a body this large.
async fn sent_over_a_socket(app: &TestApp, bytes: usize) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let router = app.router.clone();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n",
        app.shop
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![b' '; bytes]).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    server.abort();
    answer
}

#[tokio::test]
async fn the_answer_to_a_body_up_to_two_mib_arrives() {
    let app = TestApp::new().await;
    let answer = sent_over_a_socket(&app, 2 * 1024 * 1024).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
}
