//! Finds PostgreSQL's own tools for a backup, `pg_dump` and `pg_restore` of one version. They run as ourselves, also as root.
//!
//! They must be on the machine: the pinned download has the server alone.

use std::path::PathBuf;

use super::binaries::{major_of, places};

const PROGRAMS: [&str; 2] = ["pg_dump", "pg_restore"];

/// `pg_dump` and `pg_restore` of one major version.
#[derive(Debug, Clone)]
pub struct Tools {
    folder: PathBuf,
    major: u32,
}

/// There are none that are new enough.
#[derive(Debug, thiserror::Error)]
#[error(
    "pg_dump and pg_restore of PostgreSQL {at_least} or later are not on this machine{}; install them (Debian and Ubuntu: postgresql-client-{at_least}, or postgresql-client where it is new enough)",
    newest.map(|newest| format!(" (the newest here are of {newest})")).unwrap_or_default()
)]
pub struct NoTools {
    pub at_least: u32,
    pub newest: Option<u32>,
}

impl Tools {
    /// The oldest that are new enough: what they write, the fewest are too old to read.
    pub fn find(at_least: u32) -> Result<Tools, NoTools> {
        let all = Tools::on_this_machine();
        let newest = all.iter().map(|tools| tools.major).max();
        let fitting = all.into_iter().filter(|tools| tools.major >= at_least).min_by_key(|tools| tools.major);
        fitting.ok_or(NoTools { at_least, newest })
    }

    fn on_this_machine() -> Vec<Tools> {
        let complete = |folder: PathBuf| {
            let majors: Option<Vec<u32>> = PROGRAMS
                .iter()
                .map(|name| {
                    let program = folder.join(name);
                    // Debian's /usr/bin has wrappers that choose a version by the machine's own clusters.
                    let real = program.canonicalize().ok()?;
                    if real.file_name()? == *name { major_of(&program, None) } else { None }
                })
                .collect();
            match majors?[..] {
                [dump, restore] if dump == restore => Some(Tools { folder, major: dump }),
                _ => None,
            }
        };
        places().into_iter().filter_map(complete).collect()
    }

    pub fn pg_dump(&self) -> PathBuf {
        self.folder.join(PROGRAMS[0])
    }

    pub fn pg_restore(&self) -> PathBuf {
        self.folder.join(PROGRAMS[1])
    }

    pub fn major(&self) -> u32 {
        self.major
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_are_too_old_are_refused_with_what_to_install() {
        let error = Tools::find(1_000).unwrap_err();
        assert_eq!(error.at_least, 1_000);
        let text = error.to_string();
        assert!(text.contains("postgresql-client-1000"), "{text}");
    }
}
