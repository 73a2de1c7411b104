//! What a supervisor is told (one line of JSON on its stdin) and what it reports (one line each on its stdout).

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// An account other than our own to run a server under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// How a server is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopSignal {
    Interrupt,
    Terminate,
}

impl StopSignal {
    pub(super) fn signal(self) -> Signal {
        match self {
            Self::Interrupt => Signal::INT,
            Self::Terminate => Signal::TERM,
        }
    }
}

/// A server to run and to look after.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// For people: `postgres`, `kafka`.
    pub name: String,
    pub program: PathBuf,
    /// `{held:N}` stands for the path of the N-th held file.
    pub args: Vec<String>,
    /// Beside `PATH`, `HOME`, `TMPDIR` and what Java reads, the whole environment of the server.
    pub env: Vec<(String, String)>,
    /// Files and folders that the supervisor opens for the server as itself. The server reaches them through `/proc/self/fd`
    /// even where its account may not enter the folders above them.
    pub held: Vec<PathBuf>,
    pub account: Option<Account>,
    /// What the server reads on stdin; nothing by default.
    pub input: Option<String>,
    pub stop_signal: StopSignal,
    /// How long it may take to end before it is killed.
    pub stop_within: Duration,
    /// Its stdout and stderr are appended here.
    pub log: PathBuf,
    /// Who runs now, for a later `waybill` that finds them left over.
    pub pid_file: PathBuf,
    /// Start it again when it dies; otherwise its first end is the supervisor's.
    pub restart: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    Started {
        pid: u32,
    },
    /// It could not be started, or it ended: with that exit code if it exited by itself.
    Ended {
        reason: String,
        code: Option<i32>,
    },
}
