//! Killed between the commit and the answer: who asks again under the same key learns what was done, and nothing is done twice.
use crate::support::{
    app::TestApp,
    client::{Answer, order, unique},
    wire::Wire,
};
use eventstore::testing::TestPostgres;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use std::time::Duration;

const COMMITTED_WITHIN: Duration = Duration::from_secs(30);

/// What a key's claim says, once it is committed: who holds it, and where it was written.
async fn committed(pool: &PgPool, table: &str, key: &str) -> (String, String) {
    let look = async {
        let query = format!("SELECT holder, position::text FROM {table} WHERE key = $1");
        loop {
            let found = sqlx::query_as(AssertSqlSafe(query.clone())).bind(key).fetch_optional(pool).await.unwrap();
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(COMMITTED_WITHIN, look).await.expect("it is committed")
}

struct Lossy {
    app: TestApp,
    wire: Wire,
    pool: PgPool,
}

impl Lossy {
    fn request(&self, role: &str, key: &str, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.app.client.request(role, Method::POST, path).header("idempotency-key", key).json(body)
    }

    /// Sends it, loses the answer to its append, kills the process once the append is committed, and starts it again.
    async fn killed_before_the_answer(
        &mut self,
        role: &str,
        key: &str,
        path: &str,
        body: &Value,
        table: &str,
    ) -> (String, String) {
        self.wire.lose_answers_to_appends(true);
        let unanswered = tokio::spawn(self.request(role, key, path, body).send());
        let committed = committed(&self.pool, table, key).await;
        assert!(!unanswered.is_finished(), "nobody was told");
        self.app.kill_9().await;
        assert!(unanswered.await.unwrap().is_err(), "nor ever will be");
        self.wire.lose_answers_to_appends(false);
        self.app.run().await;
        committed
    }

    async fn again(&self, role: &str, key: &str, path: &str, body: &Value) -> Answer {
        let answer = self.app.client.send(self.request(role, key, path, body).header("prefer", "wait=30")).await;
        assert_eq!(answer.headers["idempotent-replayed"], "true", "{}", answer.body);
        answer
    }

    async fn events(&self, event_type: &str) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM events WHERE type = $1").bind(event_type);
        count.fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_between_commit_and_answer_gives_the_same_answer_after_its_restart() {
    let database = TestPostgres::shared().await.database().await;
    let wire = Wire::to(database.url()).await;
    let app = TestApp::start_with("repeats", &[("DATABASE_URL", &wire.database_url)]).await;
    let mut lossy = Lossy { app, wire, pool: database.pool().await };
    let sku = unique("sku");
    lossy.app.client.receive(&sku, 5).await;

    // An order, whose key lives as long as it does.
    let (key, placed) = (unique("key"), order(&sku, 2, "tok_ok"));
    let (holder, _) = lossy.killed_before_the_answer("shop", &key, "/v1/orders", &placed, "claims").await;
    let position: String = sqlx::query_scalar("SELECT position::text FROM events WHERE type = 'OrderPlaced'")
        .fetch_one(&lossy.pool)
        .await
        .unwrap();
    let told = lossy.again("shop", &key, "/v1/orders", &placed).await;
    assert_eq!((told.status, &told.body["status"]), (StatusCode::OK, &json!("COMPLETED")), "its wait is honoured");
    assert_eq!(
        (&told.body["order_id"], &told.body["position"], &told.body["version"]),
        (&json!(holder), &json!(position), &json!(1))
    );
    assert_eq!(lossy.events("OrderPlaced").await, 1);
    assert_eq!(lossy.app.client.ledger("payment", &holder).await, ["authorize", "capture"]);

    // Goods in, whose key is forgotten after a day or two.
    let (key, path) = (unique("key"), "/v1/stock/receipts");
    let receipt = json!({"ref": unique("receipt"), "location": "main", "lines": [{"sku": sku, "quantity": 7}]});
    let (_, position) = lossy.killed_before_the_answer("warehouse", &key, path, &receipt, "expiring_claims").await;
    let told = lossy.again("warehouse", &key, path, &receipt).await;
    assert_eq!((told.status, &told.body["position"]), (StatusCode::OK, &json!(position)));
    assert_eq!(lossy.events("StockReceived").await, 2, "the first, and this one once");
    let free: i64 = sqlx::query_scalar("SELECT balance FROM balances WHERE account = $1")
        .bind(format!("stock:dev/main/{sku}"))
        .fetch_one(&lossy.pool)
        .await
        .unwrap();
    assert_eq!(free, 5 - 2 + 7);
    lossy.app.assert_verified().await;
    lossy.app.stop().await;
}
