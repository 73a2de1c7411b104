//! A real Apache Kafka of our own (KRaft, one node), where there is a Java to run it.
//!
//! Its jars are fetched once a user. Its data lies in `DATA_DIR/kafka/data` under a cluster id made with it; ports stay the same
//! over restarts while they are free.

mod archive;
mod config;
mod jars;
mod java;

use std::fs;
use std::io;
use std::iter;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::archive::Archive;
use super::data_dir::{DataDir, DataDirError, write_atomically};
use super::supervise::{self, Server, Spec, State, StopSignal};
use super::{Launcher, download, free_port, length_of, log_since, lost_its_port};

/// The broker's heap. It holds caches only: what is written lies in the system's page cache.
const HEAP: &str = "-Xmx320m";
const SETTINGS_FILE: &str = "kafka.json";
/// What the broker logs once all of it serves.
const STARTED: &str = "Kafka Server started";
/// Usually half a second; past this bound the next start checks the last segments again, and nothing committed is lost.
const STOP_WITHIN: Duration = Duration::from_secs(4);
/// The first broker of a user's that ends writes an archive then, once it has stopped.
const STOP_AND_ARCHIVE_WITHIN: Duration = Duration::from_secs(15);
const READY_WITHIN: Duration = Duration::from_secs(90);
const READY_POLL: Duration = Duration::from_millis(50);
const PORT_ATTEMPTS: u32 = 3;

/// Why there is no Kafka, though there is a Java.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Download(#[from] download::Error),
    #[error(transparent)]
    Supervise(#[from] supervise::Error),
    #[error("Kafka is not ready after {} s; see {}", READY_WITHIN.as_secs(), log.display())]
    NotReady { log: PathBuf },
    #[error("Kafka can't use a data folder with a comma in its path, {}; set WAYBILL_DATA_DIR to another", path.display())]
    Path { path: PathBuf },
    #[error("can't {what}: {source}")]
    Io { what: String, source: io::Error },
}

impl Error {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The Java that would run it, if there is one.
pub fn java_found() -> Option<PathBuf> {
    java::find()
}

/// A running Kafka. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Kafka {
    brokers: String,
    server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Ports {
    broker: u16,
    controller: u16,
}

/// What is kept about the server between starts.
#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    cluster_id: String,
    ports: Ports,
}

impl Kafka {
    /// Starts it, first making its data if there is none, and returns when it takes requests. `None` without a Java 17.
    pub async fn start(data_dir: &DataDir, launcher: &Launcher) -> Result<Option<Self>, Error> {
        let Some(java) = java::find() else {
            return Ok(None);
        };
        let jars = launcher.cache.fetch(jars::TITLE, &jars::JARS).await?;
        let node = Node::new(data_dir, launcher, java, &jars)?;
        supervise::clear(&node.server()).await?;
        let (server, ports) = node.run().await?;
        Ok(Some(Self { brokers: format!("{}:{}", Ipv4Addr::LOCALHOST, ports.broker), server }))
    }

    /// `host:port` to bootstrap from.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Changes when it dies (it is then started again on the same port) and when it is back.
    pub fn state(&self) -> watch::Receiver<State> {
        self.server.state()
    }

    /// Stops it and waits until it is gone: at most some six seconds, usually half a second; where it writes an [`Archive`], some three
    /// seconds more, and seventeen at most.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// All that is needed to run the programs of Kafka on one data folder.
struct Node<'a> {
    data_dir: &'a DataDir,
    exe: &'a Path,
    java: PathBuf,
    class_path: String,
    archive: Option<Archive>,
    folder: PathBuf,
    log: PathBuf,
    pid_file: PathBuf,
}

