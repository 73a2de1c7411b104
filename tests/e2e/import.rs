//! The real orders of the sample: imported, ended, verified; and imported again, which changes nothing.
use crate::support::app::{TestApp, text};
use serde_json::{Value, json};

pub(crate) const STOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/stock.csv");
pub(crate) const ORDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/orders.jsonl");
/// Lines of the sample with a quantity of 0, and those that cost nothing: see its README.
const REJECTED: u64 = 12;
pub(crate) const VALID: u64 = 288;

/// What stands beside `name` in the table at an import's end.
pub(crate) fn figure(table: &str, name: &str) -> u64 {
    let line = table.lines().find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{table}"));
    line.split_whitespace()
        .last()
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no number in {line}"))
}

pub(crate) async fn import(app: &TestApp, file: &str, more: &[&str]) -> String {
    let rejects = app.folder.join("rejected.jsonl").display().to_string();
    let output = app.waybill(&[&["import", file, "--rejects", &rejects], more].concat()).await;
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The sample ends the same way whatever happens on the way.
pub(crate) async fn assert_ended(app: &TestApp) {
    let count = "query($where: OrderWhere) { orders(where: $where) { totalCount } }";
    let of = async |filter: Value| {
        let data = app.client.graphql("support", count, json!({"where": filter})).await;
        data["orders"]["totalCount"].as_u64().unwrap()
    };
    let (completed, cancelled) = (of(json!({"status": "COMPLETED"})).await, of(json!({"status": "CANCELLED"})).await);
    assert_eq!((completed + cancelled, of(json!({})).await), (VALID, VALID));
    assert!(cancelled > 0 && completed > 200, "{completed} completed, {cancelled} cancelled");
    let reasons = "query { orders(where: {status: CANCELLED}, first: 200) { nodes { statusReason } } }";
    let data = app.client.graphql("support", reasons, json!({})).await;
    for node in data["orders"]["nodes"].as_array().unwrap() {
        assert_eq!(node["statusReason"], "out_of_stock");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_orders_end_and_the_books_balance_and_again_changes_nothing() {
    let app = TestApp::start("import").await;
    assert_eq!(figure(&import(&app, STOCK, &[]).await, "rows of goods in accepted now"), 2188);
    let table = import(&app, ORDERS, &["--wait"]).await;
    assert_eq!(figure(&table, "orders accepted now"), VALID, "{table}");
    assert_eq!(figure(&table, "orders rejected"), REJECTED, "{table}");
    assert_eq!(figure(&table, "lines[].quantity out_of_range"), REJECTED, "{table}");
    assert_eq!(figure(&table, "completed") + figure(&table, "cancelled"), VALID, "{table}");
    assert_eq!(figure(&table, "under way"), 0, "{table}");
    let rejects = std::fs::read_to_string(app.folder.join("rejected.jsonl")).unwrap();
    assert_eq!(rejects.lines().count() as u64, REJECTED);
    for line in rejects.lines() {
        let rejected: Value = serde_json::from_str(line).unwrap();
        let path = rejected["errors"][0]["path"].as_str().unwrap();
        assert!(path.starts_with("/lines/") && path.ends_with("/quantity"), "{line}");
    }
    assert_ended(&app).await;
    app.assert_verified().await;

    let data = app.client.graphql("support", "query { orders { totalCount } }", json!({})).await;
    let head = app.client.get("shop", "/v1/orders?ref=cj-31198570044").await.body["position"].clone();
    assert_eq!(figure(&import(&app, STOCK, &[]).await, "rows of goods in accepted before"), 2188);
    let again = import(&app, ORDERS, &["--wait"]).await;
    assert_eq!(
        (figure(&again, "orders accepted now"), figure(&again, "orders accepted before")),
        (0, VALID),
        "{again}"
    );
    assert_eq!(app.client.graphql("support", "query { orders { totalCount } }", json!({})).await, data);
    assert_eq!(app.client.get("shop", "/v1/orders?ref=cj-31198570044").await.body["position"], head);
    app.assert_verified().await;
}
