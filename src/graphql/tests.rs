//! Over HTTP, as a client would.
use super::router;
use axum::http::{Method, StatusCode};
use eventstore::{ApiKeys, MemoryEventStore, Position, Role, Shop, Shops, testing::TestPostgres};
use queries::graphql::GraphQl;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};
use tokio::{net::TcpListener, sync::watch};

struct Server {
    url: String,
    key: String,
    client: Client,
    applied: watch::Sender<Position>,
    pool: sqlx::PgPool,
}

impl Server {
    async fn start() -> Server {
        let pool = TestPostgres::shared().await.database().await.pool().await;
        let store = Arc::new(MemoryEventStore::default());
        let shop = Shop { id: "dev".to_owned(), time_zone: "UTC".to_owned(), defaults: json!({}) };
        Shops::new(store.clone()).create_shop(&shop).await.unwrap();
        let graphql = GraphQl::new(pool.clone(), store.clone());
        let keys = Arc::new(ApiKeys::new(store));
        let (_, key) = keys.create("shop", Role::Shop, Some("dev")).await.unwrap();
        let (applied, receiver) = watch::channel(Position::ZERO);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/graphql", listener.local_addr().unwrap());
        let router = router(graphql, receiver, keys);
        tokio::spawn(async move { axum::serve(listener, router).await });
        crate::tls::install_crypto_provider();
        Server { url, key, client: Client::builder().build().unwrap(), applied, pool }
    }

    /// As a client that has read the contract asks.
    fn post(&self, body: &Value) -> RequestBuilder {
        self.client.post(&self.url).bearer_auth(&self.key).json(body)
    }

    /// The read model has come so far.
    async fn applies(&self, position: i64) {
        let insert =
            "INSERT INTO read.projections (name, version, log, incarnation, position) VALUES ('read', 1, 0, 1, $1)
            ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position";
        sqlx::query(insert).bind(position).execute(&self.pool).await.unwrap();
        self.applied.send_replace(Position(position));
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn problem(response: Response, status: StatusCode, code: &str) {
    assert_eq!(response.status(), status);
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    let request_id = header(&response, "request-id").to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(status.as_u16())));
    assert_eq!((&body["instance"], &body["request_id"]), (&json!("/graphql"), &json!(request_id)));
}

#[tokio::test]
async fn a_query_is_answered_with_the_position_that_it_reflects() {
    let server = Server::start().await;
    server.applies(7).await;
    let query = "query($first: Int) { orders(first: $first) { totalCount } }";
    let response = server.post(&json!({"query": query, "variables": {"first": 1}})).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), "application/json");
    assert_eq!(header(&response, "waybill-position"), "7");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body, json!({"data": {"orders": {"totalCount": 0}}}));
}

#[tokio::test]
async fn without_a_key_nothing_is_answered() {
    let server = Server::start().await;
    let body = json!({"query": "{ __typename }"});
    let no_key = server.client.post(&server.url).json(&body).send().await.unwrap();
    assert_eq!(header(&no_key, "www-authenticate"), "Bearer");
    problem(no_key, StatusCode::UNAUTHORIZED, "unauthenticated").await;
    let wrong = server.client.post(&server.url).bearer_auth("wbk_nonsense").json(&body).send().await.unwrap();
    problem(wrong, StatusCode::UNAUTHORIZED, "unauthenticated").await;
}

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_as_the_contract_says() {
    let server = Server::start().await;
    let post = |content_type: &str, body: String| {
        let request = server.client.post(&server.url).bearer_auth(&server.key);
        request.header("content-type", content_type).body(body).send()
    };
    let response = post("text/plain", "{}".to_owned()).await.unwrap();
    problem(response, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type").await;
    let response = post("application/json; charset=utf-8", "{".to_owned()).await.unwrap();
    problem(response, StatusCode::BAD_REQUEST, "malformed_json").await;
    let response = post("application/json", " ".repeat(1024 * 1024 + 1)).await.unwrap();
    problem(response, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").await;
    let response = server.client.request(Method::PUT, &server.url).send().await.unwrap();
    assert_eq!(header(&response, "allow"), "GET,HEAD,POST");
    problem(response, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").await;

    for body in [json!([]), json!({}), json!({"query": 5}), json!({"query": "{ nothing }"})] {
        let response = server.post(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "waybill-position"), "0");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["code"], json!("BAD_USER_INPUT"), "{body}");
    }
}

#[tokio::test]
async fn a_query_waits_for_the_position_that_it_must_reflect() {
    let server = Server::start().await;
    server.applies(1).await;
    let ask = |after: &str| server.post(&json!({"query": "{ __typename }"})).header("waybill-after", after).send();
    let (answer, ()) = tokio::join!(ask("9"), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        server.applies(9).await;
    });
    assert_eq!(header(&answer.unwrap(), "waybill-position"), "9");

    let started = Instant::now();
    let late = ask("10").await.unwrap();
    assert!(started.elapsed().as_secs_f64() > 4.9);
    assert_eq!(header(&late, "waybill-position"), "9");
    let body: Value = late.json().await.unwrap();
    assert_eq!(
        body["errors"][0]["extensions"],
        json!({"code": "POSITION_NOT_REACHED", "wanted": "10", "reached": "9"})
    );
    for nonsense in ["", "-1", "x", "99999999999999999999"] {
        let body: Value = ask(nonsense).await.unwrap().json().await.unwrap();
        assert_eq!(body["errors"][0]["extensions"]["code"], json!("BAD_USER_INPUT"), "{nonsense}");
    }
}

#[tokio::test]
async fn the_page_needs_no_key_and_nothing_from_elsewhere() {
    let server = Server::start().await;
    let page = server.client.get(&server.url).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(header(&page, "content-security-policy").contains("script-src 'self'"));
    let html = page.text().await.unwrap();
    assert!(!html.contains("http://") && !html.contains("https://"));
    for (asset, content_type) in
        [("graphiql.js", "text/javascript; charset=utf-8"), ("graphiql.css", "text/css; charset=utf-8")]
    {
        assert!(html.contains(&format!("/graphql/assets/{asset}")));
        let url = format!("{}/assets/{asset}", server.url);
        let response = server.client.get(&url).send().await.unwrap();
        assert_eq!(header(&response, "content-type"), content_type);
        let etag = header(&response, "etag").to_owned();
        let again = server.client.get(&url).header("if-none-match", etag).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn an_answer_as_of_then_tells_the_position_of_then() {
    let server = Server::start().await;
    server.applies(7).await;
    let ask = |as_of: Value| {
        let query = "query($asOf: AsOf) { order(ref: \"r-1\", asOf: $asOf) { id } }";
        server.post(&json!({"query": query, "variables": {"asOf": as_of}})).send()
    };
    let response = ask(json!({"position": "0"})).await.unwrap();
    assert_eq!(header(&response, "waybill-position"), "0");
    assert_eq!(response.json::<Value>().await.unwrap(), json!({"data": {"order": null}}));
    let response = ask(json!({"time": "2999-01-01T00:00:00Z"})).await.unwrap();
    assert_eq!(header(&response, "waybill-position"), "0", "the log's own head");
    let response = ask(Value::Null).await.unwrap();
    assert_eq!(header(&response, "waybill-position"), "7");
}
