//! Erasures on record outside the store: `DATA_DIR/erasures.jsonl`, one line a person whose key was destroyed.
//!
//! A store that is restored from an older backup has those keys again; whoever restores it has them destroyed again, before anything is
//! served ([`reapply`]). A line holds no personal data. Lines are only added, and each is on disk before the erasure is said to be done.
use anyhow::{Context, Result};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use commands::people::{ERASURE_TIMER, PersonHistory, person_stream};
use domain::person::Command;
use eventstore::{
    Actor, ActorKind, EventStore, Metadata, PgEventStore, Source, TimerChange,
    vault::{KnownPerson, PersonKeys},
};
use sagas::{Destroyed, ErasureRecord};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use uuid::Uuid;

pub const FILE: &str = "erasures.jsonl";
const MODE: u32 = 0o600;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub person: Uuid,
    pub shop: String,
    #[serde(rename = "ref")]
    pub reference: String,
    pub at: DateTime<Utc>,
}

/// The file of one data folder.
#[derive(Clone, Debug)]
pub struct Erasures {
    path: PathBuf,
    one_at_a_time: Arc<Mutex<()>>,
}

impl Erasures {
    pub fn in_folder(data_dir: &Path) -> Erasures {
        Erasures { path: data_dir.join(FILE), one_at_a_time: Arc::default() }
    }

    /// Adds a line, unless the person has one; on disk when it returns.
    fn add(&self, line: &Line) -> Result<()> {
        let _turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        if read(&self.path)?.lines.iter().any(|known| known.person == line.person) {
            return Ok(());
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(&self.path)?;
        let mut text = serde_json::to_string(line)? + "\n";
        if ends_torn(&mut file)? {
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let folder = self.path.parent().context("the file is in no folder")?;
        File::open(folder)?.sync_all()?;
        Ok(())
    }
}

#[async_trait]
impl ErasureRecord for Erasures {
    async fn keep(&self, destroyed: &Destroyed) -> Result<(), String> {
        let Destroyed { person, shop, customer_ref, at } = destroyed.clone();
        let (this, line) = (self.clone(), Line { person, shop, reference: customer_ref, at });
        let added = tokio::task::spawn_blocking(move || this.add(&line)).await;
        let added = added.map_err(|error| error.to_string())?;
        added.map_err(|error| format!("{}: {error:#}", self.path.display()))
    }
}

/// The file was cut off in the midst of a line, by a crash.
fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// What a file of erasures says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    pub lines: Vec<Line>,
    /// Torn by a crash; whoever was meant was not yet said to be erased.
    pub unreadable: u64,
}

/// A file that is not there says nothing.
pub fn read(path: &Path) -> Result<Lines> {
    let mut found = Lines::default();
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        file => file.with_context(|| format!("{} can't be read", path.display()))?,
    };
    for line in BufReader::new(file).split(b'\n') {
        let line = line.with_context(|| format!("{} can't be read", path.display()))?;
        match serde_json::from_slice(&line) {
            Ok(line) => found.lines.push(line),
            Err(_) if line.is_empty() => {}
            Err(_) => found.unreadable += 1,
        }
    }
    Ok(found)
}

/// What came of applying erasures again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reapplied {
    /// Keys that the restored store had again, and has no more.
    pub destroyed: u64,
    /// Had no key already.
    pub already: u64,
    /// The store never knew them: it is older than they are.
    pub absent: u64,
    /// Lines torn by a crash.
    pub unreadable: u64,
}

/// Destroys again every key that the file says was destroyed, and asks for the erasure of those whom the log does not know as erased:
/// the next `up` then tells the participants and the histories. For a store that does not serve yet; harmless when run again.
pub async fn reapply(store: Arc<PgEventStore>, file: &Path) -> Result<Reapplied> {
    let Lines { lines, unreadable } = read(file)?;
    let mut done = Reapplied { unreadable, ..Reapplied::default() };
    for line in &lines {
        let known = store.find_person(line.person).await?;
        let has_entries = !store.subjects_of(line.person, None, 1).await?.is_empty();
        if known.is_none() && !has_entries {
            done.absent += 1;
            continue;
        }
        match store.erase_key(line.person).await? {
            true => done.destroyed += 1,
            false => done.already += 1,
        }
        request(&store, line, known).await?;
    }
    Ok(done)
}

async fn request(store: &PgEventStore, line: &Line, known: Option<KnownPerson>) -> Result<()> {
    let history = PersonHistory::load(store, line.person).await?;
    let now = Utc::now();
    let metadata = Metadata {
        command_id: Uuid::now_v7(),
        causation_id: None,
        correlation_id: line.person,
        actor: Actor { kind: ActorKind::System, id: "waybill".to_owned(), key: None, on_behalf_of: None },
        source: Source::Cli,
        reason_code: Some("erased_before".to_owned()),
        occurred_at: line.at,
        trace_id: None,
        app_version: env!("CARGO_PKG_VERSION").into(),
    };
    let reference = known.map_or_else(|| line.reference.clone(), |known| known.reference);
    let command = Command::RequestErasure { customer_ref: reference, note_id: None };
    let append = history.decide(&line.shop, metadata, command);
    let append = append.map_err(|error| match error {
        Ok(rejection) => anyhow::Error::from(rejection),
        Err(error) => error.into(),
    })?;
    if let Some(mut append) = append {
        let (stream, name) = (person_stream(line.person), Cow::Borrowed(ERASURE_TIMER));
        append.timers.push(TimerChange::Set { stream, name, due_at: now, set_at: now });
        store.append(append).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn destroyed(n: u128) -> Destroyed {
        let at = DateTime::UNIX_EPOCH;
        Destroyed { person: Uuid::from_u128(n), shop: "dev".to_owned(), customer_ref: format!("hh-{n}"), at }
    }

    #[tokio::test]
    async fn each_erasure_is_on_record_once_also_after_a_crash_in_the_midst_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(read(&path).unwrap(), Lines::default());
        let erasures = Erasures::in_folder(folder.path());
        for n in [1, 2, 1] {
            erasures.keep(&destroyed(n)).await.unwrap();
        }
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"person\":\"0").unwrap();
        erasures.keep(&destroyed(3)).await.unwrap();
        let found = read(&path).unwrap();
        let refs: Vec<_> = found.lines.iter().map(|line| line.reference.as_str()).collect();
        assert_eq!((refs, found.unreadable), (vec!["hh-1", "hh-2", "hh-3"], 1));
        let text = fs::read_to_string(&path).unwrap();
        let first = r#"{"person":"00000000-0000-0000-0000-000000000001","shop":"dev","ref":"hh-1","at":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(text.lines().next(), Some(first));
    }
}
