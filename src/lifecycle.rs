//! Start and graceful stop: signals, and an HTTP server that answers from its first moment.
use crate::connections::{self, Bounded};
use anyhow::{Context, Result};
use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{net::TcpListener, signal::unix::SignalKind, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Open requests are given so long to end after a stop.
const GRACE: Duration = Duration::from_secs(3);

/// Cancelled by SIGTERM or SIGINT. A second signal ends the process at once: its servers' supervisors then stop them.
pub fn stop_on_signal() -> Result<CancellationToken> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate()).context("SIGTERM can't be handled")?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt()).context("SIGINT can't be handled")?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let mut next = async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
        next().await;
        tracing::info!("stopping: no more work is taken");
        token.cancel();
        next().await;
        tracing::warn!("stopped at once by a second signal");
        std::process::exit(1);
    });
    Ok(stop)
}

/// The application, once it is there. Before that everything but the health pages is answered 503.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<OnceLock<Router>>);

impl Gate {
    pub fn open(&self, app: Router) {
        // Opened once at start.
        let _ = self.0.set(app);
    }

    async fn call(self, request: Request) -> Response {
        use tower::ServiceExt;
        match self.0.get() {
            Some(app) => app.clone().oneshot(request).await.into_response(),
            None => starting(request.uri().path()),
        }
    }
}

fn starting(instance: &str) -> Response {
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "Waybill is starting; see /readyz for what it waits for",
        "instance": instance,
        "code": "unavailable",
        "request_id": uuid::Uuid::now_v7().simple().to_string(),
    });
    let headers = [(header::CONTENT_TYPE, "application/problem+json"), (header::RETRY_AFTER, "1")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Body::from(problem.to_string())).into_response()
}

/// The HTTP server of the process.
#[derive(Debug)]
pub struct Server {
    pub addr: SocketAddr,
    pub gate: Gate,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub async fn bind(addr: SocketAddr, health: Router) -> Result<Server> {
        let listener = TcpListener::bind(addr).await.with_context(|| {
            format!("can't listen on {addr}: choose another address with --http-addr or WAYBILL_HTTP_ADDR")
        })?;
        let addr = listener.local_addr()?;
        let (gate, stop) = (Gate::default(), CancellationToken::new());
        let fallback = gate.clone();
        let app = health.fallback(move |request: Request| fallback.clone().call(request));
        let stopped = stop.clone().cancelled_owned();
        let listener = Bounded::new(listener, connections::most());
        let task = tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stopped).await });
        Ok(Server { addr, gate, stop, task })
    }

    /// Takes no new connections, lets open requests end, at most so long.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
