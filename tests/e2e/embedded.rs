//! The embedded servers, for real: they come up, keep what they hold over restarts, and never outlive `waybill` by long.
//!
//! `waybill` is played by this test, or, where it must be killed, by a process of its own: this test binary, run again for the
//! one ignored test [`a_waybill_to_be_killed`].

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::net::TcpStream;
use tokio::time::sleep;
use waybill::embedded::Launcher;
use waybill::embedded::data_dir::DataDir;
use waybill::embedded::download::Cache;
use waybill::embedded::kafka::Kafka;
use waybill::embedded::postgres::Postgres;
use waybill::embedded::supervise::State;

const FOLDER: &str = "WAYBILL_TEST_FOLDER";
/// A server's stop time and some: a Kafka that finds no archive of its classes writes one at its end.
const GONE_WITHIN: Duration = Duration::from_secs(20);
const UP_WITHIN: Duration = Duration::from_secs(120);

fn launcher(data_dir: &DataDir) -> Launcher {
    Launcher::new(PathBuf::from(env!("CARGO_BIN_EXE_waybill")), data_dir)
}

async fn count(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS kept (n int); INSERT INTO kept VALUES (1)")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&mut connection).await.unwrap()
}

/// The pid of the server or the supervisor in a pid file.
fn pid(folder: &Path, server: &str, which: &str) -> Option<i64> {
    let text = fs::read(folder.join(format!("run/{server}.pid"))).ok()?;
    let record: serde_json::Value = serde_json::from_slice(&text).ok()?;
    record[which]["pid"].as_i64()
}

