//! The embedded default: the servers that `waybill up` brings along when none are given.
//!
//! - [`data_dir`] is the folder that holds all state, with a lock so that one `waybill` owns it.
//! - [`download`] fetches pinned artefacts from Maven Central, once a user.
//! - [`supervise`] runs a server under a small supervisor (this binary again), which stops it when `waybill` is gone.
//! - [`postgres`] and [`kafka`] find, prepare, start and stop one server each.
//!
//! Servers listen on loopback only. Nothing here knows events, orders or SQL beyond what a server needs to come up.

pub mod data_dir;
pub mod download;
pub mod kafka;
pub mod postgres;
pub mod simulators;
pub mod supervise;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::{fs, io};

use data_dir::DataDir;
use download::Cache;

/// What starting a server needs to know about this machine and this binary.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The `waybill` binary, run again as each server's supervisor.
    pub exe: PathBuf,
    /// Where downloads are kept and come from.
    pub cache: Cache,
    /// Ignore server binaries found on the machine and use the pinned download.
    pub always_download: bool,
}

impl Launcher {
    /// `exe` is `std::env::current_exe()`, except in tests. Downloads are kept in the user's cache folder.
    pub fn new(exe: PathBuf, data_dir: &DataDir) -> Self {
        Self { exe, cache: Cache::of_user(data_dir), always_download: false }
    }
}

/// A port that is free on loopback now: `wanted` if it is, else one that the system chooses, never one in `taken`.
fn free_port(wanted: Option<u16>, taken: &[u16]) -> io::Result<u16> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    if let Some(port) = wanted.filter(|port| *port != 0 && !taken.contains(port))
        && bind(port).is_ok()
    {
        return Ok(port);
    }
    const ATTEMPTS: usize = 16;
    for _ in 0..ATTEMPTS {
        let port = bind(0)?.local_addr()?.port();
        if !taken.contains(&port) {
            return Ok(port);
        }
    }
    Err(io::Error::other("the system offers no free port on 127.0.0.1"))
}

/// Whether a server has said, since its log was `from` bytes long, that its port was another program's. That one may be gone again by now: a port serves
/// for a moment as the near end of somebody's connection.
fn lost_its_port(log: &Path, from: u64) -> bool {
    const SAID_BY_ALL: &str = "Address already in use";
    log_since(log, from).contains(SAID_BY_ALL)
}

/// What was logged since the log was `from` bytes long; all of it, if it was put aside since.
fn log_since(log: &Path, from: u64) -> String {
    let log = fs::read(log).unwrap_or_default();
    let from = usize::try_from(from).ok().filter(|from| *from <= log.len());
    String::from_utf8_lossy(&log[from.unwrap_or(0)..]).into_owned()
}

/// How long a log is now.
fn length_of(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |log| log.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_port_is_what_the_log_says_of_this_start_and_not_of_those_before() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert!(!lost_its_port(&log, length_of(&log)));
        fs::write(&log, "could not bind IPv4 address: Address already in use\n").unwrap();
        assert!(lost_its_port(&log, 0));
        assert!(!lost_its_port(&log, length_of(&log)));
    }

    #[test]
    fn a_port_in_use_is_not_chosen_again() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let used = listener.local_addr().unwrap().port();
        assert_ne!(free_port(Some(used), &[]).unwrap(), used);
        drop(listener);
        assert_eq!(free_port(Some(used), &[]).unwrap(), used);
        assert_ne!(free_port(Some(used), &[used]).unwrap(), used);
    }
}
