//! One node of Kafka in a folder of its own.
use eventstore::testing::free_port;
use std::{
    io::Write as _,
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const READY_WITHIN: Duration = Duration::from_secs(90);
/// A stop in good order takes no longer; a node whose cluster is gone would wait for minutes.
const STOP_WITHIN: Duration = Duration::from_secs(5);

const LOGGING: &str = "rootLogger.level=INFO
rootLogger.appenderRef.o.ref=o
appender.o.type=Console
appender.o.name=o
appender.o.layout.type=PatternLayout
appender.o.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
";

/// A shell stands between: it ends the server when our end of its input is closed, also when we are killed. The folder stays only if told
/// so, for the next start.
const KEEPER: &str = r#"trap : INT TERM; "$@" >>"$0" 2>&1 </dev/null & echo $! >"${0%/*}/pid"
read -r word; [ -n "$word" ] || kill -KILL $!
kill -TERM $! 2>/dev/null; wait $! 2>/dev/null
[ "$word" = keep ] || rm -rf "${0%/*}""#;

pub(super) struct Node {
    folder: tempfile::TempDir,
    heap: &'static str,
    broker: u16,
    keeper: Option<Child>,
    /// How long its log was before this start.
    logged: usize,
}

impl Node {
    /// Makes its folder; `properties` say all but where the data lies.
    pub(super) fn new(class_path: &str, heap: &'static str, broker: u16, properties: &str) -> Node {
        let folder = tempfile::Builder::new().prefix("waybill-test-kafka-").tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        write("server.properties", format!("{properties}log.dirs={}\n", folder.path().join("data").display()));
        write("log4j2.properties", LOGGING.to_owned());
        write("class-path", format!("-cp \"{class_path}\""));
        let node = Node { folder, heap, broker, keeper: None, logged: 0 };
        node.format("4L6g3nShT-eMCtK--X86sw");
        node
    }

    fn format(&self, cluster: &str) {
        let formatted = self.java(&["kafka.tools.StorageTool", "format", "-t", cluster, "-c"]).output();
        assert!(formatted.unwrap().status.success(), "Kafka's folder can't be formatted");
    }

    /// Stopped, emptied, and another cluster from then on, at the same address.
    pub(super) fn make_anew(&mut self) {
        self.stop();
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
        self.format("MkU3OEVBNTcwNTJENDM2Qg");
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.broker)
    }

    pub(super) fn is_running(&self) -> bool {
        self.keeper.is_some()
    }

    /// Starts it, and returns once it takes connections.
    pub(super) fn run(&mut self) {
        self.launch();
        self.wait_until_ready();
    }

    pub(super) fn launch(&mut self) {
        let log = self.folder.path().join("log");
        self.logged = std::fs::metadata(&log).map_or(0, |log| log.len() as usize);
        let java = self.java(&["kafka.Kafka"]);
        let mut keeper = Command::new("sh");
        keeper.arg("-c").arg(KEEPER).arg(&log).arg(java.get_program()).args(java.get_args());
        self.keeper = Some(keeper.stdin(Stdio::piped()).spawn().unwrap());
    }

    pub(super) fn wait_until_ready(&self) {
        let log = self.folder.path().join("log");
        let deadline = Instant::now() + READY_WITHIN;
        let started = || {
            let text = std::fs::read(&log).unwrap_or_default();
            String::from_utf8_lossy(&text[self.logged.min(text.len())..]).contains("Kafka Server started")
        };
        while !(started() && TcpStream::connect((Ipv4Addr::LOCALHOST, self.broker)).is_ok()) {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "Kafka doesn't start:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tells it to stop.
    pub(super) fn tell_to_stop(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.stdin.take().unwrap().write_all(b"keep\n").unwrap();
        }
    }

    /// Stops it in good order, if it does so in its time.
    pub(super) fn stop(&mut self) {
        self.tell_to_stop();
        self.wait_until_stopped();
    }

    pub(super) fn wait_until_stopped(&mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        let deadline = Instant::now() + STOP_WITHIN;
        while keeper.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                self.signal("KILL");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        self.signal("KILL");
        self.stop();
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap();
        // It may have gone by itself.
        let _ = Command::new("kill").args(["-s", signal, pid.trim()]).stderr(Stdio::null()).status();
    }

    fn java(&self, arguments: &[&str]) -> Command {
        let mut java = Command::new("java");
        java.args([self.heap, "-XX:+UseSerialGC", "-XX:-UsePerfData"])
            .arg(format!("-Dlog4j2.configurationFile={}", self.folder.path().join("log4j2.properties").display()))
            .arg(format!("@{}", self.folder.path().join("class-path").display()))
            .args(arguments)
            .arg(self.folder.path().join("server.properties"));
        java
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            self.kill();
        }
    }
}

pub(super) fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners = [(); COUNT].map(|()| free_port().unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
