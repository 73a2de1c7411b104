//! Finds a PostgreSQL to run: `initdb` and `postgres` of one version, both proved to run under the account they are meant for.
//!
//! The newest on the machine that is new enough, or of exactly the major version that made the data; else the pinned download.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Error, pinned};
use crate::embedded::Launcher;
use crate::embedded::supervise::Account;

/// The oldest major version with all that the event store asks for.
const OLDEST: u32 = 14;

/// A folder of server programs and their major version.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(super) fn major(&self) -> u32 {
        self.major
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Both programs of the folder, if `account` can run them and they agree on a version.
    pub(super) fn probe(folder: PathBuf, account: Option<Account>) -> Option<Self> {
        let initdb = major_of(&folder.join("initdb"), account)?;
        let major = major_of(&folder.join("postgres"), account)?;
        (initdb == major).then_some(Self { folder, major })
    }
}

/// Binaries for data made by the major version `made_by`, or for new data.
pub(super) async fn find(
    launcher: &Launcher,
    account: Option<Account>,
    made_by: Option<u32>,
) -> Result<Binaries, Error> {
    if !launcher.always_download
        && let Some(found) = on_this_machine(account, made_by)
    {
        return Ok(found);
    }
    match made_by {
        Some(major) if major != pinned::MAJOR => Err(Error::NoSuchMajor { major }),
        _ => pinned::fetch(&launcher.cache, account).await,
    }
}

pub(super) fn on_this_machine(account: Option<Account>, made_by: Option<u32>) -> Option<Binaries> {
    folders()
        .into_iter()
        .filter_map(|folder| Binaries::probe(folder, account))
        .filter(|found| match made_by {
            Some(major) => found.major == major,
            None => found.major >= OLDEST,
        })
        .max_by_key(|found| found.major)
}

/// Every folder with a `postgres`, by its real path: a link's folder need not hold the rest of the installation.
fn folders() -> BTreeSet<PathBuf> {
    places()
        .into_iter()
        .filter_map(|folder| {
            let program = folder.join("postgres").canonicalize().ok()?;
            program.parent().map(Path::to_owned)
        })
        .collect()
}

/// Where programs of PostgreSQL lie by custom.
pub(super) fn places() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    folders.extend(pg_config_bindir());
    folders.extend(["/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    for (parent, name) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
    ] {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        folders.extend(
            entries
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(name))
                .map(|entry| entry.path().join("bin")),
        );
    }
    folders
}

fn pg_config_bindir() -> Option<PathBuf> {
    let answer = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok()?;
    Some(PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim()))
}

/// Asks a program for its version as the account that is to run it: proof that it can.
pub(super) fn major_of(program: &Path, account: Option<Account>) -> Option<u32> {
    let mut command = Command::new(program);
    command.arg("--version").env("LC_ALL", "C").current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    let answer = command.output().ok().filter(|answer| answer.status.success())?;
    parse_major(&String::from_utf8(answer.stdout).ok()?)
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15, `… 19beta1` is 19.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_the_programs_say() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_major(debian), Some(15));
        assert_eq!(parse_major("initdb (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(parse_major("postgres (PostgreSQL) 18\n"), Some(18));
        assert_eq!(parse_major("something else\n"), None);
    }

    #[test]
    fn a_folder_without_the_programs_is_passed_over() {
        let empty = tempfile::tempdir().unwrap();
        assert!(Binaries::probe(empty.path().to_owned(), None).is_none());
    }
}
