//! Instances in processes of their own: several append at once, and one is killed at any moment.
//!
//! The process is this test binary again, told by its environment to be an appender.
use super::support::{Watcher, append_by_hand, count_events, hold_log, store, wait_for_lock_waits};
use eventstore::contract::given::{append, assert_whole, everything, stream};
use eventstore::contract::race::Dice;
use eventstore::sql::Options;
use eventstore::testing::TestDatabase;
use eventstore::{EventFeed, EventStore, Log, PgEventStore, Position, StoreFeed, StreamId};
use std::collections::HashSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use uuid::Uuid;

const HELPER: &str = "WAYBILL_TEST_APPENDER";
const SOON: Duration = Duration::from_secs(30);

/// Not a test: what the other process does. `HELPER` says what, then on which database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other process of the tests in this module"]
async fn appender() {
    let Ok(told) = std::env::var(HELPER) else { return };
    let (what, url) = told.split_once(' ').unwrap();
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect(url).await.unwrap();
    match what {
        "hold" => {
            let mut transaction = pool.begin().await.unwrap();
            append_by_hand(&mut transaction, &stream(), "undone").await;
            println!("\nheld");
            std::future::pending::<()>().await;
        }
        "tell" => {
            let store = PgEventStore::connect(pool, Log::MAIN, Options::default()).await.unwrap();
            append_and_tell(Arc::new(store)).await;
        }
        _ => {
            let store = PgEventStore::connect(pool, Log::MAIN, Options::default()).await.unwrap();
            append_until_told(Arc::new(store)).await;
        }
    }
}

/// Says the command of each append before it and after its answer, for ever.
async fn append_and_tell(store: Arc<PgEventStore>) {
    let appenders = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let given = append().with(&stream(), 0, &["a", "b"]).changing("stock", -1, None);
                let command = given.metadata.command_id;
                println!("\nsent {command}");
                store.append(given).await.unwrap();
                println!("\ndone {command}");
            }
        })
    });
    let _appending: Vec<_> = appenders.collect();
    std::future::pending::<()>().await;
}

/// Appends to many streams at once until the input is closed; says how many events that made.
async fn append_until_told(store: Arc<PgEventStore>) {
    let stop = tokio_util::sync::CancellationToken::new();
    let appenders: Vec<_> = (0..64)
        .map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                let mut written = 0_u64;
                while !stop.is_cancelled() {
                    let (one, two) = (stream(), StreamId::new(Uuid::now_v7(), "saga"));
                    for version in 0..4 {
                        let given = append().with(&one, version * 8, &["a"; 8]).with(&two, version * 8, &["b"; 8]);
                        store.append(given).await.unwrap();
                        written += 16;
                    }
                }
                written
            })
        })
        .collect();
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
    stop.cancel();
    let mut written = 0;
    for appender in appenders {
        written += appender.await.unwrap();
    }
    println!("\nwritten {written}");
}

