//! Backup and restore, on PostgreSQL's own `pg_dump` and `pg_restore`.
//!
//! A backup is two folders, each with a [`manifest`] that says what it holds and what its files' checksums are:
//!
//! - the **main** one has everything but the keys to personal data (schema `vault`) and the read model (schema `read`), as one moment
//!   saw it; the read model follows from the log and is built again;
//! - the **keys** one has the persons' wrapped keys, from a later moment: so each person of whom the main one holds something is
//!   in it, and whoever was erased meanwhile is erased in it. The master key, without which it opens nothing, is in neither.
//!
//! [`take`](take::take) writes a folder whole or not at all; [`load`] puts both into an empty database, which nobody may use until all is settled.
pub mod load;
pub mod manifest;
pub mod place;
pub mod sources;
pub mod take;
mod tool;

pub use tool::Programs;

use crate::embedded::data_dir::DataDir;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// The sub-folder that `pg_dump` writes.
const DUMP: &str = "dump";
/// Why a backup came to no end.
const STOPPED: &str = "stopped";
/// The file of a data folder that is there while a restore is under way.
const MARK: &str = "restoring";

/// Says that what the data folder holds is half a restore's.
pub fn mark(data_dir: &DataDir, backup: &str) -> Result<()> {
    data_dir.write_secret(MARK, backup.as_bytes())?;
    Ok(())
}

/// The restore is done.
pub fn unmark(data_dir: &DataDir) -> Result<()> {
    std::fs::remove_file(data_dir.join(MARK)).context("the mark of the restore can't be removed")
}

/// Which backup's restore into this data folder did not come to its end.
pub fn half_restored(data_dir: &Path) -> Option<String> {
    std::fs::read_to_string(data_dir.join(MARK)).ok()
}

/// Refuses to serve from a data folder whose restore did not come to its end.
pub fn refuse_half_restored(data_dir: &DataDir) -> Result<()> {
    match half_restored(data_dir.path()) {
        Some(backup) => {
            bail!("the restore of the backup {backup} did not come to its end: run `waybill restore` again")
        }
        None => Ok(()),
    }
}
