//! The contract over the router, on the store in memory: as a client sees it.
mod begins;
mod checks;
mod described;
mod idempotency;
mod newer;
mod orders;
mod people;
mod repeats;
mod returns;
mod sagas;
mod waits;
mod warehouse;

use super::{AppState, Follower, router};
use crate::{
    history::{Change, History},
    locations::LocationModes,
    outcomes::Outcomes,
    personal::ShopDefaults,
};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use chrono::Utc;
use domain::{Event, OrderId};
use eventstore::{
    Actor, ActorKind, ApiKeys, EventStore, MemoryEventStore, Metadata, RecordedEvent, Role, Shop, Shops, Source, Vault,
};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tower::ServiceExt;
use uuid::Uuid;

/// A server without a socket, shop `dev` with its defaults, and a key a role.
pub(super) struct TestApp {
    pub(super) router: Router,
    pub(super) store: Arc<MemoryEventStore>,
    pub(super) vault: Arc<Vault>,
    pub(super) keys: Arc<ApiKeys>,
    pub(super) shops: Arc<Shops>,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) shop: String,
    pub(super) warehouse: String,
    pub(super) support: String,
    pub(super) operator: String,
    next: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// `path code` of each fault, sorted.
    pub(super) fn faults(&self) -> Vec<String> {
        let faults = self.body["errors"].as_array().cloned().unwrap_or_default();
        let told = faults.iter().map(|f| format!("{} {}", f["path"].as_str().unwrap(), f["code"].as_str().unwrap()));
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    }

    /// What makes two answers to one request the same.
    pub(super) fn identity(&self) -> (&Value, &Value, &Value) {
        (&self.body["order_id"], &self.body["position"], &self.body["version"])
    }
}

impl TestApp {
    pub(super) async fn new() -> TestApp {
        TestApp::on(Arc::new(MemoryEventStore::default()), None).await
    }

    /// On a store of its own, behind another that gets in the way of appends.
    pub(super) async fn on(store: Arc<MemoryEventStore>, front: Option<Arc<dyn EventStore>>) -> TestApp {
        TestApp::followed(store, front, None).await
    }

    /// Beside someone who drives sagas.
    pub(super) async fn followed(
        store: Arc<MemoryEventStore>,
        front: Option<Arc<dyn EventStore>>,
        follower: Option<Arc<dyn Follower>>,
    ) -> TestApp {
        let front = front.unwrap_or_else(|| store.clone());
        let keys = Arc::new(ApiKeys::new(store.clone()));
        let shops = Arc::new(Shops::new(store.clone()));
        let defaults = serde_json::to_value(ShopDefaults::dev()).unwrap();
        shops.create_shop(&Shop { id: "dev".into(), time_zone: "UTC".into(), defaults }).await.unwrap();
        let vault = Arc::new(Vault::new(&[7; 32], store.clone(), front.clone()));
        let outcomes = Outcomes::new();
        let state = AppState {
            store: front.clone(),
            vault: vault.clone(),
            keys: keys.clone(),
            shops: shops.clone(),
            outcomes: outcomes.clone(),
            locations: LocationModes::new(front),
            clock: Utc::now,
            app_version: "test".into(),
            follower,
        };
        let key = async |role, shop| keys.create("test", role, shop).await.unwrap().1;
        TestApp {
            router: router(state),
            shop: key(Role::Shop, Some("dev")).await,
            warehouse: key(Role::Warehouse, None).await,
            support: key(Role::Support, None).await,
            operator: key(Role::Operator, None).await,
            store,
            vault,
            keys,
            shops,
            outcomes,
            next: AtomicU64::new(0),
        }
    }

    /// A shop without defaults, and its key.
    pub(super) async fn another_shop(&self, id: &str) -> String {
        let shop = Shop { id: id.into(), time_zone: "Europe/Berlin".into(), defaults: json!({}) };
        self.shops.create_shop(&shop).await.unwrap();
        self.keys.create("test", Role::Shop, Some(id)).await.unwrap().1
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        if status.is_client_error() || status.is_server_error() {
            assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
            assert_eq!(body["status"], status.as_u16());
            assert_eq!(body["request_id"].as_str(), headers["request-id"].to_str().ok());
            for member in ["type", "title", "detail", "instance", "code"] {
                assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {body}");
            }
        }
        Answer { status, headers, body }
    }

    pub(super) async fn get(&self, key: &str, path: &str) -> Answer {
        self.send(request(Method::GET, key, path).body(Body::empty()).unwrap()).await
    }

    /// Under a new idempotency key.
    pub(super) async fn post(&self, key: &str, path: &str, body: &Value) -> Answer {
        let fresh = format!("key-{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.post_as(key, &fresh, path, body, &[]).await
    }

    pub(super) async fn post_as(
        &self,
        key: &str,
        idempotency: &str,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = request(Method::POST, key, path)
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", idempotency);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(super) async fn put(&self, key: &str, path: &str, body: &Value) -> Answer {
        let request = request(Method::PUT, key, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Places an order, which must go well.
    pub(super) async fn place(&self, order_ref: &str) -> Answer {
        let placed = self.post(&self.shop, "/v1/orders", &order(order_ref)).await;
        assert_eq!(placed.status, StatusCode::ACCEPTED, "{placed:?}");
        placed
    }

    pub(super) async fn events(&self) -> Vec<RecordedEvent> {
        self.store.read_log(eventstore::Position::ZERO, 10_000).await.unwrap()
    }

    pub(super) async fn history(&self, id: &Value) -> History {
        let order: OrderId = id.as_str().unwrap().parse().unwrap();
        History::load(&*self.store, order).await.unwrap().unwrap()
    }

    /// What the saga would have written.
    pub(super) async fn happened(&self, id: &Value, events: &[Event]) -> History {
        let mut history = self.history(id).await;
        history.commit(&*self.store, events, metadata(history.order.0), Change::default()).await.unwrap();
        history
    }
}

pub(super) fn metadata(correlation_id: Uuid) -> Metadata {
    Metadata {
        command_id: Uuid::now_v7(),
        causation_id: None,
        correlation_id,
        actor: Actor { kind: ActorKind::Saga, id: "fulfillment".into(), key: None, on_behalf_of: None },
        source: Source::Saga,
        reason_code: None,
        occurred_at: Utc::now(),
        trace_id: None,
        app_version: "test".into(),
    }
}

pub(super) fn request(method: Method, key: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {key}"))
}

/// As small as an order can be.
pub(super) fn order(order_ref: &str) -> Value {
    json!({ "order_ref": order_ref, "customer_ref": "c-1", "currency": "USD",
        "lines": [{ "sku": "apple", "quantity": 2, "line_total": "10.00" }, { "sku": "pear", "quantity": 1, "line_total": "5.00" }] })
}
