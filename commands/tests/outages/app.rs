//! The API on PostgreSQL by way of a wire that can be cut, and hands on the database beside it.
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use commands::personal::ShopDefaults;
use commands::{AppState, LocationModes, Outcomes, router};
use eventstore::sql::Options;
use eventstore::testing::{Proxy, TestDatabase};
use eventstore::{ApiKeys, EventStore, Limits, Log, PgEventStore, Role, Shop, Shops, Vault};
use serde_json::{Value, json};
use sqlx::{PgPool, Postgres, Transaction};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) key: String,
    pub(crate) proxy: Proxy,
    direct: PgPool,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl App {
    pub(crate) async fn on(database: TestDatabase, limits: Limits) -> App {
        let proxy = Proxy::before(&database).await;
        let pool = proxy.database(&database).pool_of(8, Duration::from_millis(500)).await;
        let pg = Arc::new(PgEventStore::connect(pool, Log::MAIN, Options { limits }).await.unwrap());
        let store: Arc<dyn EventStore> = pg.clone();
        let (keys, shops) = (Arc::new(ApiKeys::new(pg.clone())), Arc::new(Shops::new(pg.clone())));
        let defaults = serde_json::to_value(ShopDefaults::dev()).unwrap();
        shops.create_shop(&Shop { id: "dev".into(), time_zone: "UTC".into(), defaults }).await.unwrap();
        let key = keys.create("test", Role::Shop, Some("dev")).await.unwrap().1;
        let state = AppState {
            store: store.clone(),
            vault: Arc::new(Vault::new(&[7; 32], pg.clone(), store.clone())),
            keys,
            shops,
            outcomes: Outcomes::new(),
            locations: LocationModes::new(store),
            clock: chrono::Utc::now,
            app_version: "test".into(),
            follower: None,
        };
        App { router: router(state), key, proxy, direct: database.pool().await }
    }

    /// How many orders there are of this ref.
    pub(crate) async fn count(&self, reference: &str) -> i64 {
        let count = "SELECT count(*) FROM events WHERE type = 'OrderPlaced' AND payload ->> 'order_ref' = $1";
        loop {
            // A stopped server has ended the pool's connections too.
            if let Ok(count) = sqlx::query_scalar(count).bind(reference).fetch_one(&self.direct).await {
                return count;
            }
        }
    }

    /// Holds up every append until the transaction ends.
    pub(crate) async fn hold_log(&self) -> Transaction<'static, Postgres> {
        let mut holder = self.direct.begin().await.unwrap();
        sqlx::query("SELECT pg_advisory_xact_lock(log_lock(), 0)").execute(&mut *holder).await.unwrap();
        holder
    }

    pub(crate) async fn wait_until_one_waits(&self) {
        let count = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%append_batch%'";
        while sqlx::query_scalar::<_, i64>(count).fetch_one(&self.direct).await.unwrap() != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// As small as an order can be.
pub(crate) fn order(reference: &str) -> Value {
    json!({ "order_ref": reference, "customer_ref": "c-1", "currency": "USD",
        "lines": [{ "sku": "apple", "quantity": 2, "line_total": "10.00" }] })
}

/// Places an order; its ref is its idempotency key too.
pub(crate) async fn post(router: Router, key: String, reference: String, body: Value) -> Answer {
    let request = Request::post("/v1/orders")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("idempotency-key", reference)
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap() }
}