impl<'a> Node<'a> {
    fn new(data_dir: &'a DataDir, launcher: &'a Launcher, java: PathBuf, jars: &[PathBuf]) -> Result<Self, Error> {
        if data_dir.path().to_str().is_none_or(|path| path.contains(',')) {
            return Err(Error::Path { path: data_dir.path().to_owned() });
        }
        let class_path = std::env::join_paths(jars)
            .map_err(|_| io::Error::other("its path contains a colon"))
            .map_err(Error::io("use the download cache"))?
            .to_string_lossy()
            .into_owned();
        let archive = Archive::of(&java, &class_path, launcher.cache.folder());
        archive.iter().for_each(Archive::take);
        Ok(Self {
            data_dir,
            exe: &launcher.exe,
            archive,
            java,
            class_path,
            folder: data_dir.folder("kafka")?,
            log: data_dir.folder("log")?.join("kafka.log"),
            pid_file: data_dir.folder("run")?.join("kafka.pid"),
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn properties(&self) -> String {
        self.folder.join("server.properties").to_string_lossy().into_owned()
    }

    fn program(&self, arguments: &[&str]) -> Spec {
        let logging = self.folder.join("log4j2.properties");
        let mut args = vec![
            HEAP.to_owned(),
            "-XX:+UseSerialGC".into(),
            // The optimising compiler would take half a core for minutes, for a broker that has little to do.
            "-XX:TieredStopAtLevel=1".into(),
            "-XX:+ExitOnOutOfMemoryError".into(),
            "-XX:-UsePerfData".into(),
            "-Djava.awt.headless=true".into(),
            format!("-Dlog4j2.configurationFile={}", logging.display()),
            "-cp".into(),
            self.class_path.clone(),
        ];
        args.extend(self.archive.iter().filter(|archive| archive.is_there()).map(Archive::mapped));
        args.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Spec {
            name: "kafka".into(),
            program: self.java.clone(),
            args,
            // Java reads names of files by the locale.
            env: vec![("LC_ALL".into(), "C.UTF-8".into())],
            held: Vec::new(),
            account: None,
            input: None,
            stop_signal: StopSignal::Terminate,
            stop_within: STOP_WITHIN,
            log: self.log.clone(),
            pid_file: self.pid_file.clone(),
            restart: false,
        }
    }

    fn server(&self) -> Spec {
        let spec = Spec { restart: true, ..self.program(&["kafka.Kafka", &self.properties()]) };
        match self.archive.as_ref().filter(|archive| !archive.is_there()) {
            Some(archive) => {
                let args = iter::once(archive.made()).chain(spec.args).collect();
                Spec { args, stop_within: STOP_AND_ARCHIVE_WITHIN, ..spec }
            }
            None => spec,
        }
    }

    /// Starts the server on the ports it had, or others if they are taken now.
    async fn run(&self) -> Result<(Server, Ports), Error> {
        let had: Option<Settings> = self.data_dir.read_json(SETTINGS_FILE);
        let mut wanted = had.as_ref().map(|settings| settings.ports);
        let cluster_id = self.cluster_id(had);
        for attempt in 1.. {
            let ports = choose(wanted).map_err(Error::io("find a free port"))?;
            self.configure(ports, &cluster_id)?;
            self.format(&cluster_id).await?;
            let from = length_of(&self.log);
            let server = Server::start(self.exe, self.server()).await?;
            match self.ready(&server, ports, from).await {
                Ok(()) => return Ok((server, ports)),
                Err(error) => {
                    server.stop().await;
                    if !lost_its_port(&self.log, from) || attempt >= PORT_ATTEMPTS {
                        return Err(error);
                    }
                    wanted = None;
                }
            }
        }
        Err(Error::NotReady { log: self.log.clone() })
    }

    /// The id of the data that is there, else the one noted, else a new one (16 bytes in URL-safe base64).
    fn cluster_id(&self, had: Option<Settings>) -> String {
        let meta = fs::read_to_string(self.data().join("meta.properties")).unwrap_or_default();
        meta.lines()
            .find_map(|line| line.strip_prefix("cluster.id="))
            .map(str::to_owned)
            .or_else(|| had.map(|settings| settings.cluster_id))
            .unwrap_or_else(|| new_cluster_id(rand::random()))
    }

    fn configure(&self, ports: Ports, cluster_id: &str) -> Result<(), Error> {
        let settings = Settings { cluster_id: cluster_id.to_owned(), ports };
        self.data_dir.write_json(SETTINGS_FILE, &settings)?;
        let properties = config::server_properties(&self.data(), ports);
        for (name, text) in [("server.properties", properties.as_str()), ("log4j2.properties", config::LOGGING)] {
            let path = self.folder.join(name);
            write_atomically(&path, text.as_bytes(), 0o644).map_err(Error::io(format!("write {}", path.display())))?;
        }
        Ok(())
    }

    /// Makes the data folder if there is none; half made before, it is made anew.
    async fn format(&self, cluster_id: &str) -> Result<(), Error> {
        if self.data().join("meta.properties").exists() {
            return Ok(());
        }
        tracing::info!(folder = %self.data().display(), "making a new Kafka");
        let tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted"];
        let properties = self.properties();
        let options = ["--cluster-id", cluster_id, "--config", &properties];
        let spec = self.program(&[tool.as_slice(), options.as_slice()].concat());
        supervise::run_once(self.exe, &spec, &CancellationToken::new()).await?;
        Ok(())
    }

    /// Waits until the broker says that it has started and takes a connection.
    async fn ready(&self, server: &Server, ports: Ports, from: u64) -> Result<(), Error> {
        let state = server.state();
        let give_up = Instant::now() + READY_WITHIN;
        while Instant::now() < give_up {
            let now = state.borrow().clone();
            match now {
                State::Running { .. } => {
                    if log_since(&self.log, from).contains(STARTED)
                        && TcpStream::connect((Ipv4Addr::LOCALHOST, ports.broker)).await.is_ok()
                    {
                        return Ok(());
                    }
                }
                State::Down { reason } => {
                    return Err(supervise::failed(&self.server(), reason).into());
                }
                State::Starting | State::Stopped => {}
            }
            sleep(READY_POLL).await;
        }
        Err(Error::NotReady { log: self.log.clone() })
    }
}

fn choose(wanted: Option<Ports>) -> io::Result<Ports> {
    let broker = free_port(wanted.map(|ports| ports.broker), &[])?;
    let controller = free_port(wanted.map(|ports| ports.controller), &[broker])?;
    Ok(Ports { broker, controller })
}

/// Kafka's own form of an id: 22 characters of URL-safe base64, never with a leading dash.
fn new_cluster_id(random: [u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 126 of the 128 bits fill 21 characters; the last two stand in the 22nd.
    let mut bits = u128::from_be_bytes(random) & !(1 << 127);
    let last = (bits & 0b11) << 4;
    bits >>= 2;
    let mut id = vec![ALPHABET[last as usize]];
    for _ in 0..21 {
        id.push(ALPHABET[(bits & 0x3f) as usize]);
        bits >>= 6;
    }
    id.reverse();
    String::from_utf8_lossy(&id).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_sixteen_bytes_in_base64() {
        assert_eq!(new_cluster_id([0; 16]), "A".repeat(22));
        let id = new_cluster_id([0xff; 16]);
        assert_eq!(id, format!("f{}w", "_".repeat(20)));
    }

    #[test]
    fn the_ports_of_one_node_differ() {
        let ports = choose(None).unwrap();
        assert_ne!(ports.broker, ports.controller);
    }
}
