//! `manifest.json`: what a backup's folder holds. Without one, or with one that its files don't match, a folder is no backup.
use super::{DUMP, STOPPED};
use crate::embedded::data_dir::write_atomically;
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use eventstore::{Log, sql::moment::Facts};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};
use tokio_util::sync::CancellationToken;

/// The layout of the folder that this version writes.
const FORMAT: u32 = 1;
const NAME: &str = "manifest.json";
const MODE: u32 = 0o600;
const READ_BYTES: usize = 256 * 1024;

/// Which half of a backup a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Main,
    Keys,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub kind: Kind,
    /// The version that took it.
    pub waybill: String,
    /// The database's own clock.
    pub taken_at: DateTime<Utc>,
    pub postgres: String,
    pub postgres_major: u32,
    /// Of the `pg_dump` that wrote it: an older `pg_restore` can't read it.
    pub pg_dump_major: u32,
    pub migrations: Vec<i64>,
    pub log: String,
    pub incarnation: i32,
    /// The last position in it, and when that was recorded.
    pub position: i64,
    pub recorded_at: Option<DateTime<Utc>>,
    pub people: i64,
    pub erased: i64,
    /// Persons of whom something is sealed and whose keys were lost before it was taken; 0.1.0 did not tell.
    #[serde(default)]
    pub lost: i64,
    /// The master keys that the persons' keys are wrapped under, by their ids.
    pub master_keys: Vec<String>,
    /// By their path in the folder.
    pub files: BTreeMap<String, FileFacts>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    pub bytes: u64,
    pub sha256: String,
}

impl Manifest {
    /// Of the dump in `folder`, which `pg_dump` has just written.
    pub(super) fn of(
        kind: Kind,
        facts: &Facts,
        pg_dump_major: u32,
        folder: &Path,
        stop: &CancellationToken,
    ) -> Result<Manifest> {
        Ok(Manifest {
            format: FORMAT,
            kind,
            waybill: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at: facts.taken_at,
            postgres: facts.server.clone(),
            postgres_major: facts.server_major,
            pg_dump_major,
            migrations: facts.migrations.clone(),
            log: facts.log.name().into_owned(),
            incarnation: facts.incarnation.0,
            position: facts.position.0,
            recorded_at: facts.recorded_at,
            people: facts.people,
            erased: facts.erased,
            lost: facts.lost,
            master_keys: facts.master_keys.clone(),
            files: files(folder, stop)?,
        })
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        write_atomically(&folder.join(NAME), &bytes, MODE).context("the manifest can't be written")
    }

    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }

    /// The oldest major version of PostgreSQL that takes it: from 17 on, `pg_restore` speaks of settings that servers before it don't know.
    pub fn restores_into(&self) -> u32 {
        const FIRST_WITH_NEWER_SETTINGS: u32 = 17;
        if self.pg_dump_major >= FIRST_WITH_NEWER_SETTINGS { self.pg_dump_major } else { self.postgres_major }
    }

    /// For people: which backup it is.
    pub fn name(&self) -> String {
        format!(
            "of {} (incarnation {}, position {})",
            self.taken_at.format("%Y-%m-%dT%H:%M:%SZ"),
            self.incarnation,
            self.position
        )
    }
}

/// Reads the manifest of a folder and holds its files against it. All that is wrong is told, and the manifest as far as there is one.
pub fn check(folder: &Path, kind: Kind) -> (Option<Manifest>, Vec<String>) {
    let manifest = match read(folder) {
        Ok(manifest) => manifest,
        Err(error) => return (None, vec![format!("{error:#}")]),
    };
    let shown = folder.display();
    let mut faults = Vec::new();
    match (manifest.kind, kind) {
        (Kind::Main, Kind::Keys) => faults.push(format!("{shown} is a main backup, not one of the keys")),
        (Kind::Keys, Kind::Main) => faults.push(format!("{shown} is a backup of the keys, not a main one")),
        _ => {}
    }
    if manifest.log != Log::MAIN.name() {
        faults.push(format!("{shown} is of log {}, not of {}", manifest.log, Log::MAIN.name()));
    }
    match files(folder, &CancellationToken::new()) {
        Ok(found) => faults.extend(differences(&manifest.files, &found).map(|fault| format!("{shown}/{fault}"))),
        Err(error) => faults.push(format!("{error:#}")),
    }
    (Some(manifest), faults)
}

fn read(folder: &Path) -> Result<Manifest> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let path = folder.join(NAME);
    let text = fs::read(&path).with_context(|| format!("{} is no backup: {NAME} can't be read", folder.display()))?;
    let Format { format } = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    anyhow::ensure!(
        format <= FORMAT,
        "{} was written by a newer waybill (format {format}, this one knows {FORMAT}): use that version",
        folder.display()
    );
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
}

fn differences<'a>(
    wanted: &'a BTreeMap<String, FileFacts>,
    found: &'a BTreeMap<String, FileFacts>,
) -> impl Iterator<Item = String> + 'a {
    let lacking = wanted.iter().filter_map(|(name, wanted)| match found.get(name) {
        None => Some(format!("{name} is missing")),
        Some(found) if found.bytes != wanted.bytes => {
            Some(format!("{name} has {} bytes, not {}", found.bytes, wanted.bytes))
        }
        Some(found) if found.sha256 != wanted.sha256 => Some(format!("{name} is damaged: its SHA-256 has changed")),
        Some(_) => None,
    });
    let added = found.keys().filter(|name| !wanted.contains_key(*name));
    lacking.chain(added.map(|name| format!("{name} is not in the manifest")))
}

/// Every file of the dump, with its size and checksum.
fn files(folder: &Path, stop: &CancellationToken) -> Result<BTreeMap<String, FileFacts>> {
    let mut files = BTreeMap::new();
    let dump = folder.join(DUMP);
    let entries = fs::read_dir(&dump).with_context(|| format!("{} can't be read", dump.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let facts = facts(&path, stop).with_context(|| format!("{} can't be read", path.display()))?;
        files.insert(format!("{DUMP}/{name}"), facts);
    }
    Ok(files)
}

fn facts(path: &Path, stop: &CancellationToken) -> io::Result<FileFacts> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let (mut buffer, mut bytes) = (vec![0; READ_BYTES], 0);
    loop {
        if stop.is_cancelled() {
            return Err(io::Error::other(STOPPED));
        }
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(FileFacts { bytes, sha256 })
}
