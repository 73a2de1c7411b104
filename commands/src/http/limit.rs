//! How many requests are under way at once, how many bytes their bodies have together, and how long each may take.
//!
//! Past the bounds a request waits a little for its place, then it is answered 503 with `Retry-After`: nothing of it was done.
use super::{call::MAX_BODY, prefer::MAX_WAIT_SECONDS, problem::Problem};
use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use metrics::{counter, gauge};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Bytes are counted in pieces of this size.
const PIECE: usize = 1024;

/// What one process takes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) requests: usize,
    /// Of all bodies together.
    pub(crate) body_bytes: usize,
    /// How long a request waits for its place.
    pub(crate) patience: Duration,
    /// How long it may then take, besides the wait that it asks for itself.
    pub(crate) longest: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            requests: 8_192,
            body_bytes: 128 << 20,
            patience: Duration::from_secs(1),
            longest: Duration::from_secs(90),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Limit {
    bounds: Bounds,
    places: Semaphore,
    pieces: Semaphore,
}

/// A place among the requests under way; free again when dropped.
struct Room<'a> {
    _place: SemaphorePermit<'a>,
    _pieces: SemaphorePermit<'a>,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        gauge!("waybill_http_requests_under_way").decrement(1.0);
    }
}

impl Limit {
    pub(crate) fn new(bounds: Bounds) -> Limit {
        let pieces = bounds.body_bytes.max(MAX_BODY) / PIECE;
        Limit { bounds, places: Semaphore::new(bounds.requests.max(1)), pieces: Semaphore::new(pieces) }
    }

    async fn enter(&self, body: usize) -> Option<Room<'_>> {
        let pieces = u32::try_from(body.div_ceil(PIECE)).ok()?;
        let both = async { Some((self.places.acquire().await.ok()?, self.pieces.acquire_many(pieces).await.ok()?)) };
        let (place, pieces) = timeout(self.bounds.patience, both).await.ok()??;
        gauge!("waybill_http_requests_under_way").increment(1.0);
        Some(Room { _place: place, _pieces: pieces })
    }
}

pub(crate) async fn limit(State(limit): State<Arc<Limit>>, request: Request, next: Next) -> Response {
    let Some(_room) = limit.enter(body_bytes(&request)).await else {
        counter!("waybill_http_turned_away_total").increment(1);
        let detail =
            "too many requests are under way; nothing was done: try again, a POST with the same Idempotency-Key";
        return Problem::unavailable(detail, "too many requests are under way").into_response();
    };
    let longest = limit.bounds.longest + asked_wait(&request);
    timeout(longest, next.run(request)).await.unwrap_or_else(|_| {
        let detail = "this took too long; whether it was done is not known: ask again with the same Idempotency-Key, which does it at most once";
        Problem::unavailable(detail, format!("no answer for {} s", longest.as_secs())).into_response()
    })
}

/// As announced. What is not announced may be as large as any.
fn body_bytes(request: &Request) -> usize {
    let headers = request.headers();
    match headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()) {
        Some(announced) => MAX_BODY.min(announced),
        None if headers.contains_key(header::TRANSFER_ENCODING) => MAX_BODY,
        None => 0,
    }
}

/// The most that a request which would wait can ask for.
fn asked_wait(request: &Request) -> Duration {
    let by_query = request.uri().query().is_some_and(|query| query.contains("wait="));
    let waits = by_query || request.headers().contains_key("prefer");
    if waits { Duration::from_secs(MAX_WAIT_SECONDS) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::edge;
    use axum::{Router, body::Body, http::StatusCode, middleware, routing::post};
    use tokio::{sync::Notify, task::JoinHandle};
    use tower::ServiceExt;

    /// Requests that end when they are told to.
    fn router(bounds: Bounds) -> (Router, Arc<Notify>) {
        let go = Arc::new(Notify::new());
        let told = go.clone();
        let handler = move || {
            let told = told.clone();
            async move { told.notified().await }
        };
        let router = Router::new()
            .route("/", post(handler))
            .layer(middleware::from_fn_with_state(Arc::new(Limit::new(bounds)), limit))
            .layer(middleware::from_fn(edge::edge));
        (router, go)
    }

    fn send(router: &Router, body: usize) -> JoinHandle<Response> {
        let request = Request::post("/").header(header::CONTENT_LENGTH, body).body(Body::empty()).unwrap();
        let router = router.clone();
        tokio::spawn(async move { router.oneshot(request).await.unwrap() })
    }

    async fn assert_turned_away(answer: JoinHandle<Response>) {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[tokio::test(start_paused = true)]
    async fn past_the_bound_a_request_waits_and_is_then_answered_503_with_retry_after() {
        let (router, go) = router(Bounds { requests: 2, ..Bounds::default() });
        let first = [send(&router, 0), send(&router, 0)];
        tokio::task::yield_now().await;
        assert_turned_away(send(&router, 0)).await;
        let waits = send(&router, 0);
        tokio::time::sleep(Duration::from_millis(500)).await;
        go.notify_waiters();
        tokio::time::sleep(Duration::from_millis(100)).await;
        go.notify_waiters();
        assert_eq!(waits.await.unwrap().status(), StatusCode::OK, "it found a place in time");
        for each in first {
            assert_eq!(each.await.unwrap().status(), StatusCode::OK);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_are_bounded_together() {
        let (router, go) = router(Bounds { body_bytes: 2 * MAX_BODY, ..Bounds::default() });
        let large = [send(&router, MAX_BODY), send(&router, MAX_BODY)];
        tokio::task::yield_now().await;
        assert_turned_away(send(&router, PIECE)).await;
        let small = send(&router, 0);
        tokio::time::sleep(Duration::from_millis(100)).await;
        go.notify_waiters();
        assert_eq!(small.await.unwrap().status(), StatusCode::OK, "without a body there is room");
        for each in large {
            assert_eq!(each.await.unwrap().status(), StatusCode::OK);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_takes_longer_than_the_longest() {
        let (router, _go) = router(Bounds::default());
        assert_turned_away(send(&router, 0)).await;
    }
}
