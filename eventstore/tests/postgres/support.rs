//! What these tests share: stores, appends that are made sure of, and hands that append without a store.
use eventstore::contract::given::payload;
use eventstore::sql::Options;
use eventstore::testing::{TestDatabase, TestPostgres};
use eventstore::{
    Append, AppendError, Appended, EventStore, Limits, Log, PgEventStore, RecordedEvent, StreamId, Version,
};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use uuid::Uuid;

const PAUSE: Duration = Duration::from_millis(5);

pub(crate) async fn store_on(database: &TestDatabase) -> Arc<PgEventStore> {
    connect(database.pool().await).await
}

pub(crate) async fn store() -> (Arc<PgEventStore>, TestDatabase) {
    let database = TestPostgres::shared().await.database().await;
    (store_on(&database).await, database)
}

pub(crate) async fn connect(pool: PgPool) -> Arc<PgEventStore> {
    connect_within(pool, Limits::default()).await
}

pub(crate) async fn connect_within(pool: PgPool, limits: Limits) -> Arc<PgEventStore> {
    Arc::new(PgEventStore::connect(pool, Log::MAIN, Options { limits }).await.unwrap())
}

/// Whether the slow tests are asked for too.
pub(crate) fn slow() -> bool {
    std::env::var("WAYBILL_SLOW").is_ok_and(|value| value == "1")
}

pub(crate) fn spawn_append(store: &Arc<PgEventStore>, given: Append) -> JoinHandle<Result<Appended, AppendError>> {
    let store = store.clone();
    tokio::spawn(async move { store.append(given).await })
}

/// As any caller does: the same append again, until the answer is definite.
pub(crate) async fn append_surely(store: &PgEventStore, given: &Append) -> Appended {
    loop {
        match store.append(given.clone()).await {
            Ok(appended) => return appended,
            Err(AppendError::Unavailable(_) | AppendError::Unknown(_)) => tokio::time::sleep(PAUSE).await,
            Err(other) => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn count_events(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(pool).await.unwrap()
}

/// Until so many calls of `append_batch`, no more and no fewer, wait for a lock.
pub(crate) async fn wait_for_lock_waits(pool: &PgPool, wanted: i64) {
    let count = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%append_batch%'";
    for _ in 0..2_000 {
        if sqlx::query_scalar::<_, i64>(count).fetch_one(pool).await.unwrap() == wanted {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("there are never {wanted} calls that wait");
}

/// Holds up every append of the log until the transaction ends.
pub(crate) async fn hold_log(pool: &PgPool, log: i16) -> Transaction<'static, Postgres> {
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(log_lock(), $1)")
        .bind(i32::from(log))
        .execute(&mut *holder)
        .await
        .unwrap();
    holder
}

/// Appends one event within whatever transaction this connection is in; answers its position.
pub(crate) async fn append_by_hand(connection: &mut PgConnection, stream: &StreamId, event_type: &str) -> i64 {
    let metadata = serde_json::to_string(&eventstore::contract::given::metadata()).unwrap();
    let call = "SELECT base + 1 FROM append_batch(
        p_log => 0::smallint, p_m_command => ARRAY[$1], p_m_shop => ARRAY['dev'], p_m_metadata => ARRAY[$2],
        p_m_events => ARRAY[1], p_m_before => ARRAY[0], p_s_member => ARRAY[1], p_s_id => ARRAY[$3], p_s_kind => ARRAY[$4],
        p_s_expected => ARRAY[NULL]::integer[], p_e_member => ARRAY[1], p_e_stream => ARRAY[1], p_e_nth => ARRAY[1],
        p_e_type => ARRAY[$5], p_e_schema => ARRAY[1]::smallint[], p_e_payload => ARRAY['{}'], p_k_scope => '{}', p_k_key => '{}',
        p_c_member => '{}', p_c_key => '{}', p_c_holder => '{}', p_c_fingerprint => '{}', p_a_name => '{}', p_a_delta => '{}',
        p_a_worst => '{}', p_a_floor => '{}', p_b_member => '{}', p_b_account => '{}', p_b_delta => '{}', p_b_floor => '{}',
        p_f_member => '{}', p_f_slot => '{}', p_f_epoch => '{}', p_r_member => '{}', p_r_name => '{}', p_r_from_incarnation => '{}',
        p_r_from => '{}', p_r_to_incarnation => '{}', p_r_to => '{}', p_t_member => '{}', p_t_id => '{}', p_t_slot => '{}',
        p_t_kind => '{}', p_t_name => '{}', p_t_due => '{}', p_v_member => '{}', p_v_subject => '{}', p_v_person => '{}',
        p_v_sealed => '{}')";
    sqlx::query_scalar(call)
        .bind(Uuid::now_v7())
        .bind(metadata)
        .bind(stream.id)
        .bind(stream.kind.as_ref())
        .bind(event_type)
        .fetch_one(connection)
        .await
        .unwrap()
}

/// Follows a log, and fails at the first event that is missing, doubled or out of order. Keeps no events, so that it can follow millions.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    pub(crate) seen: i64,
    versions: HashMap<StreamId, Version>,
    last: Option<RecordedEvent>,
}

impl Watcher {
    pub(crate) fn see(&mut self, events: Vec<RecordedEvent>) {
        for event in events {
            assert_eq!(event.position.0, self.seen + 1, "positions are dense");
            let version = self.versions.entry(event.stream.clone()).or_insert(Version::NONE);
            assert_eq!(event.version, version.next(), "versions are dense in {}", event.stream);
            *version = event.version;
            self.seen += 1;
            if let Some(last) = &self.last {
                assert!(last.recorded_at <= event.recorded_at, "the time of record goes back at {}", self.seen);
            }
            self.last = Some(event);
        }
    }
}

/// A large payload, so that little is needed to fill a disk.
pub(crate) fn heavy(given: Append, bytes: usize) -> Append {
    let mut given = given;
    for event in given.streams.iter_mut().flat_map(|part| &mut part.events) {
        // Random, so that it can't be compressed.
        let text: String = (0..bytes / 32).map(|_| Uuid::from_u128(rand::random()).simple().to_string()).collect();
        event.payload = payload(&format!("\"{text}\""));
    }
    given
}
