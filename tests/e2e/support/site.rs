//! A database with a log and persons, a data folder with the master key, and commands run on both: without Kafka, without a server.
use super::{
    app::{EXE, text},
    client::unique,
};
use eventstore::{
    EventStore, Log, PgEventStore, StreamId, Vault,
    contract::given::{append, payload, stream},
    sql,
    testing::{TestDatabase, TestPostgres},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;

pub(crate) const MASTER_KEY: &[u8; 32] = b"what opens the keys, and no more";
pub(crate) const NAME: &str = "Grace Hopper, 1 Long Lane";
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// A database with a log of a few events and persons, and a data folder with the master key.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) database: TestDatabase,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn write_master_key(data_dir: &Path, key: &[u8]) {
    fs::create_dir_all(data_dir).unwrap();
    let path = data_dir.join("master.key");
    fs::write(&path, hex(key)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) async fn open(database: &TestDatabase) -> Arc<PgEventStore> {
    let store = PgEventStore::connect(database.pool().await, Log::MAIN, sql::Options::default()).await.unwrap();
    Arc::new(store)
}

pub(crate) fn vault(store: &Arc<PgEventStore>) -> Vault {
    Vault::new(MASTER_KEY, store.clone(), store.clone())
}

/// Appends an order of a person of this name; answers the order's stream and the person.
pub(crate) async fn place(store: &Arc<PgEventStore>, reference: &str) -> (StreamId, Uuid) {
    let (vault, order) = (vault(store), stream());
    let person = vault.person("dev", reference).await.unwrap();
    let entry = vault.seal(&person, order.id, NAME.as_bytes()).unwrap();
    let mut placed = append().with(&order, 0, &["OrderPlaced"]).claiming(&unique("ref"), "holder").sealing(entry);
    placed.streams[0].events[0].payload = payload(r#"{"marker": "a-payload-of-the-log"}"#);
    store.append(placed).await.unwrap();
    (order, person.id)
}

impl Site {
    pub(crate) async fn with_orders(orders: usize) -> Site {
        let site = Site::empty().await;
        let store = open(&site.database).await;
        for n in 0..orders {
            place(&store, &format!("customer-{n}")).await;
        }
        store.pool().close().await;
        site
    }

    pub(crate) async fn empty() -> Site {
        let site =
            Site { folder: tempfile::tempdir().unwrap(), database: TestPostgres::shared().await.database().await };
        write_master_key(&site.data_dir(), MASTER_KEY);
        site
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(EXE);
        command.args(args).arg("--data-dir").arg(self.data_dir()).current_dir(self.folder.path()).kill_on_drop(true);
        command.env("DATABASE_URL", self.database.url()).env_remove("WAYBILL_HTTP_ADDR").env_remove("KAFKA_BROKERS");
        command
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().await.unwrap()
    }

    pub(crate) async fn done(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Backs up to `backup` and `backup.keys`.
    pub(crate) async fn back_up(&self) -> (String, String) {
        let main = self.path("backup").display().to_string();
        self.done(&["backup", "--to", &main]).await;
        (main.clone(), format!("{main}.keys"))
    }
}

/// A command that must find faults: exit 1, each in a line.
pub(crate) fn faults(output: &Output) -> Vec<String> {
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    said.lines().filter_map(|line| line.strip_prefix("FAULT  ")).map(str::to_owned).collect()
}

/// A command that could not run: exit 2, one line.
pub(crate) fn refusal(output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{}{said}", text(&output.stdout));
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// Waits until a file or folder is there.
pub(crate) async fn until_there(path: &Path) {
    let since = Instant::now();
    while !path.exists() {
        assert!(since.elapsed() < WITHIN, "{} does not come", path.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
