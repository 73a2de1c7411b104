//! A PostgreSQL of our own: found or fetched, made once, durable as it comes, on loopback behind a random password.
//!
//! Its data lies in `DATA_DIR/postgres`, made beside under another name and renamed when it is whole. As root it runs under an
//! unprivileged account, which may not be able to enter the data folder's parents: its supervisor then opens the folder as root
//! and the server reaches it as `/proc/self/fd/N`, which needs no way through the parents ([`Place`]).

mod account;
mod binaries;
mod pinned;
mod prepare;
mod tools;

pub use pinned::MAJOR as PINNED_MAJOR;
pub use tools::{NoTools, Tools};

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::data_dir::{DataDir, DataDirError};
use super::supervise::{self, Account, Server, Spec, State, StopSignal};
use super::{Launcher, download, free_port, length_of, lost_its_port};

const USER: &str = "waybill";
const DATABASE: &str = "waybill";
const PASSWORD_FILE: &str = "postgres.password";
const SETTINGS_FILE: &str = "postgres.json";
/// A fast shutdown writes a checkpoint; past this bound the next start recovers from the log, and nothing is lost.
const STOP_WITHIN: Duration = Duration::from_secs(4);
/// Recovery after a crash is part of starting.
const READY_WITHIN: Duration = Duration::from_secs(120);
const READY_POLL: Duration = Duration::from_millis(20);
const PORT_ATTEMPTS: u32 = 3;

/// Why there is no PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Download(#[from] download::Error),
    #[error(transparent)]
    Supervise(#[from] supervise::Error),
    #[error(
        "there is no PostgreSQL here and none to download for {os} on {arch}; install PostgreSQL 14 or later, or set DATABASE_URL"
    )]
    NoDownload { os: &'static str, arch: &'static str },
    #[error(
        "the data folder was made by PostgreSQL {major}, which is not on this machine any more; install it, or set DATABASE_URL"
    )]
    NoSuchMajor { major: u32 },
    #[error("can't unpack the downloaded PostgreSQL: {source}; install PostgreSQL 14 or later, or set DATABASE_URL")]
    Unpack { source: io::Error },
    #[error("{} is there but holds no PostgreSQL data; move it away, then start again", path.display())]
    NotData { path: PathBuf },
    #[error("{} is gone but the database it opens is there; put it back, or set DATABASE_URL", path.display())]
    NoPassword { path: PathBuf },
    #[error("PostgreSQL is not ready after {} s; see {}", READY_WITHIN.as_secs(), log.display())]
    NotReady { log: PathBuf },
    #[error("can't {what}: {source}")]
    Io { what: String, source: io::Error },
}

impl Error {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The major version of the newest PostgreSQL on this machine that is good enough.
pub fn found_on_this_machine() -> Option<u32> {
    binaries::on_this_machine(None, None).map(|binaries| binaries.major())
}

/// A running PostgreSQL. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    server: Server,
}

/// What is kept about the server between starts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Settings {
    port: Option<u16>,
}

impl Postgres {
    /// Starts it, first making its data if there is none, and returns when it takes connections.
    pub async fn start(data_dir: &DataDir, launcher: &Launcher) -> Result<Self, Error> {
        let data = data_dir.join("postgres");
        let made_by = major_of_data(&data)?;
        let account = account::choose(&data);
        // Before all else: a server left over from before holds files that preparing would touch.
        let log = data_dir.folder("log")?.join("postgres.log");
        let pid_file = data_dir.folder("run")?.join("postgres.pid");
        let binaries = binaries::find(launcher, account, made_by).await?;
        tracing::debug!(folder = %binaries.folder().display(), major = binaries.major(), ?account, "PostgreSQL found");
        let base = |place: &Place| Spec {
            name: "postgres".into(),
            program: binaries.postgres(),
            args: vec!["-D".into(), place.argument(0)],
            env: vec![("LC_ALL".into(), "C".into())],
            held: place.held(),
            account,
            input: None,
            stop_signal: StopSignal::Interrupt,
            stop_within: STOP_WITHIN,
            log: log.clone(),
            pid_file: pid_file.clone(),
            restart: true,
        };
        let place = Place::of(&data, account);
        supervise::clear(&base(&place)).await?;
        let password = match made_by {
            Some(_) => prepare::password(data_dir)?,
            None => prepare::make(data_dir, launcher, &binaries, account, &base).await?,
        };
        forget_stale_pid(&data);
        let (server, port) = run(data_dir, launcher, &data, base(&place)).await?;
        Ok(Self { url: format!("postgres://{USER}:{password}@{}:{port}/{DATABASE}", Ipv4Addr::LOCALHOST), server })
    }

