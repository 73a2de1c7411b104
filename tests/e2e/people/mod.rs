//! People: nothing that names one lies open anywhere, and one who is erased is gone from everywhere while the books stay whole.
mod again;
mod search;

use crate::support::{
    app::{TestApp, text},
    client::{Answer, Client, unique},
};
use eventstore::StreamId;
use mirror::KafkaConfig;
use reqwest::{Method, StatusCode};
use search::Search;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use uuid::Uuid;

const WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// What names the person or would lead to them; each occurs in no other place of the world.
const SECRETS: &[&str] = &[
    "Zebulon",
    "Quackenbush",
    "zebulon.q@walrus-post.example",
    "walrus-post",
    "0177-8842-19",
    "77 Marzipan Crescent",
    "Hinterhof 9 Türe 4",
    "Gloriaville",
    "Norderney-Land",
    "QZ7 9XKV",
    "tok_slow_437",
    "tok_walrus_secret",
    "fp_walrus_9931",
    "203.0.113.177",
    "WalrusBrowser",
    "Hortensia",
    "Knolle mit Schleife",
];

const TOPIC: &str = "waybill.order.v1";

/// As a shop would send it; `token` pays.
fn order(customer: &str, sku: &str, token: &str) -> Value {
    let address = json!({
        "name": "Zebulon Quackenbush", "line1": "77 Marzipan Crescent", "line2": "Hinterhof 9 Türe 4",
        "city": "Gloriaville", "region": "Norderney-Land", "postal_code": "QZ7 9XKV", "country": "CH",
    });
    json!({
        "order_ref": unique("order"),
        "customer": {
            "ref": customer, "name": "Zebulon Quackenbush", "email": "zebulon.q@walrus-post.example", "phone": "+41 0177-8842-19",
        },
        "ship_to": address, "billing": address,
        "currency": "USD",
        "lines": [{"sku": sku, "quantity": 1, "line_total": "9.80"}],
        "payment": {"method": "card", "token": token, "fingerprint": "fp_walrus_9931"},
        "client": {"ip": "203.0.113.177", "user_agent": "WalrusBrowser/7 (Quackenbush)"},
        "metadata": {"gift": {"for": "Hortensia", "what": "Knolle mit Schleife"}},
    })
}

async fn mode(client: &Client, mode: &str) {
    let request = client.request("warehouse", Method::PUT, "/v1/locations/main").json(&json!({"mode": mode}));
    assert_eq!(client.send(request).await.status, StatusCode::OK);
}

async fn place(client: &Client, body: &Value, key: &str) -> Answer {
    let request = client.request("shop", Method::POST, "/v1/orders").header("idempotency-key", key).json(body);
    client.send(request).await
}

fn id(answer: &Answer) -> String {
    answer.body["order_id"].as_str().unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
}

