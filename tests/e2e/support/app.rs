//! A real `waybill up`: the built binary, PostgreSQL, Kafka and providers in a fresh folder, on free ports, under a supervisor,
//! so that nothing outlives the test binary.
use super::client::Client;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, sync::OnceCell};
use waybill::embedded::supervise::{Server, Spec, State, StopSignal};

pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_waybill");
/// A first start may fetch Kafka.
const UP_WITHIN: Duration = Duration::from_secs(180);
const STOP_WITHIN: Duration = Duration::from_secs(12);

/// Outlives every single test, each of which has a runtime of its own.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static SHARED: OnceCell<TestApp> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct TestApp {
    pub(crate) folder: PathBuf,
    program: PathBuf,
    env: Vec<(String, String)>,
    server: Option<Server>,
    pub(crate) client: Client,
}

/// The one that tests share which neither kill it nor break its providers.
pub(crate) async fn shared() -> &'static TestApp {
    SHARED.get_or_init(|| TestApp::start("shared")).await
}

impl TestApp {
    pub(crate) async fn start(name: &str) -> TestApp {
        TestApp::start_with(name, &[]).await
    }

    /// `env`: settings beside the folder and the port.
    pub(crate) async fn start_with(name: &str, env: &[(&str, &str)]) -> TestApp {
        TestApp::start_program(EXE.into(), name, env).await
    }

    /// As `start_with`, of another build.
    pub(crate) async fn start_program(program: PathBuf, name: &str, env: &[(&str, &str)]) -> TestApp {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{number}", std::process::id()));
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut app = TestApp { folder, program, env, server: None, client: Client::new() };
        fs::create_dir_all(&app.folder).expect("a folder");
        app.run().await;
        app
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("waybill.log")
    }

    /// Starts it, again after an end, and waits until it is ready.
    pub(crate) async fn run(&mut self) {
        let mut env = self.env.clone();
        if !env.iter().any(|(name, _)| name == "WAYBILL_LOG") {
            env.push(("WAYBILL_LOG".to_owned(), "info".to_owned()));
        }
        let spec = Spec {
            name: "waybill".to_owned(),
            program: self.program.clone(),
            args: ["up", "--http-addr", "127.0.0.1:0", "--data-dir"].map(str::to_owned).to_vec(),
            env,
            held: vec![],
            account: None,
            input: None,
            stop_signal: StopSignal::Terminate,
            stop_within: STOP_WITHIN,
            log: self.log(),
            pid_file: self.folder.join("waybill.pid"),
            restart: false,
        };
        let spec = Spec { args: [spec.args.clone(), vec![self.data_dir().display().to_string()]].concat(), ..spec };
        // What was written down by the run before must not be taken for this one's.
        let _ = fs::remove_file(self.data_dir().join("run.json"));
        let server = RUNTIME.spawn(async move { Server::start(Path::new(EXE), spec).await }).await;
        self.server = Some(server.expect("the runtime lives").expect("a supervisor"));
        let since = Instant::now();
        while !self.is_up().await {
            let state = self.server.as_ref().map(|server| server.state().borrow().clone());
            let dead = matches!(state, Some(State::Down { .. } | State::Stopped));
            assert!(!dead && since.elapsed() < UP_WITHIN, "waybill does not come up ({state:?}):\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn is_up(&mut self) -> bool {
        let read =
            |name: &str| -> Option<Value> { serde_json::from_slice(&fs::read(self.data_dir().join(name)).ok()?).ok() };
        let Some(run) = read("run.json") else { return false };
        // A process without the API makes no keys.
        self.client = Client::connect(&run, &read("dev-keys.json").unwrap_or_default());
        self.client.is_ready().await
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn pid(&self) -> u32 {
        match self.server.as_ref().map(|server| server.state().borrow().clone()) {
            Some(State::Running { pid }) => pid,
            state => panic!("waybill does not run: {state:?}"),
        }
    }

    /// As by the machine's own hand: no goodbye.
    pub(crate) async fn kill_9(&mut self) {
        let pid = self.pid();
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
        assert!(killed.success());
        if let Some(server) = self.server.take() {
            let mut state = server.state();
            let down = state.wait_for(|state| !matches!(state, State::Running { .. }));
            tokio::time::timeout(STOP_WITHIN, down).await.expect("it dies").expect("its supervisor says so");
        }
    }

    /// It stands still, and its connections stay open.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Runs a command of the binary against this server.
    pub(crate) async fn waybill(&self, args: &[&str]) -> Output {
        self.command(args).output().await.expect("waybill runs")
    }

    pub(crate) fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(EXE);
        command.args(args).arg("--data-dir").arg(self.data_dir()).current_dir(&self.folder).kill_on_drop(true);
        command.env_remove("WAYBILL_HTTP_ADDR").env_remove("DATABASE_URL").env_remove("KAFKA_BROKERS");
        command
    }

    /// `waybill verify` must find all well.
    pub(crate) async fn assert_verified(&self) {
        let output = self.waybill(&["verify"]).await;
        assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
