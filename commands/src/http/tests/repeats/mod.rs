//! A request sent again: a hundred times at once, through two instances on one store, after another body, after its key is forgotten. For
//! every route that takes a key, on the store in memory and on PostgreSQL.
mod routes;

use super::{Answer, metadata, order, orders::id_of, request};
use crate::{
    history::{Change, History},
    http::{AppState, router},
    locations::LocationModes,
    outcomes::Outcomes,
    personal::ShopDefaults,
};
use axum::{
    Router,
    body::Body,
    http::{Method, StatusCode, header},
};
use chrono::Utc;
use domain::{Event, OrderId};
use eventstore::{
    ApiKeys, EventStore, Log, MemoryEventStore, PgEventStore, Position, Role, Shop, Shops, Vault,
    contract::{age::AgeClaims, race::all_at_once},
    keys::KeyStore,
    shops::ShopStore,
    testing::TestPostgres,
    vault::PersonKeys,
};
use routes::{Case, ROUTES};
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

pub(super) const REPEATS: usize = 100;

/// Everything that one store has to be.
pub(super) trait Store: EventStore + KeyStore + ShopStore + PersonKeys + AgeClaims + 'static {}
impl<S: EventStore + KeyStore + ShopStore + PersonKeys + AgeClaims + 'static> Store for S {}

/// Two processes, each with its own memory of what is under way.
pub(super) struct Two<S> {
    pub(super) store: Arc<S>,
    routers: [Router; 2],
    outcomes: [Arc<Outcomes>; 2],
    shop: String,
    other_shop: String,
    warehouse: String,
    operator: String,
}

async fn instance<S: Store>(store: &Arc<S>) -> (Router, Arc<Outcomes>) {
    let outcomes = Outcomes::new();
    let state = AppState {
        store: store.clone(),
        vault: Arc::new(Vault::new(&[7; 32], store.clone(), store.clone())),
        keys: Arc::new(ApiKeys::new(store.clone())),
        shops: Arc::new(Shops::new(store.clone())),
        outcomes: outcomes.clone(),
        locations: LocationModes::new(store.clone()),
        clock: Utc::now,
        app_version: "test".into(),
        follower: None,
    };
    (router(state), outcomes)
}

impl<S: Store> Two<S> {
    /// `one` and `two` are the same store, each as one process has it.
    pub(super) async fn new(one: Arc<S>, two: Arc<S>) -> Two<S> {
        let shops = Shops::new(one.clone());
        let defaults = serde_json::to_value(ShopDefaults::dev()).unwrap();
        for id in ["dev", "east"] {
            let shop = Shop { id: id.into(), time_zone: "UTC".into(), defaults: defaults.clone() };
            shops.create_shop(&shop).await.unwrap();
        }
        let keys = ApiKeys::new(one.clone());
        let key = async |role, shop| keys.create("test", role, shop).await.unwrap().1;
        let (first, second) = (instance(&one).await, instance(&two).await);
        Two {
            routers: [first.0, second.0],
            outcomes: [first.1, second.1],
            shop: key(Role::Shop, Some("dev")).await,
            other_shop: key(Role::Shop, Some("east")).await,
            warehouse: key(Role::Warehouse, Some("dev")).await,
            operator: key(Role::Operator, None).await,
            store: one,
        }
    }

    fn key_of(&self, role: Role) -> &str {
        match role {
            Role::Shop => &self.shop,
            Role::Warehouse => &self.warehouse,
            Role::Support | Role::Operator => &self.operator,
        }
    }

    pub(super) async fn post(&self, instance: usize, api_key: &str, key: &str, path: &str, body: &Value) -> Answer {
        self.prefer(instance, api_key, key, path, body, "handling=lenient").await
    }