async fn until_status(client: &Client, order: &str, status: &str) {
    let since = std::time::Instant::now();
    loop {
        let read = client.get("shop", &format!("/v1/orders/{order}")).await;
        if read.body["status"] == status {
            return;
        }
        assert!(since.elapsed() < WITHIN, "{order} is never {status}: {}", read.body);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn until_erased(client: &Client, customer: &str) -> Value {
    let since = std::time::Instant::now();
    loop {
        let read = client.get("support", &format!("/v1/shops/dev/customers/{customer}/erasure")).await;
        if read.body["status"] == "ERASED" {
            return read.body;
        }
        assert!(since.elapsed() < WITHIN, "never erased: {}", read.body);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn erase(client: &Client, customer: &str) -> Answer {
    let body = json!({"reason": "Zebulon Quackenbush asked us to"});
    client.post("operator", &format!("/v1/shops/dev/customers/{customer}/erase"), &body).await
}

/// Orders that end in every way, and requests that fail in most; answers the orders, the last of them open.
async fn a_full_run(client: &Client, customer: &str, sku: &str) -> Vec<String> {
    let mut orders = Vec::new();
    for token in ["tok_slow_437", "tok_decline", "tok_walrus_secret", "tok_flaky_2"] {
        let ended = client.order_to_its_end(&order(customer, sku, token)).await;
        assert_eq!(ended.status, StatusCode::OK, "{}", ended.body);
        orders.push(id(&ended));
    }
    // Asked again; asked otherwise under the same key; with faults; no JSON at all; for nowhere.
    let (body, key) = (order(customer, sku, "tok_ok"), unique("key"));
    let placed = place(client, &body, &key).await;
    assert_eq!(placed.status, StatusCode::ACCEPTED, "{}", placed.body);
    assert_eq!(place(client, &body, &key).await.headers["idempotent-replayed"], "true");
    orders.push(id(&placed));
    until_status(client, &orders[4], "COMPLETED").await;
    let other = order(customer, sku, "tok_ok");
    assert_eq!(place(client, &other, &key).await.body["code"], "idempotency_key_reused");
    let mut faulty = other.clone();
    faulty["customer"]["email"] = json!(["zebulon.q@walrus-post.example"]);
    faulty["Quackenbush"] = json!("Zebulon");
    faulty["ship_to"]["country"] = json!("Gloriaville");
    assert_eq!(place(client, &faulty, &unique("key")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let broken = client.request("shop", Method::POST, "/v1/orders").header("idempotency-key", unique("key"));
    let broken =
        broken.header("content-type", "application/json").body("{\"customer\": {\"name\": \"Zebulon Quackenbush\"");
    assert_eq!(client.send(broken).await.status, StatusCode::BAD_REQUEST);
    let mut nowhere = order(customer, sku, "tok_ok");
    nowhere["ship_to"]["country"] = json!("ZZ");
    let refused = place(client, &nowhere, &unique("key")).await;
    if refused.status == StatusCode::ACCEPTED {
        orders.push(id(&refused));
        until_status(client, orders.last().unwrap(), "CANCELLED").await;
    }
    let note = json!({"ref": unique("adjustment"), "location": "main", "sku": sku, "delta": -1, "reason": "dropped by Zebulon Quackenbush"});
    let adjusted = client.post("warehouse", "/v1/stock/adjustments", &note).await;
    assert_eq!(adjusted.status, StatusCode::OK, "{}", adjusted.body);
    // One that fails at the provider for a while, one that is cancelled with a reason, one that stays open.
    client.control("payment", json!({"mode": "down"})).await;
    let waits = place(client, &order(customer, sku, "tok_ok"), &unique("key")).await;
    orders.push(id(&waits));
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.control("payment", json!({"mode": "ok"})).await;
    until_status(client, orders.last().unwrap(), "COMPLETED").await;
    mode(client, "MANUAL").await;
    let cancelled = id(&place(client, &order(customer, sku, "tok_ok"), &unique("key")).await);
    until_status(client, &cancelled, "RELEASED").await;
    let reason = json!({"reason": "Zebulon Quackenbush changed his mind"});
    let answer = client.post("support", &format!("/v1/orders/{cancelled}/cancel"), &reason).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    until_status(client, &cancelled, "CANCELLED").await;
    orders.push(cancelled);
    let open = id(&place(client, &order(customer, sku, "tok_ok"), &unique("key")).await);
    until_status(client, &open, "RELEASED").await;
    let late = client.post("support", &format!("/v1/orders/{}/cancel", orders[0]), &reason).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    orders.push(open);
    orders
}

async fn totals(client: &Client, customer: &str) -> Value {
    let query = "query($ref: String!) { orders(first: 100, where: {customerRef: $ref}) { nodes { id total status
        payment { authorized captured } lines { shipped cancelled } } } }";
    let mut nodes = client.graphql("support", query, json!({"ref": customer})).await["orders"]["nodes"].take();
    nodes.as_array_mut().unwrap().sort_by_key(|node| node["id"].as_str().unwrap().to_owned());
    nodes
}

/// Everything that is kept, searched for what names the person, and for what must be found.
async fn nothing_names_them(app: &TestApp, customer: &str, order: &str) {
    let search = Search::new(SECRETS, &[customer, order, TOPIC]);
    let url = app.client.run["postgres"].as_str().unwrap();
    let mut database = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("CHECKPOINT").execute(&mut database).await.unwrap();
    let tables = search.database(&mut database).await;
    tables.has("tables", customer);
    let kafka = search.kafka(KafkaConfig::new(app.client.url("kafka"))).await;
    kafka.has("records", customer);
    let files = search.folder(&app.folder);
    files.has("postgres", customer);
    files.has("ledger.jsonl", order);
    files.has("waybill.log", order);
    if app.client.run["kafka_in_process"] != json!(true) {
        // Batches lie there compressed; what is in them was read above.
        files.has("/kafka/", TOPIC);
    }
    let found: Vec<_> = [tables, kafka, files].into_iter().flat_map(|found| found.secrets).collect();
    assert_eq!(found, Vec::<String>::new(), "these name the person");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_named_nowhere_and_once_erased_is_gone_while_the_books_stay_whole() {
    let app = TestApp::start_with("people", &[("WAYBILL_LOG", "debug")]).await;
    let client = &app.client;
    let (customer, sku) = (unique("customer-grep"), unique("sku"));
    client.receive(&sku, 100).await;
    let orders = a_full_run(client, &customer, &sku).await;
    let open = orders.last().unwrap();
    nothing_names_them(&app, &customer, &orders[0]).await;

    let asked = erase(client, &customer).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.body);
    assert_eq!((&asked.body["status"], &asked.body["open_orders"]), (&json!("WAITING"), &json!([open])));
    let again = erase(client, &customer).await;
    assert_eq!((again.status, &again.body["status"]), (StatusCode::OK, &json!("WAITING")));
    let before = totals(client, &customer).await;

    let shipped = client.post("warehouse", &format!("/v1/fulfillments/ful_{}/ship", &open[4..]), &json!({})).await;
    assert_eq!(shipped.status, StatusCode::OK, "{}", shipped.body);
    until_status(client, open, "COMPLETED").await;
    let erased = until_erased(client, &customer).await;
    assert_eq!(erased["open_order_count"], 0);

    is_gone(&app, &customer, &orders).await;
    let after = totals(client, &customer).await;
    for (before, after) in before.as_array().unwrap().iter().zip(after.as_array().unwrap()) {
        if before["id"] != json!(open) {
            assert_eq!(before, after, "totals stand as they were");
        }
    }
    app.assert_verified().await;
    nothing_names_them(&app, &customer, &orders[0]).await;

    mode(client, "AUTO").await;
    let new = client.order_to_its_end(&order(&customer, &sku, "tok_ok")).await;
    assert_eq!(new.body["status"], "COMPLETED", "{}", new.body);
    let query = "query($id: ID!) { order(id: $id) { customerErasedAt } }";
    let read = client.graphql("support", query, json!({"id": id(&new)})).await;
    assert_eq!(read["order"]["customerErasedAt"], Value::Null, "someone new");
    app.assert_verified().await;
}

/// The key is destroyed, the histories and both providers know, and it is on record for a restore.
async fn is_gone(app: &TestApp, customer: &str, orders: &[String]) {
    let client = &app.client;
    let mut database = PgConnection::connect(client.run["postgres"].as_str().unwrap()).await.unwrap();
    let person: (Uuid, bool) =
        sqlx::query_as("SELECT person, wrapped IS NULL FROM vault.person_keys WHERE former_ref = $1")
            .bind(customer)
            .fetch_one(&mut database)
            .await
            .unwrap();
    assert!(person.1, "nothing is left to open anything with");
    let stream = StreamId::new(person.0, "person");
    let query =
        "query($id: ID!) { order(id: $id) { customerRef customerErasedAt timeline { nodes { type summary } } } }";
    for order in orders {
        let since = std::time::Instant::now();
        let read = loop {
            let read = client.graphql("support", query, json!({"id": order})).await["order"].clone();
            if !read["customerErasedAt"].is_null() || since.elapsed() > WITHIN {
                break read;
            }
            tokio::time::sleep(PAUSE).await;
        };
        assert!(read["customerErasedAt"].is_string(), "{read}");
        assert_eq!(read["customerRef"], json!(customer), "the shop's own name for them stays");
        let last = read["timeline"]["nodes"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["summary"], "The customer's personal data was erased", "{read}");
        let trace = app.waybill(&["trace", order]).await;
        assert!(text(&trace.stdout).contains("personal data was erased"), "{}", text(&trace.stdout));
    }
    let read = |name: &str| std::fs::read_to_string(app.data_dir().join(name)).unwrap();
    let record = read("erasures.jsonl");
    assert!(record.contains(&person.0.to_string()) && record.contains(customer), "{stream}: {record}");
    for provider in ["payment", "shipping"] {
        let ledger = read(&format!("{provider}/ledger.jsonl"));
        let told =
            ledger.lines().find(|line| line.contains("forgotten")).unwrap_or_else(|| panic!("{provider}: {ledger}"));
        assert!(orders.iter().all(|order| told.contains(order)), "{told}");
        let entries = client.ledger(provider, &format!("per_{}", person.0.simple())).await;
        assert_eq!(entries, Vec::<String>::new(), "an erasure moves no money and no parcel");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_rotated_while_the_server_runs_and_nobody_notices() {
    let mut app = TestApp::start("rotation").await;
    let sku = unique("sku");
    app.client.receive(&sku, 100).await;
    let (old, gone, new) = (unique("old"), unique("gone"), unique("new"));
    let key = unique("key");
    mode(&app.client, "MANUAL").await;
    let body = order(&old, &sku, "tok_ok");
    let placed = place(&app.client, &body, &key).await;
    let open = id(&placed);
    until_status(&app.client, &open, "RELEASED").await;
    let first = std::fs::read_to_string(app.data_dir().join("master.key")).unwrap();
    mode(&app.client, "AUTO").await;
    assert_eq!(app.client.order_to_its_end(&order(&gone, &sku, "tok_ok")).await.status, StatusCode::OK);
    erase(&app.client, &gone).await;
    until_erased(&app.client, &gone).await;

    for _ in 0..2 {
        let rotated = app.waybill(&["keys", "rotate-master"]).await;
        let said = text(&rotated.stdout) + &text(&rotated.stderr);
        assert!(rotated.status.success() && said.contains("done"), "{said}");
    }
    let second = std::fs::read_to_string(app.data_dir().join("master.key")).unwrap();
    assert_ne!(first, second);
    let previous = std::fs::read_to_string(app.data_dir().join("previous-master.keys")).unwrap();
    assert_eq!((previous.lines().count(), previous.lines().last()), (2, Some(first.trim())));

    // The running server goes on with whom it knew, meets new ones, and knows a repeat.
    let shipped = app.client.post("warehouse", &format!("/v1/fulfillments/ful_{}/ship", &open[4..]), &json!({})).await;
    assert_eq!(shipped.status, StatusCode::OK, "{}", shipped.body);
    until_status(&app.client, &open, "COMPLETED").await;
    for customer in [&new, &old, &gone] {
        let ended = app.client.order_to_its_end(&order(customer, &sku, "tok_ok")).await;
        assert_eq!(ended.body["status"], "COMPLETED", "{customer}: {}", ended.body);
    }
    // So does one that starts without the keys of before.
    app.stop().await;
    std::fs::remove_file(app.data_dir().join("previous-master.keys")).unwrap();
    app.run().await;
    let again = place(&app.client, &body, &key).await;
    assert_eq!((id(&again), &again.headers["idempotent-replayed"]), (open.clone(), &"true".parse().unwrap()));
    let ended = app.client.order_to_its_end(&order(&old, &sku, "tok_ok")).await;
    assert_eq!(ended.body["status"], "COMPLETED", "{}", ended.body);
    assert_eq!(until_erased(&app.client, &gone).await["status"], "ERASED", "an erased person stays so");
    app.assert_verified().await;

    // And the key of before alone opens nothing, and says so.
    app.stop().await;
    std::fs::write(app.data_dir().join("master.key"), &first).unwrap();
    let refused = app.waybill(&["up"]).await;
    let said = text(&refused.stdout) + &text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("master key"), "{said}");
}
