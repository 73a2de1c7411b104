//! A read side on a database of its own, fed by Kafka alone: what it shows is what the store's own read side shows, whatever was killed.
use crate::{
    import::{ORDERS, STOCK, VALID, figure, import},
    support::{
        app::{TestApp, shared},
        client::{order, unique},
    },
};
use eventstore::{
    Abandoned, EventFeed, EventStore, Incarnation, Log, MemoryEventStore, PgEventStore, Position, StoreFeed, StreamId,
    contract::given::{append, stream},
    log_file,
    sql::Options,
    testing::{TestDatabase, TestPostgres},
};
use mirror::{KafkaConfig, Relay, RelayConfig, RelayHandle, RelayState};
use queries::projections::{ChangedOrder, ProjectionObserver, Runner, verify_projections};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use waybill::replica::{ReplicaHandle, ReplicaStatus, ReplicaTask, start_over};

const SOON: Duration = Duration::from_secs(60);
/// At so many different positions, while orders come.
const KILLS: usize = 6;

struct Nobody;

impl ProjectionObserver for Nobody {
    fn committed(&self, _: Position, _: &[ChangedOrder]) {}
}

/// What `up --role replica,projections` runs on its database.
struct Remote {
    replica: ReplicaHandle,
    projections: JoinHandle<()>,
    applied: tokio::sync::watch::Receiver<Position>,
}

impl Remote {
    async fn start(pool: &PgPool, kafka: &KafkaConfig) -> Remote {
        let stop = CancellationToken::new();
        let replica = ReplicaTask::spawn(pool.clone(), Log::MAIN, kafka.clone(), stop.clone());
        let store = PgEventStore::connect(pool.clone(), Log::MAIN, Options::default()).await.unwrap();
        let (runner, handle) = Runner::new(Arc::new(store), &pool.connect_options(), Arc::new(Nobody));
        Remote { replica, projections: tokio::spawn(runner.run(stop)), applied: handle.applied }
    }

    /// As a crash would: each in the midst of whatever it does.
    async fn kill(self) {
        self.replica.abort();
        self.projections.abort();
        let _ = self.projections.await;
    }

    async fn reaches(&mut self, head: Position) {
        follows(&self.replica, head).await;
        let applied = self.applied.wait_for(|applied| *applied >= head);
        tokio::time::timeout(SOON, applied).await.expect("in time").expect("it runs");
    }
}

async fn status(replica: &ReplicaHandle, what: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
    let mut watch = replica.watch();
    let reached = tokio::time::timeout(SOON, watch.wait_for(|status| what(status))).await;
    reached.unwrap_or_else(|_| panic!("the replica is at {:?}", replica.status())).unwrap().clone()
}

async fn follows(replica: &ReplicaHandle, head: Position) {
    status(replica, |status| *status == ReplicaStatus::Following { position: head }).await;
}

async fn database() -> (TestDatabase, PgPool) {
    let database = TestPostgres::shared().await.database().await;
    let pool = database.pool().await;
    (database, pool)
}

/// Every row of every table of the read model, as text, by table; when a checkpoint was moved is its own.
async fn tables(pool: &PgPool) -> Vec<(String, Vec<String>)> {
    let query = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'read' ORDER BY 1";
    let names: Vec<String> = sqlx::query_scalar(query).fetch_all(pool).await.unwrap();
    let mut tables = Vec::new();
    for name in names {
        // Who wrote it, and when, is each database's own.
        let own = if name == "projections" { "{updated_at,epoch}" } else { "{}" };
        let query = format!("SELECT (to_jsonb(t) - '{own}'::text[])::text FROM read.{name} t ORDER BY 1");
        tables.push((name, sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(pool).await.unwrap()));
    }
    tables
}

/// Every column of every event.
async fn log(pool: &PgPool) -> Vec<String> {
    let query = "SELECT to_jsonb(e)::text || metadata::text || payload::text FROM events e ORDER BY position";
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
}

