//! However often a request is sent, and however many at once: one order.
use super::{Answer, TestApp, order};
use async_trait::async_trait;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use eventstore::{
    Append, AppendError, Appended, ClaimRecord, EventStore, Incarnation, Lease, Log, LogHead, MemoryEventStore,
    Position, ReadError, RecordedEvent, Slot, SlotOwner, Timer, TimerMove,
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// A store whose appends take their time, and which counts what it is asked.
#[derive(Debug)]
struct Slow {
    inner: Arc<MemoryEventStore>,
    pause: Duration,
    unavailable: bool,
    appends: AtomicUsize,
    reads: AtomicUsize,
}

impl Slow {
    fn new(pause: Duration) -> Arc<Slow> {
        Arc::new(Slow {
            inner: Arc::default(),
            pause,
            unavailable: false,
            appends: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl EventStore for Slow {
    fn log(&self) -> Log {
        self.inner.log()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.pause).await;
        if self.unavailable {
            return Err(AppendError::Unavailable("no connection".into()));
        }
        self.inner.append(append).await
    }
    async fn read_streams(&self, id: Uuid) -> Result<Vec<RecordedEvent>, ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read_streams(id).await
    }
    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        self.inner.read_log(after, limit).await
    }
    async fn lives(&self) -> Result<eventstore::Lives, ReadError> {
        self.inner.lives().await
    }
    async fn head(&self) -> Result<LogHead, ReadError> {
        self.inner.head().await
    }
    fn watch_head(&self) -> tokio::sync::watch::Receiver<Position> {
        self.inner.watch_head()
    }
    async fn claim(&self, scope: &str, key: &str) -> Result<Option<ClaimRecord>, ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.claim(scope, key).await
    }
    async fn checkpoint(&self, name: &str) -> Result<Option<(Incarnation, Position)>, ReadError> {
        self.inner.checkpoint(name).await
    }
    async fn balances(&self, accounts: &[String]) -> Result<Vec<(String, i64)>, ReadError> {
        self.inner.balances(accounts).await
    }
    async fn list_balances(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<(String, i64)>, ReadError> {
        self.inner.list_balances(prefix, after, limit).await
    }
    async fn timers(
        &self,
        slots: &[Slot],
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Timer>, ReadError> {
        self.inner.timers(slots, after, limit).await
    }
    async fn move_timers(&self, moves: &[TimerMove]) -> Result<(), AppendError> {
        self.inner.move_timers(moves).await
    }
    async fn take_leases(&self, slots: &[Slot], owner: Uuid, ttl: Duration) -> Result<Vec<Lease>, AppendError> {
        self.inner.take_leases(slots, owner, ttl).await
    }
    async fn release_leases(&self, slots: &[Slot], owner: Uuid) -> Result<(), AppendError> {
        self.inner.release_leases(slots, owner).await
    }
    async fn attend(&self, owner: &SlotOwner, ttl: Duration) -> Result<eventstore::Attendance, AppendError> {
        self.inner.attend(owner, ttl).await
    }
    async fn depart(&self, owner: Uuid) -> Result<(), AppendError> {
        self.inner.depart(owner).await
    }
    async fn sealed(&self, subject: Uuid) -> Result<Option<(Uuid, Vec<u8>)>, ReadError> {
        self.inner.sealed(subject).await
    }
}

async fn place(app: &TestApp, key: &str, body: &Value) -> Answer {
    app.post_as(&app.shop, key, "/v1/orders", body, &[]).await
}

#[tokio::test]
async fn the_same_again_is_answered_the_same() {
    let app = TestApp::new().await;
    let first = place(&app, "k", &order("r-1")).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    // Names in another order, more white space, and the key in quotes: the same request.
    let again = app.post_as(&app.shop, "\"k\"", "/v1/orders", &order("r-1"), &[]).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::ACCEPTED, Some("true")));
    assert_eq!((again.identity(), again.header("location")), (first.identity(), first.header("location")));
    assert_eq!(app.events().await.len(), 1);
}

#[tokio::test]
async fn a_replay_tells_the_status_of_now_and_the_position_of_then() {
    let app = TestApp::new().await;
    let first = place(&app, "k", &order("r-1")).await;
    let path = format!("/v1/orders/{}/cancel", first.body["order_id"].as_str().unwrap());
    app.post(&app.shop, &path, &json!({ "reason": "x" })).await;
    let again = place(&app, "k", &order("r-1")).await;
    assert_eq!((again.identity(), again.body["status"].as_str()), (first.identity(), Some("CANCELLING")));
}

#[tokio::test]
async fn a_key_used_for_another_body_is_refused_and_a_refused_body_uses_no_key() {
    let app = TestApp::new().await;
    let mut faulty = order("r-1");
    faulty["lines"][0]["quantity"] = json!(0);
    assert_eq!(place(&app, "k", &faulty).await.faults(), ["/lines/0/quantity out_of_range"]);
    assert_eq!(place(&app, "k", &order("r-1")).await.status, StatusCode::ACCEPTED);
    let other = place(&app, "k", &order("r-2")).await;
    assert_eq!((other.status, other.code()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"));
}

#[tokio::test]
async fn a_ref_belongs_to_one_order() {
    let app = TestApp::new().await;
    let first = place(&app, "k-1", &order("r-1")).await;
    let same = place(&app, "k-2", &order("r-1")).await;
    assert_eq!((same.status, same.code()), (StatusCode::CONFLICT, "order_ref_taken"));
    assert_eq!((&same.body["order_id"], &same.body["same_body"]), (&first.body["order_id"], &json!(true)));
    let mut body = order("r-1");
    body["channel"] = json!("web");
    let other = place(&app, "k-2", &body).await;
    assert_eq!((other.code(), &other.body["same_body"]), ("order_ref_taken", &json!(false)), "a 409 uses up no key");
    // The key comes before the ref.
    let reused = place(&app, "k-1", &body).await;
    assert_eq!(reused.code(), "idempotency_key_reused");
}

#[tokio::test]
async fn keys_and_refs_are_a_shop_s_own() {
    let app = TestApp::new().await;
    let other = app.another_shop("east").await;
    let mut body = order("r-1");
    body["ship_to"] = json!({ "country": "DE" });
    body["payment"] = json!({ "token": "tok_ok" });
    let mine = app.post_as(&app.shop, "k", "/v1/orders", &body, &[]).await;
    let theirs = app.post_as(&other, "k", "/v1/orders", &body, &[]).await;
    assert_eq!((mine.status, theirs.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert_ne!(mine.body["order_id"], theirs.body["order_id"]);
}

#[tokio::test]
async fn a_hundred_at_once_make_one_order() {
    let slow = Slow::new(Duration::from_millis(30));
    let app = Arc::new(TestApp::on(slow.inner.clone(), Some(slow.clone())).await);
    let all: Vec<_> = (0..100)
        .map(|_| {
            let app = app.clone();
            tokio::spawn(async move { place(&app, "k", &order("r-1")).await })
        })
        .collect();
    let mut answers = Vec::new();
    for each in all {
        answers.push(each.await.unwrap());
    }
    assert!(answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.identity() == answers[0].identity()));
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count(), 1);
    assert_eq!(
        (app.events().await.len(), slow.appends.load(Ordering::SeqCst)),
        (1, 1),
        "the others waited for the first"
    );
}

#[tokio::test]
async fn a_new_order_costs_one_append_and_no_read() {
    let slow = Slow::new(Duration::ZERO);
    let app = TestApp::on(slow.inner.clone(), Some(slow.clone())).await;
    assert_eq!(place(&app, "k", &order("r-1")).await.status, StatusCode::ACCEPTED);
    assert_eq!((slow.appends.load(Ordering::SeqCst), slow.reads.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_repeat_waits_a_second_for_the_first_and_no_longer() {
    let slow = Slow::new(Duration::from_secs(5));
    let app = Arc::new(TestApp::on(slow.inner.clone(), Some(slow.clone())).await);
    let first = {
        let app = app.clone();
        tokio::spawn(async move { place(&app, "k", &order("r-1")).await })
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    let repeat = place(&app, "k", &order("r-1")).await;
    assert_eq!((repeat.status, repeat.code()), (StatusCode::CONFLICT, "idempotency_key_in_flight"));
    assert_eq!(repeat.header("retry-after"), Some("1"));
    assert_eq!(first.await.unwrap().status, StatusCode::ACCEPTED);
    assert_eq!(place(&app, "k", &order("r-1")).await.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_store_that_is_away_is_said_and_the_key_stays_free() {
    let inner: Arc<MemoryEventStore> = Arc::default();
    let away = Arc::new(Slow {
        inner: inner.clone(),
        pause: Duration::ZERO,
        unavailable: true,
        appends: AtomicUsize::new(0),
        reads: AtomicUsize::new(0),
    });
    let app = TestApp::on(inner, Some(away)).await;
    let answer = place(&app, "k", &order("r-1")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
    assert_eq!(answer.header("retry-after"), Some("1"));
}
