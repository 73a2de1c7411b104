//! A Kafka for the tests: the one named by `WAYBILL_TEST_KAFKA` (host:port), else one that is started here. Its jars are those
//! that Waybill itself pins, from the user's cache or fetched. It ends with this process, however that ends.
use sha2::{Digest, Sha256};
use std::{
    io::Write as _,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

const REPOSITORY: &str = "https://repo.maven.apache.org/maven2";
const PINNED: &str = include_str!("../../../../src/embedded/kafka/jars.rs");
const READY_WITHIN: Duration = Duration::from_secs(90);

const LOGGING: &str = "rootLogger.level=INFO
rootLogger.appenderRef.o.ref=o
appender.o.type=Console
appender.o.name=o
appender.o.layout.type=PatternLayout
appender.o.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
";

/// The Kafka that all tests of this process share; `None` where there is no Java, which it says. In CI that is a failure.
pub(crate) fn shared() -> Option<&'static str> {
    static SHARED: OnceLock<Option<(String, Option<Server>)>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| match std::env::var("WAYBILL_TEST_KAFKA") {
        Ok(brokers) => Some((brokers, None)),
        Err(_) => Server::start().map(|server| (server.brokers(), Some(server))),
    });
    shared.as_ref().map(|(brokers, _)| brokers.as_str())
}

pub(crate) struct Server {
    folder: tempfile::TempDir,
    broker: u16,
    keeper: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Option<Server> {
        let Some(jars) = java().and_then(|()| jars()) else {
            assert!(std::env::var_os("CI").is_none(), "CI needs a Java for the tests on real Kafka");
            println!("NOT TESTED on real Kafka: there is no Java, or its jars can't be had");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("waybill-test-kafka-").tempdir().unwrap();
        let [broker, controller] = free_ports();
        std::fs::write(folder.path().join("server.properties"), properties(folder.path(), broker, controller)).unwrap();
        std::fs::write(folder.path().join("log4j2.properties"), LOGGING).unwrap();
        std::fs::write(folder.path().join("class-path"), format!("-cp \"{jars}\"")).unwrap();
        let mut server = Server { folder, broker, keeper: None };
        let formatted =
            server.java(&["kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c"]).output();
        assert!(formatted.unwrap().status.success(), "Kafka's folder can't be formatted");
        server.run();
        Some(server)
    }

    pub(crate) fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.broker)
    }

    /// Starts it (again), and returns once it takes connections.
    pub(crate) fn run(&mut self) {
        // A shell stands between: it ends the server when our end of its input is closed, also when we are killed.
        let script = r#"trap : INT TERM; "$@" >>"$0" 2>&1 </dev/null & read -r word; kill -TERM $!; wait $!
            [ "$word" = keep ] || rm -rf "${0%/*}""#;
        let log = self.folder.path().join("log");
        let from = std::fs::metadata(&log).map_or(0, |log| log.len() as usize);
        let java = self.java(&["kafka.Kafka"]);
        let mut keeper = Command::new("sh");
        keeper.arg("-c").arg(script).arg(&log).arg(java.get_program()).args(java.get_args());
        self.keeper = Some(keeper.stdin(Stdio::piped()).spawn().unwrap());
        let deadline = Instant::now() + READY_WITHIN;
        let started = || {
            let text = std::fs::read(&log).unwrap_or_default();
            String::from_utf8_lossy(&text[from.min(text.len())..]).contains("Kafka Server started")
        };
        while !(started() && TcpStream::connect((Ipv4Addr::LOCALHOST, self.broker)).is_ok()) {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "Kafka doesn't start:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            // Its folder stays, for the next start; if we just vanish, it goes too.
            keeper.stdin.take().unwrap().write_all(b"keep\n").unwrap();
            keeper.wait().unwrap();
        }
    }

    fn java(&self, arguments: &[&str]) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xmx320m", "-XX:+UseSerialGC", "-XX:-UsePerfData"])
            .arg(format!("-Dlog4j2.configurationFile={}", self.folder.path().join("log4j2.properties").display()))
            .arg(format!("@{}", self.folder.path().join("class-path").display()))
            .args(arguments)
            .arg(self.folder.path().join("server.properties"));
        java
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn properties(folder: &Path, broker: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
file.delete.delay.ms=1000
",
        folder.join("data").display()
    )
}

fn free_ports() -> [u16; 2] {
    let listeners = [0, 0].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn java() -> Option<()> {
    let version = Command::new("java").arg("-version").output().ok()?;
    version.status.success().then_some(())
}

/// The class path of the pinned jars.
fn jars() -> Option<String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let fetched = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-jars");
    let mut paths = Vec::new();
    for line in PINNED.lines().filter_map(|line| line.trim().strip_prefix("jar(\"")) {
        let (path, rest) = line.split_once('"')?;
        let sha256 = rest.rsplit('"').nth(1)?;
        let name = path.rsplit('/').next()?;
        let cached = cache.as_ref().map(|cache| cache.join("waybill").join(name)).filter(|jar| jar.is_file());
        let jar = match cached {
            Some(jar) => jar,
            None => fetch(path, sha256, &fetched.join(name))?,
        };
        paths.push(jar.to_str()?.to_owned());
    }
    (!paths.is_empty()).then(|| paths.join(":"))
}

fn fetch(path: &str, sha256: &str, jar: &Path) -> Option<PathBuf> {
    if jar.is_file() {
        return Some(jar.to_owned());
    }
    std::fs::create_dir_all(jar.parent()?).ok()?;
    let url = format!("{REPOSITORY}/{path}");
    let answer = Command::new("curl").args(["--silent", "--fail", "--location", "--retry", "3", &url]).output().ok()?;
    let digest: String = Sha256::digest(&answer.stdout).iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != sha256 {
        return None;
    }
    let mut part = tempfile::NamedTempFile::new_in(jar.parent()?).ok()?;
    part.write_all(&answer.stdout).ok()?;
    part.persist(jar).ok()?;
    Some(jar.to_owned())
}
