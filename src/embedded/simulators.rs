//! The reference providers as processes of their own: this binary again, under a supervisor, each with a ledger that it alone writes.
use super::data_dir::{DataDir, DataDirError, write_atomically};
use super::supervise::{self, Server, Spec, StopSignal};
use super::{Launcher, free_port};
use crate::simulate::Provider;
use serde::{Deserialize, Serialize};
use std::{fs, io, net::Ipv4Addr, time::Duration};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

const STOP_WITHIN: Duration = Duration::from_secs(4);
/// A long ledger is read before it serves.
const READY_WITHIN: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(20);

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Supervise(#[from] supervise::Error),
    #[error("the {name} simulator is not ready after {} s; see its log in the data folder", READY_WITHIN.as_secs())]
    NotReady { name: &'static str },
    #[error("can't keep a port for the {name} simulator: {source}")]
    Port { name: &'static str, source: io::Error },
}

/// A running provider. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Simulator {
    url: String,
    server: Server,
}

/// What is kept about it between starts.
#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    port: u16,
}

impl Simulator {
    /// Starts it on the port it had before, if that is free, and returns when it takes calls.
    pub async fn start(
        data_dir: &DataDir,
        launcher: &Launcher,
        provider: Provider,
        key_lifetime: Option<Duration>,
    ) -> Result<Self, Error> {
        let name = provider.name();
        let folder = data_dir.folder(name)?;
        let settings_file = folder.join("settings.json");
        let before: Option<Settings> =
            fs::read(&settings_file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let spec = |port: u16| Spec {
            name: name.into(),
            program: launcher.exe.clone(),
            args: vec![
                "simulate".into(),
                name.into(),
                "--addr".into(),
                format!("{}:{port}", Ipv4Addr::LOCALHOST),
                "--ledger".into(),
                folder.join("ledger.jsonl").to_string_lossy().into_owned(),
            ]
            .into_iter()
            .chain(key_lifetime.iter().flat_map(|keys| ["--key-lifetime".into(), keys.as_secs().to_string()]))
            .collect(),
            env: vec![],
            held: vec![],
            account: None,
            input: None,
            stop_signal: StopSignal::Terminate,
            stop_within: STOP_WITHIN,
            log: folder.join("log.txt"),
            pid_file: folder.join("pid"),
            restart: true,
        };
        // What is left over from before holds the port and the ledger.
        supervise::clear(&spec(0)).await?;
        let port =
            free_port(before.map(|settings| settings.port), &[]).map_err(|source| Error::Port { name, source })?;
        let text = serde_json::to_vec(&Settings { port }).unwrap_or_default();
        write_atomically(&settings_file, &text, 0o644).map_err(|source| Error::Port { name, source })?;
        let server = Server::start(&launcher.exe, spec(port)).await?;
        ready(name, port).await?;
        Ok(Simulator { url: format!("http://{}:{port}", Ipv4Addr::LOCALHOST), server })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }
}

async fn ready(name: &'static str, port: u16) -> Result<(), Error> {
    let deadline = Instant::now() + READY_WITHIN;
    while Instant::now() < deadline {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
            return Ok(());
        }
        sleep(READY_POLL).await;
    }
    Err(Error::NotReady { name })
}