async fn head(pool: &PgPool) -> Position {
    let query = "SELECT coalesce(max(position), 0) FROM events";
    Position(sqlx::query_scalar(query).fetch_one(pool).await.unwrap())
}

fn kafka(app: &TestApp) -> KafkaConfig {
    assert!(!app.client.run["kafka_in_process"].as_bool().unwrap_or(false), "this test needs a Java");
    KafkaConfig::new(app.client.url("kafka"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_are_those_beside_the_store_row_by_row_though_the_replica_is_killed_again_and_again() {
    let seed: u64 =
        std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}: repeat with WAYBILL_TEST_SEED={seed}");
    let app = TestApp::start("replica").await;
    let kafka = kafka(&app);
    let beside = PgPoolOptions::new().max_connections(2).connect(app.client.url("postgres")).await.unwrap();
    let (_database, pool) = database().await;
    let done = CancellationToken::new();
    let trade = async {
        import(&app, STOCK, &[]).await;
        let table = import(&app, ORDERS, &["--wait"]).await;
        assert_eq!(figure(&table, "completed") + figure(&table, "cancelled"), VALID, "{table}");
        let sku = unique("sku");
        app.client.receive(&sku, 1_000_000).await;
        while !done.is_cancelled() {
            app.client.order_to_its_end(&order(&sku, 1, "tok_ok")).await;
        }
    };
    let kill = async {
        let mut random = seed | 1;
        let mut killed_at = BTreeSet::new();
        while killed_at.len() < KILLS {
            // Xorshift: a moment up to 0.5 s after it has begun to read, or, now and then, before that.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let remote = Remote::start(&pool, &kafka).await;
            if !random.is_multiple_of(8) {
                let (mut watch, before) = (remote.replica.watch(), head(&pool).await);
                let moved = watch.wait_for(|status| status.position() > before);
                tokio::time::timeout(SOON, moved).await.expect("it goes on").expect("it runs");
            }
            tokio::time::sleep(Duration::from_millis(random % 500)).await;
            killed_at.insert(remote.replica.status().position().0);
            remote.kill().await;
        }
        done.cancel();
        println!("killed at {killed_at:?}");
    };
    tokio::join!(trade, kill);

    let mut remote = Remote::start(&pool, &kafka).await;
    let last = loop {
        let last = head(&beside).await;
        remote.reaches(last).await;
        if head(&beside).await == last {
            break last;
        }
    };
    let reached = "SELECT min(position) FROM read.projections";
    while sqlx::query_scalar::<_, i64>(reached).fetch_one(&beside).await.unwrap() < last.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (ours, theirs) = (tables(&pool).await, tables(&beside).await);
    assert!(theirs.iter().any(|(name, rows)| name == "orders" && rows.len() as u64 > VALID));
    for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        assert_eq!(ours.len(), theirs.len(), "read.{name}");
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!(ours, theirs, "read.{name}");
        }
    }
    assert_eq!(ours.len(), theirs.len());
    let (ours, theirs) = (log(&pool).await, log(&beside).await);
    assert_eq!(ours.len() as i64, last.0);
    assert!(ours == theirs, "the copy of the log is not the log");
    // What `verify` does beside the store, it does here.
    let store: Arc<dyn EventStore> =
        Arc::new(PgEventStore::connect(pool.clone(), Log::MAIN, Options::default()).await.unwrap());
    let found = verify_projections(store, &pool.connect_options()).await.unwrap();
    assert!(found.differences.is_empty(), "{found:?}");
    remote.kill().await;
}

