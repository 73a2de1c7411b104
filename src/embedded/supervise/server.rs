//! The side of `waybill`: starts a supervisor, hears what it reports, starts another if it dies, and ends it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::identity::Record;
use super::spec::{Report, Spec};

/// What a supervisor needs beyond its server's own stop time.
const MARGIN: Duration = Duration::from_millis(1500);
const SUPERVISOR_PAUSE: Duration = Duration::from_secs(1);
/// How much of a log's end an error may quote.
const LOG_TAIL: usize = 400;

/// Why a server could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("can't run {} as a supervisor: {source}", exe.display())]
    Supervisor { exe: PathBuf, source: io::Error },
    #[error("{name} failed ({reason}): {tail}; all of it is in {}", log.display())]
    Failed { name: String, reason: String, tail: String, log: PathBuf },
    #[error("{name} was stopped before its end")]
    Stopped { name: String },
    #[error("a {name} of an earlier waybill still runs (see {}) and can't be stopped: {reason}; stop it, then start again", pid_file.display())]
    LeftOver { name: String, pid_file: PathBuf, reason: String },
}

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Starting,
    Running {
        pid: u32,
    },
    /// It died, and is started again unless its supervisor was told not to.
    Down {
        reason: String,
    },
    Stopped,
}

/// A server under supervision. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Server {
    stop: oneshot::Sender<()>,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Server {
    /// Stops what is left over from before, then starts the server; it is not ready yet.
    pub async fn start(exe: &Path, spec: Spec) -> Result<Self, Error> {
        clear(&spec).await?;
        let supervisor = Supervisor::spawn(exe, &spec).await?;
        let (stop, stopped) = oneshot::channel();
        let (sender, state) = watch::channel(State::Starting);
        let task = tokio::spawn(keep(exe.to_owned(), spec, supervisor, sender, stopped));
        Ok(Self { stop, state, task })
    }

    /// Changes whenever the server starts, dies or is stopped.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Stops the server and waits until it is gone; bounded by its stop time.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Runs a program that ends by itself under a supervisor; it ends with us, too. Told to stop, it is gone before this returns.
pub(crate) async fn run_once(exe: &Path, spec: &Spec, stop: &CancellationToken) -> Result<(), Error> {
    clear(spec).await?;
    let mut supervisor = Supervisor::spawn(exe, spec).await?;
    let ended = stop.run_until_cancelled(supervisor.last()).await;
    supervisor.stop(spec).await;
    match ended {
        Some(None) => Ok(()),
        Some(Some(reason)) => Err(failed(spec, reason)),
        None => Err(Error::Stopped { name: spec.name.clone() }),
    }
}

/// An error that quotes the end of the server's log.
pub(crate) fn failed(spec: &Spec, reason: String) -> Error {
    let log = fs::read(&spec.log).unwrap_or_default();
    let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]);
    Error::Failed {
        name: spec.name.clone(),
        reason,
        tail: tail.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" | "),
        log: spec.log.clone(),
    }
}

/// Sees to it that no server from before runs: waits for its supervisor, which stops it by itself, or stops it in its place.
pub(crate) async fn clear(spec: &Spec) -> Result<(), Error> {
    clear_within(spec, spec.stop_within).await
}

async fn clear_within(spec: &Spec, stop_within: Duration) -> Result<(), Error> {
    let Some(record) = Record::read(&spec.pid_file) else {
        return Ok(());
    };
    let left_over =
        |reason: String| Error::LeftOver { name: spec.name.clone(), pid_file: spec.pid_file.clone(), reason };
    if let Some(supervisor) = &record.supervisor
        && !supervisor.gone_within(stop_within + MARGIN).await
    {
        let ended = supervisor.end(Signal::KILL, MARGIN).await;
        if !ended.map_err(|error| left_over(error.to_string()))? {
            return Err(left_over("its supervisor does not end".into()));
        }
    }
    if let Some(server) = &record.server {
        let ended = server.end(spec.stop_signal.signal(), stop_within).await;
        if !ended.map_err(|error| left_over(error.to_string()))? {
            return Err(left_over("it does not end".into()));
        }
    }
    let _ = fs::remove_file(&spec.pid_file);
    Ok(())
}