/// That process; killed, should the test end before it.
struct Appender {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Appender {
    fn start(what: &str, database: &TestDatabase) -> Appender {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "processes::appender", "--ignored", "--nocapture"]);
        command.env(HELPER, format!("{what} {}", database.url())).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Appender { child, lines }
    }

    /// What it says after this word, once it says it.
    async fn says(&mut self, word: &str) -> String {
        let said = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if let Some(rest) = line.strip_prefix(word) {
                    return rest.trim().to_owned();
                }
            }
            panic!("it never says {word}");
        };
        tokio::time::timeout(SOON, said).await.unwrap()
    }

    /// Lets it end by itself; answers how much it wrote.
    async fn finish(mut self) -> i64 {
        drop(self.child.stdin.take());
        let written = self.says("written").await.parse().unwrap();
        self.child.wait().await.unwrap();
        written
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appender_killed_between_its_statements_leaves_no_hole() {
    let (store, database) = store().await;
    let pool = database.pool().await;
    for round in 1..=3_i64 {
        let mut appender = Appender::start("hold", &database);
        appender.says("held").await;
        let waiting = super::support::spawn_append(&store, append().with(&stream(), 0, &["kept"]));
        wait_for_lock_waits(&pool, 1).await;
        appender.child.kill().await.unwrap();
        let appended = tokio::time::timeout(SOON, waiting).await.expect("its lock ends with it").unwrap().unwrap();
        assert_eq!(appended.first, Position(round), "where the killed one would have written");
    }
    let events = everything(&*store).await;
    assert!(events.iter().all(|event| event.event_type == "kept"));
    assert_whole(&events);
}

/// Whatever it was at: what it said to be written is there, and of the rest each is there whole or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_killed_at_any_moment_has_written_all_that_it_answered_and_nothing_in_part() {
    let seed = std::env::var("WAYBILL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}: repeat with WAYBILL_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    let (store, database) = store().await;
    let pool = database.pool().await;
    let (mut sent, mut done) = (HashSet::new(), HashSet::new());
    for round in 0..5 {
        let mut appender = Appender::start("tell", &database);
        appender.says("done").await;
        // Every other time in the middle of the function.
        let holder = if round % 2 == 0 { Some(hold_log(&pool, 0).await) } else { None };
        if holder.is_some() {
            wait_for_lock_waits(&pool, 1).await;
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(100))).await;
        appender.child.kill().await.unwrap();
        while let Some(line) = appender.lines.next_line().await.unwrap() {
            match line.split_once(' ') {
                Some(("sent", command)) => sent.insert(command.to_owned()),
                Some(("done", command)) => done.insert(command.to_owned()),
                _ => continue,
            };
        }
        drop(holder);
        // What its server process still had to do is done before the next takes its place.
        store.append(append().with(&stream(), 0, &["between"])).await.unwrap();
    }
    let events = everything(&*store).await;
    assert_whole(&events);
    let mut written = std::collections::HashMap::new();
    for event in events.iter().filter(|event| event.event_type != "between") {
        *written.entry(event.metadata.command_id.to_string()).or_insert(0) += 1;
    }
    assert!(
        !done.is_empty() && done.iter().all(|command| written.contains_key(command)),
        "an answer was given too early"
    );
    assert!(written.values().all(|count| *count == 2), "an append was written in part or twice");
    assert!(sent.iter().all(|command| written.get(command).is_none_or(|count| *count == 2)));
    let stock = store.balances(&["stock".into()]).await.unwrap();
    assert_eq!(stock, [("stock".into(), -(written.len() as i64))]);
}

/// Two processes append for so long, and until there are so many events, while a reader follows.
async fn follow_two_processes(at_least: Duration, events: i64) {
    let (store, database) = store().await;
    let appenders = [Appender::start("append", &database), Appender::start("append", &database)];
    let mut feed = StoreFeed::new(store, Position::ZERO);
    let (mut watcher, since) = (Watcher::default(), Instant::now());
    while since.elapsed() < at_least || watcher.seen < events {
        let next = tokio::time::timeout(SOON, feed.next(2_000)).await.expect("the feed stands still");
        watcher.see(next.unwrap());
    }
    let mut written = 0;
    for appender in appenders {
        let mine = appender.finish().await;
        assert!(mine > 0, "one of the two has not appended at all");
        written += mine;
    }
    while watcher.seen < written {
        let next = tokio::time::timeout(SOON, feed.next(2_000)).await.expect("events are missing");
        watcher.see(next.unwrap());
    }
    assert_eq!((watcher.seen, count_events(&database.pool().await).await), (written, written));
    println!("{written} events of two processes in {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_follows_two_processes_misses_nothing_and_doubles_nothing() {
    follow_two_processes(Duration::ZERO, 40_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: scripts/slow-tests"]
async fn slow_a_reader_that_follows_two_processes_for_a_minute_and_a_million_events_misses_nothing() {
    follow_two_processes(Duration::from_secs(60), 1_000_000).await;
}
