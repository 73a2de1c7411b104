//! Which process a number means: its pid together with the moment it started, so that a number used again by the system is
//! never mistaken for a server of ours.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(20);
/// How long a process may take to vanish after SIGKILL.
const KILL_WAIT: Duration = Duration::from_secs(3);

/// A process that was alive once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pid: i32,
    /// When it started, as the system says it; comparable only with itself.
    started: String,
}

/// A supervisor and the server it looks after: what a pid file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) supervisor: Option<Identity>,
    pub(super) server: Option<Identity>,
}

impl Identity {
    /// The live process of that number, if there is one (a zombie is none).
    pub(super) fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        let started = started(pid)?;
        Some(Self { pid, started })
    }

    pub(super) fn is_alive(&self) -> bool {
        started(self.pid).as_ref() == Some(&self.started)
    }

    /// Waits until the process is gone; false if it isn't by then.
    pub(super) async fn gone_within(&self, bound: Duration) -> bool {
        let give_up = Instant::now() + bound;
        while self.is_alive() {
            if Instant::now() >= give_up {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }

    /// Asks with `signal`, waits for `bound`, then kills. False if it lives on.
    pub(super) async fn end(&self, signal: Signal, bound: Duration) -> io::Result<bool> {
        self.send(signal)?;
        if self.gone_within(bound).await {
            return Ok(true);
        }
        self.send(Signal::KILL)?;
        Ok(self.gone_within(KILL_WAIT).await)
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) else {
            return Ok(());
        };
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Record {
    pub(super) fn read(pid_file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(pid_file).ok()?).ok()
    }
}

#[cfg(target_os = "linux")]
fn started(pid: i32) -> Option<String> {
    /// Fields of `/proc/PID/stat` counted after the command's closing bracket.
    const STATE: usize = 0;
    const START_TIME: usize = 19;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(*fields.get(STATE)?, "Z" | "X") {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{} {}", boot.trim(), fields.get(START_TIME)?))
}

#[cfg(not(target_os = "linux"))]
fn started(pid: i32) -> Option<String> {
    let answer =
        std::process::Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let (state, started) = text.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_a_number_used_again_is_not() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        let other = Identity { started: "long ago".into(), ..own };
        assert!(!other.is_alive());
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_signal_is_killed() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "trap '' TERM; while :; do sleep 0.05; done"])
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(100)).await;
        let identity = Identity::of(child.id()).unwrap();
        let bound = Duration::from_millis(200);
        assert!(!identity.gone_within(bound).await);
        assert!(identity.end(Signal::TERM, bound).await.unwrap());
        child.wait().unwrap();
    }
}