/// Follows one supervisor after another until told to stop.
async fn keep(
    exe: PathBuf,
    spec: Spec,
    mut supervisor: Supervisor,
    state: watch::Sender<State>,
    mut stop: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            biased;
            _ = &mut stop => {
                supervisor.stop(&spec).await;
                state.send_replace(State::Stopped);
                return;
            }
            report = supervisor.next() => match report {
                Some(Report::Started { pid }) => {
                    tracing::debug!(server = spec.name, pid, "started");
                    state.send_replace(State::Running { pid });
                }
                Some(Report::Ended { reason, .. }) => {
                    tracing::warn!(server = spec.name, reason, log = %spec.log.display(), "it ended by itself");
                    state.send_replace(State::Down { reason });
                }
                None if !spec.restart => {
                    supervisor.stop(&spec).await;
                    let _ = (&mut stop).await;
                    return;
                }
                None => {
                    tracing::warn!(server = spec.name, "its supervisor died");
                    state.send_replace(State::Down { reason: "its supervisor died".into() });
                    tokio::select! {
                        biased;
                        _ = &mut stop => {
                            let _ = clear(&spec).await;
                            state.send_replace(State::Stopped);
                            return;
                        }
                        next = another(&exe, &spec) => supervisor = next,
                    }
                }
            }
        }
    }
}

/// A new supervisor in place of one that died, however long that takes.
async fn another(exe: &Path, spec: &Spec) -> Supervisor {
    loop {
        sleep(SUPERVISOR_PAUSE).await;
        let result = async {
            clear(spec).await?;
            Supervisor::spawn(exe, spec).await
        };
        match result.await {
            Ok(supervisor) => return supervisor,
            Err(error) => tracing::error!(server = spec.name, %error, "can't be started again yet"),
        }
    }
}

/// A supervisor process: its stdin tells it that we live.
#[derive(Debug)]
struct Supervisor {
    process: Child,
    alive: Option<ChildStdin>,
    reports: Lines<BufReader<ChildStdout>>,
}

impl Supervisor {
    async fn spawn(exe: &Path, spec: &Spec) -> Result<Self, Error> {
        let failed = |source| Error::Supervisor { exe: exe.to_owned(), source };
        let mut process = Command::new(exe)
            .args(["supervise", &spec.name])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let no_pipe = || failed(io::Error::other("no pipe to it"));
        let mut alive = process.stdin.take().ok_or_else(no_pipe)?;
        let stdout = process.stdout.take().ok_or_else(no_pipe)?;
        let mut line = serde_json::to_vec(spec).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        alive.write_all(&line).await.map_err(failed)?;
        Ok(Self { process, alive: Some(alive), reports: BufReader::new(stdout).lines() })
    }

    /// `None` when it has died (or ended, where it may).
    async fn next(&mut self) -> Option<Report> {
        loop {
            let line = self.reports.next_line().await.ok().flatten()?;
            if let Ok(report) = serde_json::from_str(&line) {
                return Some(report);
            }
        }
    }

    /// Waits for the end of a program that is not started again: why it failed, or `None` when it did not.
    async fn last(&mut self) -> Option<String> {
        let mut last = "its supervisor died".to_owned();
        while let Some(report) = self.next().await {
            match report {
                Report::Ended { code: Some(0), .. } => return None,
                Report::Ended { reason, .. } => last = reason,
                Report::Started { .. } => {}
            }
        }
        Some(last)
    }

    /// Tells it to end and waits; when it doesn't, ends it and its server by force.
    async fn stop(&mut self, spec: &Spec) {
        self.alive = None;
        if timeout(spec.stop_within + MARGIN, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
        // Usually there is nothing left to clear. If there is, it has had its time.
        if let Err(error) = clear_within(spec, Duration::ZERO).await {
            tracing::error!(server = spec.name, %error, "can't be stopped");
        }
    }
}