/// A store in memory, carried into topics of its own on the Kafka that tests share.
struct Source {
    store: Arc<MemoryEventStore>,
    kafka: KafkaConfig,
    relay: RelayHandle,
    stop: CancellationToken,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Source {
    async fn start(store: Arc<MemoryEventStore>, kafka: KafkaConfig) -> Source {
        let stop = CancellationToken::new();
        let relay = Relay::spawn(store.clone(), RelayConfig { kafka: kafka.clone() }, stop.clone());
        let source = Source { store, kafka, relay, stop };
        source.carried().await;
        source
    }

    async fn new() -> Source {
        let kafka = kafka(shared().await);
        let kafka = KafkaConfig { topic_prefix: format!("t{}", Uuid::now_v7().simple()), partitions: 4, ..kafka };
        Source::start(Arc::new(MemoryEventStore::default()), kafka).await
    }

    async fn append(&self, count: usize) {
        for _ in 0..count {
            self.store.append(append().with(&stream(), 0, &["a", "b"])).await.unwrap();
        }
    }

    async fn carried(&self) -> Position {
        let head = self.store.head().await.unwrap().position;
        let mut watch = self.relay.watch();
        let done = watch.wait_for(|status| status.state == RelayState::Running && status.position >= head);
        tokio::time::timeout(SOON, done).await.expect("in time").unwrap();
        head
    }
}

/// One suite for every feed: here the store feed of a replica.
mod contract {
    use super::*;

    async fn given() -> (Arc<MemoryEventStore>, Box<dyn EventFeed>, (Source, CancellationToken, TestDatabase)) {
        let source = Source::new().await;
        let (database, pool) = database().await;
        let stop = CancellationToken::new();
        ReplicaTask::spawn(pool.clone(), Log::MAIN, source.kafka.clone(), stop.clone());
        let copy = Arc::new(PgEventStore::connect(pool, Log::MAIN, Options::default()).await.unwrap());
        (source.store.clone(), Box::new(StoreFeed::new(copy, Position::ZERO)), (source, stop, database))
    }

