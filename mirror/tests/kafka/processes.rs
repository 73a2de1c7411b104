//! Relays in processes of their own, on a store in PostgreSQL: killed, frozen, thawed and replaced at any moment. Whoever reads Kafka and
//! knows nothing of us sees each event once, in order by key, and hardly waits.
//!
//! The process is this test binary again, told by its environment to be a relay.
use crate::support::{
    Shop, assert_chained, assert_each_once_in_order, config, dice,
    outsider::{Outsider, kcat},
    read_all, server,
};
use eventstore::{EventStore as _, Log, PgEventStore, Position, sql::Options, testing::TestPostgres};
use mirror::{KafkaConfig, Range, Relay, RelayConfig, RelayState, verify_chain};
use rand::{RngExt as _, rngs::StdRng};
use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

const HELPER: &str = "WAYBILL_TEST_RELAY";
/// From the moment that the relay at work is gone to the next record that a `read_committed` reader gets.
const TAKEOVER: Duration = Duration::from_secs(10);
const RELAYS: usize = 3;

async fn store(url: &str) -> Arc<PgEventStore> {
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect(url).await.unwrap();
    Arc::new(PgEventStore::connect(pool, Log::MAIN, Options::default()).await.unwrap())
}

/// Not a test: what the other process does. `HELPER` says on which database, for which Kafka and which topics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other process of the tests in this module"]
async fn relay() {
    let Ok(told) = std::env::var(HELPER) else { return };
    let [url, brokers, prefix] = told.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let kafka = KafkaConfig { topic_prefix: prefix.to_owned(), ..config(brokers) };
    let relay = Relay::spawn(store(url).await, RelayConfig { kafka }, CancellationToken::new());
    let mut watch = relay.watch();
    let mut running = false;
    loop {
        let now = watch.borrow_and_update().state == RelayState::Running;
        if now != std::mem::replace(&mut running, now) {
            println!("\n{}", if now { "running" } else { "waiting" });
        }
        watch.changed().await.unwrap();
    }
}

/// That process; killed, should the test end before it.
struct Process {
    child: Child,
    running: Arc<AtomicBool>,
    frozen: bool,
}

impl Process {
    fn start(url: &str, kafka: &KafkaConfig) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "processes::relay", "--ignored", "--nocapture"]);
        command.env(HELPER, format!("{url} {} {}", kafka.brokers, kafka.topic_prefix)).kill_on_drop(true);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let running = Arc::new(AtomicBool::new(false));
        let told = running.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let "running" | "waiting" = line.as_str() {
                    told.store(line == "running", Ordering::Relaxed);
                }
            }
        });
        Process { child, running, frozen: false }
    }

    fn is_at_work(&self) -> bool {
        !self.frozen && self.running.load(Ordering::Relaxed)
    }

    async fn signal(&mut self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().await.unwrap().success());
        self.frozen = signal == "STOP";
    }
}

/// The one at work, once there is one and no other takes itself for it.
async fn which_is_at_work(relays: &[Process]) -> usize {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut found = relays.iter().enumerate().filter(|(_, relay)| relay.is_at_work());
        if let (Some((at_work, _)), None) = (found.next(), found.next()) {
            return at_work;
        }
        assert!(Instant::now() < deadline, "no relay, or more than one, says that it is at work");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Field {
    url: String,
    kafka: KafkaConfig,
    outsider: Outsider,
    relays: Vec<Process>,
    dice: StdRng,
}

impl Field {
    /// Does something to the relay at work; answers what, and how long the next event took.
    async fn fault(&mut self, store: &PgEventStore, kind: usize) -> (&'static str, Duration) {
        tokio::time::sleep(Duration::from_millis(self.dice.random_range(100..1_500))).await;
        let at_work = which_is_at_work(&self.relays).await;
        let head = async || store.head().await.unwrap().position.0;
        match kind % 3 {
            0 => {
                self.relays.remove(at_work).signal("KILL").await;
                let took = self.outsider.sees_beyond(head().await).await;
                self.relays.push(Process::start(&self.url, &self.kafka));
                ("killed", took)
            }
            1 => {
                self.relays[at_work].signal("STOP").await;
                let took = self.outsider.sees_beyond(head().await).await;
                tokio::time::sleep(Duration::from_millis(self.dice.random_range(0..2_000))).await;
                self.relays[at_work].signal("CONT").await;
                ("frozen and thawed", took)
            }
            _ => {
                self.relays.push(Process::start(&self.url, &self.kafka));
                let took = self.outsider.sees_beyond(head().await).await;
                while which_is_at_work(&self.relays).await != self.relays.len() - 1 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let again = self.outsider.sees_beyond(head().await).await;
                self.relays.remove(0).signal("KILL").await;
                ("replaced", took.max(again))
            }
        }
    }
}

async fn survive(events: usize, faults: usize) {
    let Some(brokers) = server::shared() else { return };
    let dice = dice();
    let kafka = config(brokers);
    let database = TestPostgres::shared().await.database().await;
    let mut shop = Shop::over(store(database.url()).await, 200);
    shop.trade_at_once(10).await;
    let store = shop.store.clone();
    let relays: Vec<Process> = (0..RELAYS).map(|_| Process::start(database.url(), &kafka)).collect();
    which_is_at_work(&relays).await;
    let (url, outsider) = (database.url().to_owned(), Outsider::follow(&kafka));
    let mut field = Field { url, kafka: kafka.clone(), outsider, relays, dice };
    field.outsider.sees_beyond(0).await;
    let enough = CancellationToken::new();
    let trading = tokio::spawn(shop.trade_until(events, enough.clone()));
    let first = field.dice.random_range(0..3);
    for number in 1..=faults {
        let (what, took) = field.fault(&store, first + number).await;
        println!("{number}: {what}, the next event after {took:?}");
        assert!(took < TAKEOVER, "a relay was {what}: no event for {took:?}");
    }
    enough.cancel();
    let shop = trading.await.unwrap();
    let head = shop.head().await;
    let seen = field.outsider.sees(head as usize).await;
    field.relays.clear();
    println!("{head} events");
    assert!(head as usize >= events);
    assert_each_once_in_order(&seen, &shop.counts());
    assert_an_outsider_and_the_store_agree(&kafka, &shop).await;
}

async fn assert_an_outsider_and_the_store_agree(kafka: &KafkaConfig, shop: &Shop<PgEventStore>) {
    if let Some(seen) = kcat(kafka) {
        assert_each_once_in_order(&seen, &shop.counts());
    }
    assert_chained(&read_all(kafka));
    let all = Range::upto(Position(shop.head().await));
    let report = verify_chain(kafka, shop.store.as_ref(), all, &|_| {}).await.unwrap();
    assert!(report.is_whole(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outsider_sees_each_event_once_and_in_order_whatever_becomes_of_the_relays() {
    survive(10_000, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: scripts/slow-tests"]
async fn slow_an_outsider_sees_a_hundred_thousand_events_once_and_in_order_through_twenty_faults() {
    survive(100_000, 20).await;
}