    async fn prefer(
        &self,
        instance: usize,
        api_key: &str,
        key: &str,
        path: &str,
        body: &Value,
        prefer: &str,
    ) -> Answer {
        let request = request(Method::POST, api_key, path)
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
            .header("prefer", prefer);
        self.send(instance, request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn send(&self, instance: usize, request: axum::http::Request<Body>) -> Answer {
        let response = self.routers[instance % 2].clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap() }
    }

    /// As a patient client does it: what is still in flight is asked again.
    async fn ask(&self, instance: usize, case: &Case, key: &str, body: &Value) -> Answer {
        loop {
            let answer = self.post(instance, self.key_of(case.role), key, &case.path, body).await;
            if answer.code() != "idempotency_key_in_flight" {
                return answer;
            }
        }
    }

    pub(super) async fn place(&self, order_ref: &str) -> OrderId {
        let placed = self.post(0, &self.shop, order_ref, "/v1/orders", &order(order_ref)).await;
        assert_eq!(placed.status, StatusCode::ACCEPTED, "{placed:?}");
        id_of(&placed.body)
    }

    /// For a customer with a name, who so becomes a person.
    pub(super) async fn place_for(&self, order_ref: &str, customer: &str) -> OrderId {
        let mut body = order(order_ref);
        body.as_object_mut().unwrap().remove("customer_ref");
        body["customer"] = json!({ "ref": customer, "name": "Ada" });
        let placed = self.post(0, &self.shop, order_ref, "/v1/orders", &body).await;
        assert_eq!(placed.status, StatusCode::ACCEPTED, "{placed:?}");
        id_of(&placed.body)
    }

    pub(super) async fn history(&self, order: OrderId) -> History {
        History::load(&*self.store, order).await.unwrap().unwrap()
    }

    /// What the saga would have written.
    pub(super) async fn happened(&self, order: OrderId, events: &[Event]) -> Position {
        let mut history = self.history(order).await;
        history.commit(&*self.store, events, metadata(order.0), Change::default()).await.unwrap().last
    }

    pub(super) async fn free(&self, sku: &str) -> i64 {
        let account = format!("stock:dev/main/{sku}");
        self.store.balances(&[account]).await.unwrap().first().map_or(0, |(_, balance)| *balance)
    }

    async fn head(&self) -> i64 {
        self.store.head().await.unwrap().position.0
    }
}

/// Makes of each function a test on both stores.
macro_rules! on_both_stores {
    ($($name:ident,)+) => {
        mod in_memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let store: Arc<MemoryEventStore> = Arc::default();
                super::$name(Arc::new(Two::new(store.clone(), store).await)).await;
            })+
        }
        mod on_postgres {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let database = TestPostgres::shared().await.database().await;
                let connect = async || {
                    let pool = database.pool().await;
                    Arc::new(PgEventStore::connect(pool, Log::MAIN, eventstore::sql::Options::default()).await.unwrap())
                };
                super::$name(Arc::new(Two::new(connect().await, connect().await).await)).await;
            })+
        }
    };
}

on_both_stores! {
    of_a_hundred_repeats_at_once_one_acts_and_all_are_answered_the_same,
    a_hundred_settings_of_a_location_at_once_are_one,
    a_refused_command_uses_up_no_key,
    a_key_is_a_shop_s_and_a_route_s_own,
    a_command_repeated_after_its_key_is_forgotten_does_no_harm,
    a_repeat_through_another_instance_has_its_own_wait,
    an_erasure_repeated_late_leaves_whoever_came_after_alone,
}

