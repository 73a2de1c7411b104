//! Is it alive, may work be sent to it, and the numbers: `/healthz`, `/readyz`, `/metrics`. They need no key.
//!
//! Ready is judged by what this process is for: with the API it needs the store; without Kafka it is degraded, since orders are
//! taken all the same.
use crate::edge;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use eventstore::EventStore;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// How long the store may take to answer before it counts as down.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// How one part of the process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Part {
    Ok {
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// It works on, with less.
    Degraded { detail: String },
    /// Nothing works without it.
    Down { detail: String },
}

impl Part {
    pub const OK: Part = Part::Ok { detail: None };
}

/// What is known of each part. A part that was never reported is not needed here.
#[derive(Default)]
pub struct Health {
    store: OnceLock<Arc<dyn EventStore>>,
    pool: OnceLock<PgPool>,
    parts: Mutex<BTreeMap<&'static str, Part>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("parts", &self.parts).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: BTreeMap<&'static str, Part>,
}

impl Health {
    /// Says how a part is now.
    pub fn report(&self, name: &'static str, part: Part) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(name, part);
    }

    /// From now on the store is asked at every look.
    pub fn watch_store(&self, store: Arc<dyn EventStore>) {
        // Set once at start; a second time would be the same store.
        let _ = self.store.set(store);
    }

    /// From now on its connections are counted at every look at the metrics.
    pub fn watch_pool(&self, pool: PgPool) {
        // Set once at start, like the store.
        let _ = self.pool.set(pool);
    }

    fn measure(&self) {
        if let Some(pool) = self.pool.get() {
            let idle = pool.num_idle();
            let in_use = (pool.size() as usize).saturating_sub(idle);
            let most = pool.options().get_max_connections() as usize;
            for (state, count) in [("idle", idle), ("in_use", in_use), ("limit", most)] {
                gauge!("waybill_pool_connections", "state" => state).set(count as f64);
            }
        }
    }

    async fn readiness(&self) -> Readiness {
        let mut checks = self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(store) = self.store.get() {
            let part = match tokio::time::timeout(STORE_TIMEOUT, store.head()).await {
                Ok(Ok(_)) => Part::OK,
                Ok(Err(error)) => Part::Down { detail: error.to_string() },
                Err(_) => Part::Down { detail: format!("no answer within {} s", STORE_TIMEOUT.as_secs()) },
            };
            checks.insert("postgres", part);
        }
        let any = |test: fn(&Part) -> bool| checks.values().any(test);
        let status = match () {
            () if any(|part| matches!(part, Part::Down { .. })) => "unavailable",
            () if any(|part| matches!(part, Part::Degraded { .. })) => "degraded",
            () => "ready",
        };
        Readiness { status, checks }
    }
}

pub fn router(health: Arc<Health>, metrics: PrometheusHandle) -> Router {
    let measured = Arc::clone(&health);
    let render = move || async move {
        measured.measure();
        metrics.run_upkeep();
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
    };
    Router::new()
        .route("/healthz", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .route("/metrics", get(render))
        .route("/readyz", get(readyz).with_state(health))
        .method_not_allowed_fallback(edge::not_this_method)
        .layer(middleware::from_fn(edge::edge))
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let readiness = health.readiness().await;
    let code = if readiness.status == "unavailable" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(readiness)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt;

    #[tokio::test]
    async fn another_method_is_a_problem_like_any_other() {
        let router = router(Arc::default(), PrometheusBuilder::new().build_recorder().handle());
        for path in ["/healthz", "/metrics", "/readyz"] {
            let request = Request::post(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
            assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
        }
    }
}
