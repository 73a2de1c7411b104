//! Processes that run the projections are frozen (`SIGSTOP`) and thawed at random moments under load, on the real store.
use crate::{
    given::{Told, empty_append},
    projections::{Runner, verify_projections},
};
use domain::{Event, stock::StockReceived};
use eventstore::{
    ActorKind, EventStore, Expected, Log, NewEvent, PgEventStore, Position, StreamAppend, StreamId, sql::Options,
    testing::TestPostgres,
};
use rand::{RngExt, SeedableRng};
use sqlx::{PgPool, postgres::PgConnectOptions};
use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The database of a process that this test has started; absent, there is nothing to help with.
const HELPS: &str = "WAYBILL_TEST_PROJECTIONS_OF";
const HELPER: &str = "projections::tests::frozen::a_process_of_its_own_runs_the_projections";
const TAKEOVER: Duration = Duration::from_secs(10);
const PROCESSES: usize = 3;
const ROUNDS: usize = 6;

/// Killed with the test.
struct Process(Child);

impl Process {
    fn start(url: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", HELPER, "--ignored"]).env(HELPS, url).stdout(Stdio::null()).stderr(Stdio::null());
        Process(command.spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn store(pool: PgPool) -> Arc<PgEventStore> {
    Arc::new(PgEventStore::connect(pool, Log::MAIN, Options::default()).await.unwrap())
}

async fn receive_one(store: &PgEventStore) {
    let received = StockReceived {
        location: "main".into(),
        sku: "a".into(),
        lot: None,
        quantity: 1,
        receipt_ref: Uuid::now_v7().to_string(),
    };
    let event = Event::from(received);
    let event = NewEvent {
        event_type: event.event_type().into(),
        schema_version: event.schema_version(),
        payload: serde_json::value::to_raw_value(&event).unwrap().into(),
        rank: 0,
    };
    let mut append = empty_append("dev", ActorKind::Warehouse);
    let stream = StreamId::new(Uuid::now_v7(), "stock");
    append.streams.push(StreamAppend { stream, expected: Expected::Any, events: vec![event] });
    store.append(append).await.unwrap();
}

async fn applied(pool: &PgPool) -> Position {
    let position = sqlx::query_scalar("SELECT position FROM read.projections").fetch_optional(pool).await.unwrap();
    Position(position.unwrap_or(0))
}

/// How long it took.
async fn reaches(pool: &PgPool, position: Position) -> Duration {
    let began = Instant::now();
    while applied(pool).await < position {
        assert!(began.elapsed() < 3 * TAKEOVER, "at {} and not at {position}", applied(pool).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// No test by itself: what the test below starts as processes.
#[tokio::test]
#[ignore = "a helper of the test below, which starts it by name"]
async fn a_process_of_its_own_runs_the_projections() {
    let Ok(url) = std::env::var(HELPS) else { return };
    let database: PgConnectOptions = url.parse().unwrap();
    let store = store(PgPool::connect_with(database.clone()).await.unwrap()).await;
    let (runner, _handle) = Runner::new(store, &database, Arc::new(Told::default()));
    runner.run(CancellationToken::new()).await;
    unreachable!("it runs until it is killed");
}

#[tokio::test]
async fn whichever_process_is_frozen_another_drives_within_ten_seconds_and_nothing_is_applied_twice() {
    let seed = std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("WAYBILL_TEST_SEED={seed}");
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let database = TestPostgres::shared().await.database().await;
    let pool = database.pool().await;
    let store = store(pool.clone()).await;
    let processes: Vec<Process> = (0..PROCESSES).map(|_| Process::start(database.url())).collect();
    receive_one(&store).await;
    reaches(&pool, Position(1)).await;
    let stop = CancellationToken::new();
    let load = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move {
            while !stop.is_cancelled() {
                receive_one(&store).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    for _ in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(random.random_range(0..500))).await;
        // All but one: whoever drove is among them, or nobody is needed.
        let awake = random.random_range(0..PROCESSES);
        let frozen = || processes.iter().enumerate().filter(|(n, _)| *n != awake).map(|(_, process)| process);
        frozen().for_each(|process| process.signal("-STOP"));
        let head = store.head().await.unwrap().position;
        let took = reaches(&pool, Position(head.0 + 20)).await;
        assert!(took < TAKEOVER, "it took {took:?}");
        frozen().for_each(|process| process.signal("-CONT"));
    }
    stop.cancel();
    load.await.unwrap();
    let head = store.head().await.unwrap().position;
    reaches(&pool, head).await;
    let on_hand: i64 = sqlx::query_scalar("SELECT on_hand FROM read.stock").fetch_one(&pool).await.unwrap();
    assert_eq!(on_hand, head.0, "each receipt once");
    let compared = verify_projections(store, &database.url().parse().unwrap()).await.unwrap();
    assert_eq!((compared.differences, compared.position, compared.parked), (vec![], head, 0));
}