    /// `postgres://…` with user, password and database: only for whoever may read the data folder's secrets.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes when it dies (it is then started again on the same port) and when it is back.
    pub fn state(&self) -> watch::Receiver<State> {
        self.server.state()
    }

    /// Stops it and waits until it is gone: at most some six seconds, usually a fraction of one.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// How the server reaches a folder: by its path, or held open for an account that may not get there by path.
struct Place {
    path: PathBuf,
    held: bool,
}

impl Place {
    fn of(path: &Path, account: Option<Account>) -> Self {
        Self { path: path.to_owned(), held: account.is_some() && cfg!(target_os = "linux") }
    }

    /// What stands for it in the arguments, being the N-th held file.
    fn argument(&self, n: usize) -> String {
        if self.held { format!("{{held:{n}}}") } else { self.path.to_string_lossy().into_owned() }
    }

    fn held(&self) -> Vec<PathBuf> {
        self.held.then(|| self.path.clone()).into_iter().collect()
    }
}

/// The major version that made the data; `None` when there is none yet.
fn major_of_data(data: &Path) -> Result<Option<u32>, Error> {
    match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(text) => match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => Err(Error::NotData { path: data.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if data.exists() {
                return Err(Error::NotData { path: data.to_owned() });
            }
            Ok(None)
        }
        Err(error) => Err(Error::io(format!("read {}", data.display()))(error)),
    }
}

/// Starts the server on the port it had, or another if that is taken now.
async fn run(data_dir: &DataDir, launcher: &Launcher, data: &Path, base: Spec) -> Result<(Server, u16), Error> {
    let settings: Settings = data_dir.read_json(SETTINGS_FILE).unwrap_or_default();
    let mut wanted = settings.port;
    for attempt in 1.. {
        let port = free_port(wanted, &[]).map_err(Error::io("find a free port"))?;
        data_dir.write_json(SETTINGS_FILE, &Settings { port: Some(port) })?;
        let mut spec = base.clone();
        spec.args.extend(arguments(port));
        let from = length_of(&spec.log);
        let server = Server::start(&launcher.exe, spec.clone()).await?;
        match ready(&server, data, port, &spec).await {
            Ok(()) => return Ok((server, port)),
            Err(error) => {
                server.stop().await;
                if !lost_its_port(&spec.log, from) || attempt >= PORT_ATTEMPTS {
                    return Err(error);
                }
                wanted = None;
            }
        }
    }
    Err(Error::NotReady { log: base.log })
}

/// Settings on the command line, so that a later version may change them. Durability stays as PostgreSQL has it.
fn arguments(port: u16) -> Vec<String> {
    let port = format!("port={port}");
    [
        port.as_str(),
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "cluster_name=waybill",
        "max_connections=300",
        "shared_buffers=128MB",
        "max_wal_size=2GB",
        // What is written goes on to the disk at once. Otherwise the system writes half a minute of it in one go, and commits wait for that.
        "backend_flush_after=256kB",
        "bgwriter_lru_maxpages=1000",
        "jit=off",
        "timezone=UTC",
        "log_timezone=UTC",
        "log_checkpoints=off",
        "logging_collector=off",
        "log_destination=stderr",
    ]
    .iter()
    .flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()])
    .collect()
}

/// Waits until the server says so in its own pid file and takes a connection.
async fn ready(server: &Server, data: &Path, port: u16, spec: &Spec) -> Result<(), Error> {
    /// The lines of `postmaster.pid` with the server's pid and its status.
    const PID: usize = 0;
    const STATUS: usize = 7;
    let state = server.state();
    let give_up = Instant::now() + READY_WITHIN;
    while Instant::now() < give_up {
        let now = state.borrow().clone();
        match now {
            State::Running { pid } => {
                let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
                let lines: Vec<&str> = text.lines().map(str::trim).collect();
                if lines.get(PID) == Some(&pid.to_string().as_str())
                    && lines.get(STATUS) == Some(&"ready")
                    && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
                {
                    return Ok(());
                }
            }
            State::Down { reason } => return Err(supervise::failed(spec, reason).into()),
            State::Starting | State::Stopped => {}
        }
        sleep(READY_POLL).await;
    }
    Err(Error::NotReady { log: spec.log.clone() })
}

/// Takes away the pid file of a server that is gone, when its number now means another program: PostgreSQL would not start.
/// That happens in containers, where numbers repeat. We hold the data folder's lock and have stopped what was left over.
fn forget_stale_pid(data: &Path) {
    let path = data.join("postmaster.pid");
    let Some(pid) = fs::read_to_string(&path).ok().and_then(|text| text.lines().next()?.trim().parse::<u32>().ok())
    else {
        return;
    };
    let other = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| !name.starts_with("postgres"));
    if other {
        let _ = fs::remove_file(path);
    }
}