/// Every answer's identity: all of the body but what is told as of now.
fn identity(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    for now in ["status", "status_reason", "stage", "state", "step", "open_orders", "open_order_count", "erased_at"] {
        body.as_object_mut().unwrap().remove(now);
    }
    body
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

async fn of_a_hundred_repeats_at_once_one_acts_and_all_are_answered_the_same<S: Store>(two: Arc<Two<S>>) {
    for route in ROUTES {
        let case = Arc::new(route.prepare(&two, "all").await);
        let before = two.head().await;
        let answers = all_at_once((0..REPEATS).map(|n| {
            let (two, case) = (two.clone(), case.clone());
            async move { two.ask(n, &case, "all", &case.body).await }
        }))
        .await;
        assert!(answers.iter().all(|answer| answer.status.is_success()), "{route:?}: {answers:?}");
        let first: Vec<_> = answers.iter().filter(|answer| !is_replayed(answer)).collect();
        let [first] = first.as_slice() else { panic!("{route:?}: {} acted", first.len()) };
        assert!(answers.iter().all(|answer| identity(answer) == identity(first)), "{route:?}: {answers:?}");
        assert_eq!(first.body["position"], two.head().await.to_string(), "{route:?}");
        assert_eq!(two.head().await - before, case.events, "{route:?}");
        assert!(route.acted_once(&two, &case).await, "{route:?}");

        // Another body under this key is refused, here and there, and changes nothing.
        for instance in 0..2 {
            let other = two.ask(instance, &case, "all", &case.other).await;
            let told = (other.status, other.code());
            assert_eq!(told, (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"), "{route:?}");
            let again = two.ask(instance, &case, "all", &case.body).await;
            assert_eq!((is_replayed(&again), identity(&again)), (true, identity(first)), "{route:?}");
        }
        assert_eq!(two.head().await - before, case.events, "{route:?}");
    }
}

/// A PUT needs no key: it says how it is to be.
async fn a_hundred_settings_of_a_location_at_once_are_one<S: Store>(two: Arc<Two<S>>) {
    let before = two.head().await;
    let answers = all_at_once((0..REPEATS).map(|n| {
        let two = two.clone();
        async move {
            loop {
                let request = request(Method::PUT, &two.warehouse, "/v1/locations/main");
                let body = Body::from(json!({ "mode": "AUTO" }).to_string());
                let request = request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap();
                let answer = two.send(n, request).await;
                if answer.code() != "unavailable" {
                    return answer;
                }
            }
        }
    }))
    .await;
    let set = json!({ "location": "main", "mode": "AUTO", "position": (before + 1).to_string() });
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK && answer.body == set), "{answers:?}");
    assert_eq!(two.head().await, before + 1);
}

async fn a_refused_command_uses_up_no_key<S: Store>(two: Arc<Two<S>>) {
    for route in ROUTES {
        let case = route.prepare(&two, "refused").await;
        let before = two.head().await;
        for (instance, refused) in case.refused.iter().enumerate() {
            let answer = two.ask(instance, &case, "refused", refused).await;
            assert!(answer.status.is_client_error(), "{route:?}: {answer:?}");
        }
        assert_eq!(two.head().await, before, "{route:?}");
        let good = two.ask(1, &case, "refused", &case.body).await;
        assert!(good.status.is_success() && !is_replayed(&good), "{route:?}: {good:?}");
        assert!(route.acted_once(&two, &case).await, "{route:?}");
    }
}

async fn a_key_is_a_shop_s_and_a_route_s_own<S: Store>(two: Arc<Two<S>>) {
    let mut cases = Vec::new();
    for route in ROUTES {
        cases.push((route, route.prepare(&two, &format!("{route:?}")).await));
    }
    for (route, case) in &cases {
        let answer = two.ask(0, case, "the same", &case.body).await;
        assert!(answer.status.is_success() && !is_replayed(&answer), "{route:?}: {answer:?}");
    }
    let mine = two.post(0, &two.shop, "shops", "/v1/orders", &order("r-1")).await;
    let theirs = two.post(1, &two.other_shop, "shops", "/v1/orders", &order("r-1")).await;
    assert_eq!((mine.status, theirs.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert!(!is_replayed(&theirs) && mine.body["order_id"] != theirs.body["order_id"]);
    // The same route for another order: that is another request.
    let other = two.place("another").await;
    let path = format!("/v1/orders/{other}/cancel");
    let answer = two.post(1, &two.shop, "the same", &path, &json!({ "reason": "all" })).await;
    assert_eq!(answer.code(), "idempotency_key_reused");
}

async fn a_command_repeated_after_its_key_is_forgotten_does_no_harm<S: Store>(two: Arc<Two<S>>) {
    for route in ROUTES {
        let case = route.prepare(&two, "late").await;
        let first = two.ask(0, &case, "late", &case.body).await;
        let before = two.head().await;
        two.store.age_claims(2).await;
        let late = two.ask(1, &case, "late", &case.body).await;
        route.assert_late(&first, &late);
        assert_eq!(two.head().await, before, "{route:?}: nothing is written");
        assert!(route.acted_once(&two, &case).await, "{route:?}");
    }
}

async fn a_repeat_through_another_instance_has_its_own_wait<S: Store>(two: Arc<Two<S>>) {
    use domain::order::{CancelReason, OrderCancelled};
    let first = two.post(0, &two.shop, "k", "/v1/orders", &order("r-1")).await;
    let id = id_of(&first.body);
    let impatient = two.prefer(1, &two.shop, "k", "/v1/orders", &order("r-1"), "wait=0").await;
    assert_eq!((impatient.status, impatient.header("preference-applied")), (StatusCode::ACCEPTED, Some("wait=0")));
    let ended = two.happened(id, &[OrderCancelled { reason: CancelReason::OutOfStock }.into()]).await;
    let patient = tokio::spawn({
        let two = two.clone();
        async move { two.prefer(1, &two.shop, "k", "/v1/orders", &order("r-1"), "wait=60").await }
    });
    // Whichever comes first, the wait or the read model.
    two.outcomes[1].applied(ended);
    let patient = patient.await.unwrap();
    assert_eq!((patient.status, &patient.body["status"]), (StatusCode::OK, &json!("CANCELLED")));
    assert_eq!((is_replayed(&patient), patient.identity()), (true, first.identity()));
    let without = two.post(0, &two.shop, "k", "/v1/orders", &order("r-1")).await;
    assert_eq!((without.status, without.header("preference-applied")), (StatusCode::ACCEPTED, None));
}

async fn an_erasure_repeated_late_leaves_whoever_came_after_alone<S: Store>(two: Arc<Two<S>>) {
    let case = routes::Route::Erase.prepare(&two, "late").await;
    let first = two.ask(0, &case, "k", &case.body).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{first:?}");
    let customer = case.path.split('/').nth(5).unwrap();
    let order = two.place_for("after", customer).await;
    two.store.age_claims(400).await;
    let head = two.head().await;
    for instance in 0..2 {
        let late = two.ask(instance, &case, "k", &case.body).await;
        assert_eq!((is_replayed(&late), identity(&late)), (true, identity(&first)));
        assert_ne!(late.body["open_orders"], json!([order.to_string()]));
    }
    assert_eq!(two.head().await, head, "nobody else is erased");
}
