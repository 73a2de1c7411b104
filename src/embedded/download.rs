//! Pinned artefacts from Maven Central, fetched once and kept for all of a user's `waybill`s.
//!
//! A file is in the cache only whole and with the right SHA-256: it is written beside under another name, checked, then renamed.
//! A lock keeps two processes from fetching at once; what a killed one left is swept by the next. Proxies are taken from the
//! environment (`HTTPS_PROXY`, `NO_PROXY`), the roots of trust from the platform.

use std::env;
use std::error::Error as _;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use reqwest::{Client, StatusCode};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::data_dir::DataDir;

const MAVEN_CENTRAL: &str = "https://repo1.maven.org/maven2";
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 500 });
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may stay silent within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 4;
/// How long to wait for another process that fetches.
const LOCK_WAIT: Duration = Duration::from_secs(15 * 60);
const LOCK_POLL: Duration = Duration::from_millis(200);
const UNFINISHED: &str = ".fetching-";

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{url} is not the file that was pinned: SHA-256 {actual}, expected {expected}; a proxy or mirror may have changed it, nothing was kept"
    )]
    Checksum { url: String, expected: &'static str, actual: String },
    #[error("{url} answered {status}; check the network and its proxy, then start again")]
    Status { url: String, status: StatusCode },
    #[error("can't fetch {url}: {reason}; check the network and its proxy (HTTPS_PROXY), then start again")]
    Network { url: String, reason: String },
    #[error("another process has held {} for {} minutes; end it, then start again", path.display(), LOCK_WAIT.as_secs() / 60)]
    Locked { path: PathBuf },
    #[error("can't write {}: {source}; check its owner and free space", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    fn network(url: &str, error: &reqwest::Error) -> Self {
        let mut reason = String::new();
        let mut cause = error.source();
        while let Some(next) = cause {
            reason = next.to_string();
            cause = next.source();
        }
        if reason.is_empty() {
            reason = error.to_string();
        }
        Self::Network { url: url.to_owned(), reason }
    }

    /// May the same request fare better in a moment?
    fn is_passing(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Checksum { .. } => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Locked { .. } | Self::Io { .. } => false,
        }
    }
}

/// One file of a Maven repository.
#[derive(Debug, Clone, Copy)]
pub struct Artefact {
    /// Below the repository's root: `group/artefact/version/file`.
    pub path: &'static str,
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: &'static str,
}

impl Artefact {
    fn file_name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

/// A folder of fetched artefacts and the repository they come from.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    repository: String,
}

impl Cache {
    /// `$XDG_CACHE_HOME/waybill`, else `~/.cache/waybill`, else `DATA_DIR/cache`; filled from Maven Central.
    pub fn of_user(data_dir: &DataDir) -> Self {
        let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .map(|cache| cache.join("waybill"))
            .unwrap_or_else(|| data_dir.join("cache"));
        Self::at(folder, MAVEN_CENTRAL)
    }

    /// A cache in `folder`, filled from the Maven repository at `repository`.
    pub fn at(folder: impl Into<PathBuf>, repository: impl Into<String>) -> Self {
        let repository: String = repository.into();
        Self { folder: folder.into(), repository: repository.trim_end_matches('/').to_owned() }
    }

    /// The folder itself; it need not exist yet.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes the cache's lock, which is held until the file is dropped.
    pub(crate) async fn lock(&self) -> Result<File, Error> {
        fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
        let path = self.folder.join("lock");
        let lock = File::create(&path).map_err(Error::io(&path))?;
        let give_up = Instant::now() + LOCK_WAIT;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => sleep(LOCK_POLL).await,
                Err(TryLockError::WouldBlock) => return Err(Error::Locked { path }),
                Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
            }
        }
    }

    /// Fetches what isn't there yet and returns where each file lies, in the order asked for. `title` names it to people.
    ///
    /// Files that are there were checked when they were fetched; later only their size is.
    pub async fn fetch(&self, title: &str, artefacts: &[Artefact]) -> Result<Vec<PathBuf>, Error> {
        let place = |artefact: &Artefact| self.folder.join(artefact.file_name());
        if artefacts.iter().any(|artefact| !is_there(&place(artefact), artefact)) {
            let _lock = self.lock().await?;
            sweep(&self.folder);
            let missing: Vec<Artefact> =
                artefacts.iter().filter(|artefact| !is_there(&place(artefact), artefact)).copied().collect();
            self.fetch_all(title, missing).await?;
        }
        Ok(artefacts.iter().map(place).collect())
    }

    async fn fetch_all(&self, title: &str, missing: Vec<Artefact>) -> Result<(), Error> {
        let total = missing.iter().map(|artefact| artefact.bytes).sum();
        if total == 0 {
            return Ok(());
        }
        tracing::info!(title, bytes = total, from = %self.repository, "fetching");
        let bar = progress_bar(title, total);
        let client = client().map_err(|error| Error::network(&self.repository, &error))?;
        let result = stream::iter(missing)
            .map(|artefact| self.fetch_one(&client, artefact, &bar))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await;
        bar.finish_and_clear();
        if result.is_ok() {
            tracing::info!(title, size = %HumanBytes(total), "fetched, checksums right");
        }
        result
    }

    async fn fetch_one(&self, client: &Client, artefact: Artefact, bar: &ProgressBar) -> Result<(), Error> {
        let url = format!("{}/{}", self.repository, artefact.path);
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let mut received = 0;
            let result = self.try_fetch(client, &artefact, &url, bar, &mut received);
            match result.await {
                Err(error) if error.is_passing() && attempt < ATTEMPTS => {
                    tracing::debug!(%error, attempt, "fetching again");
                    bar.dec(received);
                    sleep(pause).await;
                    pause *= 2;
                }
                result => return result,
            }
        }
        Ok(())
    }

    async fn try_fetch(
        &self,
        client: &Client,
        artefact: &Artefact,
        url: &str,
        bar: &ProgressBar,
        received: &mut u64,
    ) -> Result<(), Error> {
        let network = |error: reqwest::Error| Error::network(url, &error);
        let path = self.folder.join(artefact.file_name());
        let mut response = client.get(url).send().await.map_err(network)?;
        if response.status() != StatusCode::OK {
            return Err(Error::Status { url: url.to_owned(), status: response.status() });
        }
        let mut file =
            tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder).map_err(Error::io(&path))?;
        let mut hash = Sha256::new();
        while let Some(chunk) = response.chunk().await.map_err(network)? {
            *received += chunk.len() as u64;
            bar.inc(chunk.len() as u64);
            if *received > artefact.bytes {
                break;
            }
            hash.update(&chunk);
            file.write_all(&chunk).map_err(Error::io(&path))?;
        }
        let actual = if *received > artefact.bytes {
            format!("unknown (it is longer than {} bytes)", artefact.bytes)
        } else {
            hex(&hash.finalize())
        };
        if actual != artefact.sha256 {
            return Err(Error::Checksum { url: url.to_owned(), expected: artefact.sha256, actual });
        }
        file.as_file().sync_all().map_err(Error::io(&path))?;
        file.persist(&path).map_err(|error| Error::io(&path)(error.error))?;
        Ok(())
    }
}

fn client() -> Result<Client, reqwest::Error> {
    // Fails only if a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
        .build()
}

fn is_there(path: &Path, artefact: &Artefact) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == artefact.bytes)
}

/// Takes away what a killed process left half made. Called with the lock held.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Drawn on stderr, and only if that is a terminal.
fn progress_bar(title: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(title.to_owned());
    let template = "fetching {msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec}";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