fn is_alive(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn kill(signal: &str, pid: i64) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

async fn until(what: &str, bound: Duration, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < bound, "not within {bound:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_on_with_the_same_data_on_the_same_port() {
    let folder = tempfile::tempdir().unwrap();
    let mut urls = Vec::new();
    for start in 1..=2 {
        let data_dir = DataDir::open(folder.path()).unwrap();
        let postgres = Postgres::start(&data_dir, &launcher(&data_dir)).await.unwrap();
        assert_eq!(count(postgres.url()).await, start);
        let server = pid(folder.path(), "postgres", "server").unwrap();
        urls.push(postgres.url().to_owned());
        postgres.stop().await;
        assert!(!is_alive(server));
    }
    assert_eq!(urls[0], urls[1]);
    let wrong = urls[0].replacen("waybill:", "waybill:not-", 1);
    assert_ne!(wrong, urls[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(folder.path()).unwrap();
    let postgres = Postgres::start(&data_dir, &launcher(&data_dir)).await.unwrap();
    let wrong = postgres.url().replacen("//waybill:", "//waybill:not-", 1);
    let error = PgConnection::connect(&wrong).await.unwrap_err().to_string();
    assert!(error.contains("password authentication failed"), "{error}");
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_downloaded_postgres_does_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(folder.path()).unwrap();
    let mut launcher = launcher(&data_dir);
    launcher.always_download = true;
    let postgres = Postgres::start(&data_dir, &launcher).await.unwrap();
    assert_eq!(count(postgres.url()).await, 1);
    let major = fs::read_to_string(folder.path().join("postgres/PG_VERSION")).unwrap();
    assert_eq!(major.trim(), "18");
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_dies_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(folder.path()).unwrap();
    let postgres = Postgres::start(&data_dir, &launcher(&data_dir)).await.unwrap();
    assert_eq!(count(postgres.url()).await, 1);
    let mut state = postgres.state();
    let first = pid(folder.path(), "postgres", "server").unwrap();
    kill("-KILL", first);
    state.wait_for(|state| matches!(state, State::Down { .. })).await.unwrap();
    until("it is back", UP_WITHIN, || pid(folder.path(), "postgres", "server").is_some_and(|pid| pid != first)).await;
    let since = Instant::now();
    while PgConnection::connect(postgres.url()).await.is_err() {
        assert!(since.elapsed() < UP_WITHIN);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count(postgres.url()).await, 2);

    // Its supervisor too.
    let second = pid(folder.path(), "postgres", "server").unwrap();
    kill("-KILL", pid(folder.path(), "postgres", "supervisor").unwrap());
    until("another supervisor has another server", UP_WITHIN, || {
        pid(folder.path(), "postgres", "server").is_some_and(|pid| pid != second)
    })
    .await;
    assert!(!is_alive(second));
    postgres.stop().await;
    assert_eq!(pid(folder.path(), "postgres", "server"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_goes_on_with_the_same_cluster_on_the_same_port() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for _ in 1..=2 {
        let data_dir = DataDir::open(folder.path()).unwrap();
        let Some(kafka) = Kafka::start(&data_dir, &launcher(&data_dir)).await.unwrap() else {
            return eprintln!("no Java 17 here: nothing to test");
        };
        TcpStream::connect(kafka.brokers()).await.unwrap();
        let meta = fs::read_to_string(folder.path().join("kafka/data/meta.properties")).unwrap();
        let cluster = meta.lines().find(|line| line.starts_with("cluster.id=")).unwrap();
        seen.push((kafka.brokers().to_owned(), cluster.to_owned()));
        let server = pid(folder.path(), "kafka", "server").unwrap();
        kafka.stop().await;
        assert!(!is_alive(server));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_kafka_of_a_cache_archives_its_classes_and_the_next_one_maps_them() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(folder.path()).unwrap();
    let users = launcher(&data_dir);
    let Some(kafka) = Kafka::start(&data_dir, &users).await.unwrap() else {
        return eprintln!("no Java 17 here: nothing to test");
    };
    kafka.stop().await;
    // The same jars, and no archive.
    let cache = folder.path().join("cache of this test");
    fs::create_dir(&cache).unwrap();
    for jar in fs::read_dir(users.cache.folder()).unwrap().map(|file| file.unwrap().path()) {
        if jar.extension().is_some_and(|extension| extension == "jar") {
            std::os::unix::fs::symlink(&jar, cache.join(jar.file_name().unwrap())).unwrap();
        }
    }
    let launcher = Launcher { cache: Cache::at(&cache, "http://127.0.0.1:1/nothing-is-fetched"), ..users };
    let mut mapped = Vec::new();
    for _ in 1..=2 {
        let kafka = Kafka::start(&data_dir, &launcher).await.unwrap().unwrap();
        let server = pid(folder.path(), "kafka", "server").unwrap();
        let maps = fs::read_to_string(format!("/proc/{server}/maps")).unwrap();
        mapped.push(maps.contains("cache of this test/kafka-"));
        kafka.stop().await;
    }
    assert_eq!(mapped, [false, true]);
}

/// A `waybill` with both servers, in a process of its own that can be killed.
struct Victim {
    process: Child,
    servers: Vec<i64>,
    supervisors: Vec<i64>,
}

impl Victim {
    async fn start(folder: &Path) -> Self {
        let ready = folder.join("ready");
        let _ = fs::remove_file(&ready);
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "embedded::a_waybill_to_be_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        until("both servers are up", UP_WITHIN, || ready.exists()).await;
        let all = |which| ["postgres", "kafka"].iter().filter_map(|server| pid(folder, server, which)).collect();
        let (servers, supervisors): (Vec<_>, Vec<_>) = (all("server"), all("supervisor"));
        assert!(servers.iter().chain(&supervisors).all(|pid| is_alive(*pid)));
        Self { process, servers, supervisors }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Victim {
    /// A test that fails leaves no servers behind.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
#[ignore = "run by the tests below as a process of its own"]
async fn a_waybill_to_be_killed() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let data_dir = DataDir::open(&folder).unwrap();
    let launcher = launcher(&data_dir);
    let (postgres, kafka) = tokio::join!(Postgres::start(&data_dir, &launcher), Kafka::start(&data_dir, &launcher));
    let (postgres, _kafka) = (postgres.unwrap(), kafka.unwrap());
    let count = count(postgres.url()).await;
    // Whoever waits for the file finds all of it.
    fs::write(folder.join("ready.new"), count.to_string()).unwrap();
    fs::rename(folder.join("ready.new"), folder.join("ready")).unwrap();
    std::future::pending::<()>().await;
}

fn ready_count(folder: &Path) -> String {
    fs::read_to_string(folder.join("ready")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_outlives_a_waybill_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Victim::start(folder.path()).await;
    first.kill();
    let processes = [&first.servers[..], &first.supervisors[..]].concat();
    until("all are gone", GONE_WITHIN, || !processes.iter().any(|pid| is_alive(*pid))).await;

    // The next goes on, also when it starts before the servers of the one before have stopped.
    let mut second = Victim::start(folder.path()).await;
    assert_eq!(ready_count(folder.path()), "2");
    second.kill();
    let mut third = Victim::start(folder.path()).await;
    assert_eq!(ready_count(folder.path()), "3");
    assert!(!second.servers.iter().any(|pid| is_alive(*pid)));
    third.kill();
    until("all are gone", GONE_WITHIN, || !third.servers.iter().any(|pid| is_alive(*pid))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_lost_their_supervisors_are_stopped_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Victim::start(folder.path()).await;
    kill("-STOP", i64::from(first.process.id()));
    for supervisor in &first.supervisors {
        kill("-KILL", *supervisor);
    }
    first.kill();
    sleep(Duration::from_millis(300)).await;
    assert!(first.servers.iter().all(|pid| is_alive(*pid)));

    let mut second = Victim::start(folder.path()).await;
    assert_eq!(ready_count(folder.path()), "2");
    assert!(!first.servers.iter().any(|pid| is_alive(*pid)));
    second.kill();
    until("all are gone", GONE_WITHIN, || !second.servers.iter().any(|pid| is_alive(*pid))).await;
}