    eventstore::feed_contract!(given());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_goes_on_through_a_restore_unless_it_holds_what_was_lost_and_then_it_says_so_and_starts_over() {
    let source = Source::new().await;
    source.append(20).await;
    let (backup, shared) = (source.store.backup(), source.carried().await);
    let ((_one, behind), (_two, ahead)) = (database().await, database().await);
    let spawn = |pool: &PgPool| {
        let stop = CancellationToken::new();
        (ReplicaTask::spawn(pool.clone(), Log::MAIN, source.kafka.clone(), stop.clone()), stop)
    };
    let (replica, stop) = spawn(&behind);
    follows(&replica, shared).await;
    stop.cancel();
    assert_eq!(status(&replica, |status| matches!(status, ReplicaStatus::Stopped { .. })).await.position(), shared);
    replica.join().await;
    source.append(5).await;
    let lost = source.carried().await;
    let (overtaken, _halted) = spawn(&ahead);
    follows(&overtaken, lost).await;
    source.stop.cancel();
    status_of_relay_stopped(&source).await;

    backup.begin_incarnation(Position(i64::MAX), Incarnation(1), "restored");
    backup.abandon(Abandoned {
        incarnation: Incarnation(1),
        from: Position(shared.0 + 1),
        to: lost,
        events: lost.0 - shared.0,
        streams: 5,
        recorded_at: chrono::DateTime::UNIX_EPOCH,
        file: String::new(),
    });
    let restored = Source::start(Arc::new(backup), source.kafka.clone()).await;
    restored.append(8).await;
    let head = restored.carried().await;
    let halted = status(&overtaken, |status| matches!(status, ReplicaStatus::Halted { .. })).await;
    let ReplicaStatus::Halted { position, why } = halted else { panic!("{halted:?}") };
    assert_eq!(position, lost);
    assert!(why.contains("incarnation 2") && why.contains("--from-scratch"), "{why}");
    let (replica, _stop) = spawn(&behind);
    follows(&replica, head).await;
    let copy = PgEventStore::connect(behind.clone(), Log::MAIN, Options::default()).await.unwrap();
    let lives: Vec<_> = copy.lives().await.unwrap().all().iter().map(|life| (life.incarnation.0, life.after)).collect();
    assert_eq!(lives, [(1, Position::ZERO), (2, shared)]);

    // The halted one looks now and then: once its replica is empty, it fills it anew.
    start_over(&ahead, Log::MAIN).await.unwrap();
    follows(&overtaken, head).await;
    assert_eq!(log(&ahead).await, log(&behind).await);
}

/// Takes the first records of each partition of the orders' topic away, as retention does.
async fn trim(kafka: &KafkaConfig, upto: i64) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &kafka.brokers).create().unwrap();
    let mut gone = TopicPartitionList::new();
    for partition in 0..kafka.partitions {
        let topic = format!("{}.order.v1", kafka.topic_prefix);
        gone.add_partition_offset(&topic, partition, Offset::Offset(upto)).unwrap();
    }
    admin.delete_records(&gone, &AdminOptions::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_trimmed_off_says_so_and_goes_on_after_an_import() {
    let (_one, theirs) = database().await;
    let store = Arc::new(PgEventStore::connect(theirs.clone(), Log::MAIN, Options::default()).await.unwrap());
    let more = async |count: usize| {
        for _ in 0..count {
            // Random in the last byte, which decides on the partition.
            let order = StreamId::new(Uuid::from_u128(rand::random()), "order");
            store.append(append().with(&order, 0, &["a", "b"])).await.unwrap();
        }
        store.head().await.unwrap().position
    };
    let kafka = kafka(shared().await);
    let kafka = KafkaConfig { topic_prefix: format!("t{}", Uuid::now_v7().simple()), partitions: 4, ..kafka };
    let stop = CancellationToken::new();
    let relay = Relay::spawn(store.clone(), RelayConfig { kafka: kafka.clone() }, stop.clone());
    let carried = async |head: Position| {
        let mut watch = relay.watch();
        let done = watch.wait_for(|status| status.state == RelayState::Running && status.position >= head);
        tokio::time::timeout(SOON, done).await.expect("in time").unwrap();
    };
    let head = more(60).await;
    carried(head).await;
    trim(&kafka, 4).await;
    let (_two, ours) = database().await;
    let replica = ReplicaTask::spawn(ours.clone(), Log::MAIN, kafka.clone(), stop.clone());
    let halted = status(&replica, |status| matches!(status, ReplicaStatus::Halted { .. })).await;
    assert!(format!("{halted:?}").contains("order.v1 was trimmed"), "{halted:?}");
    assert_eq!(halted.position(), Position::ZERO);

    let mut file = Vec::new();
    log_file::export(&theirs, Log::MAIN, None, "test", &mut file, &|_| ()).await.unwrap();
    let last = more(5).await;
    carried(last).await;
    log_file::import(&ours, Log::MAIN, &mut &*file, &|_| ()).await.unwrap();
    follows(&replica, last).await;
    assert!(log(&ours).await == log(&theirs).await, "the copy of the log is not the log");
    stop.cancel();
    relay.join().await;
}

async fn status_of_relay_stopped(source: &Source) {
    let mut watch = source.relay.watch();
    let stopped = watch.wait_for(|status| status.state == RelayState::Stopped);
    tokio::time::timeout(SOON, stopped).await.expect("in time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_never_fed_and_an_unreachable_kafka_is_told_and_tried_again() {
    let app = shared().await;
    let pool = PgPoolOptions::new().max_connections(2).connect(app.client.url("postgres")).await.unwrap();
    app.client.receive("never-fed", 1).await;
    let stop = CancellationToken::new();
    let replica = ReplicaTask::spawn(pool.clone(), Log::MAIN, kafka(app), stop.clone());
    let halted = status(&replica, |status| matches!(status, ReplicaStatus::Halted { .. })).await;
    assert!(format!("{halted:?}").contains("holds a log of its own"), "{halted:?}");
    assert!(start_over(&pool, Log::MAIN).await.unwrap_err().to_string().contains("no replica"));
    assert!(head(&pool).await > Position::ZERO);

    let (_database, pool) = database().await;
    let nowhere = ReplicaTask::spawn(pool, Log::MAIN, KafkaConfig::new("127.0.0.1:1"), stop.clone());
    let down = status(&nowhere, |status| matches!(status, ReplicaStatus::KafkaDown { .. })).await;
    assert_eq!(down.position(), Position::ZERO);
    stop.cancel();
    nowhere.join().await;
    replica.join().await;
}
