//! The ledger's file: lines of JSON, appended only, and an `fdatasync` that many callers share.
//!
//! [`Journal::open_unsynced`] writes and syncs nothing: a record outlives the process, not the machine. Whoever is the first to wait for one writes
//! all that has gathered, once those who are about to hand over theirs have done so.
//!
//! Invariants of a synced one:
//! - one process at a time: the file is locked while it is open (of an unsynced one, too);
//! - [`Journal::durable`] returns only after the record is on disk. One writer thread takes whatever has gathered,
//!   writes it as one batch and syncs once, so a hundred callers cost one sync;
//! - each batch begins with a line `{"batch":OFFSET}` of its own offset. A batch is written only after the one before
//!   was synced: a broken line with a batch mark behind it is therefore damage and the file is not opened; a broken
//!   line with none is the tail of a crash, was never answered, and is cut off;
//! - after a failed write nothing is accepted any more: what is on disk is no longer known.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What may wait for the disk; past it calls are turned away before they act.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// Who had the ledger a moment ago takes a moment to let go of it: a process that was killed, a server whose last
/// connection is still being dropped, a child between its fork and its program. So long an open waits.
pub(super) const LET_GO_WITHIN: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why a ledger's file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the ledger {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A line in its midst can't be read.
    #[error("the ledger {} is damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the bad line begins.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system says no.
    #[error("the ledger {} can't be opened", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The disk failed; what was acknowledged before is safe, nothing more is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// Whether a record may be appended now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    Full,
    Broken,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    durable: u64,
    broken: bool,
}

#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    /// Records handed over since the beginning of the file.
    records: u64,
    closing: bool,
    broken: bool,
}

/// A file that nobody syncs.
#[derive(Debug)]
pub(super) struct Unsynced {
    /// `None` after a failed write.
    file: Option<File>,
    /// Handed over and not written yet.
    gathered: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open ledger file, or none at all ([`Journal::volatile`]).
#[derive(Debug)]
pub(super) enum Journal {
    Volatile,
    Unsynced(Mutex<Unsynced>),
    Synced { shared: Arc<Shared>, progress: watch::Receiver<Progress>, writer: Option<JoinHandle<()>> },
}

impl Journal {
    /// A journal that keeps nothing: every record counts as durable at once.
    pub(super) fn volatile() -> Self {
        Self::Volatile
    }

    /// Opens or creates the file and hands each record's line to `replay`, in order. Every record counts as durable once it is written.
    /// Blocks.
    pub(super) fn open_unsynced(
        path: &Path,
        replay: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<Self, OpenError> {
        let (file, _) = open(path, replay)?;
        Ok(Self::Unsynced(Mutex::new(Unsynced { file: Some(file), gathered: Vec::new() })))
    }

    /// Opens or creates the file and hands each record's line to `replay`, in order. Blocks.
    pub(super) fn open(path: &Path, replay: impl FnMut(&[u8]) -> Result<(), String>) -> Result<Self, OpenError> {
        let (file, read) = open(path, replay)?;
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let shared = Arc::new(Shared::new(read.records));
        let (sender, progress) = watch::channel(Progress { durable: read.records, broken: false });
        let writer = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || write_batches(&shared, &sender, file, read.end)
            })
            .map_err(io)?;
        Ok(Self::Synced { shared, progress, writer: Some(writer) })
    }

    /// Whether [`Journal::append`] may be called; the caller's own lock keeps others from taking the room in between.
    pub(super) fn room(&self) -> Room {
        let (is_broken, bytes) = match self {
            Self::Volatile => return Room::Free,
            Self::Unsynced(file) => {
                let unsynced = lock(file);
                (unsynced.file.is_none(), unsynced.gathered.len())
            }
            Self::Synced { shared, .. } => {
                let waiting = shared.lock();
                (waiting.broken, waiting.bytes.len())
            }
        };
        match () {
            () if is_broken => Room::Broken,
            () if bytes > MAX_WAITING_BYTES => Room::Full,
            () => Room::Free,
        }
    }

    /// Hands a record over, newline included. The n-th record ever is durable once [`Journal::durable`]`(n)` returns.
    pub(super) fn append(&self, line: &[u8]) {
        match self {
            Self::Volatile => {}
            Self::Unsynced(file) => lock(file).gathered.extend_from_slice(line),
            Self::Synced { shared, .. } => {
                let mut waiting = shared.lock();
                waiting.bytes.extend_from_slice(line);
                waiting.records += 1;
                drop(waiting);
                shared.wake.notify_one();
            }
        }
    }

    /// Returns when the first `records` records are on disk, or written where none are synced.
    pub(super) async fn durable(&self, records: u64) -> Result<(), Broken> {
        let progress = match self {
            Self::Volatile => return Ok(()),
            Self::Unsynced(file) => return written(file).await,
            Self::Synced { progress, .. } => progress,
        };
        if progress.borrow().durable >= records {
            return Ok(());
        }
        let mut progress = progress.clone();
        match progress.wait_for(|p| p.broken || p.durable >= records).await {
            Ok(p) if p.durable >= records => Ok(()),
            _ => Err(Broken),
        }
    }
}

impl Unsynced {
    /// Writes what has gathered, if anything has.
    fn write(&mut self) -> Result<(), Broken> {
        let Some(file) = &mut self.file else { return Err(Broken) };
        if let Err(error) = file.write_all(&self.gathered) {
            give_up(&error);
            self.file = None;
            return Err(Broken);
        }
        self.gathered.clear();
        Ok(())
    }
}

fn lock(file: &Mutex<Unsynced>) -> MutexGuard<'_, Unsynced> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns when all that was handed over before is written.
async fn written(file: &Mutex<Unsynced>) -> Result<(), Broken> {
    if !lock(file).gathered.is_empty() {
        tokio::task::yield_now().await;
    }
    lock(file).write()
}

impl Drop for Journal {
    fn drop(&mut self) {
        match self {
            Self::Volatile => {}
            Self::Unsynced(file) => {
                // Nobody waited for what is left; a failure is logged.
                let _ = lock(file).write();
            }
            Self::Synced { shared, writer, .. } => {
                shared.lock().closing = true;
                shared.wake.notify_one();
                if let Some(writer) = writer.take() {
                    // It ends after the batch in hand; a panic there has already been reported by the thread itself.
                    let _ = writer.join();
                }
            }
        }
    }
}

fn open(path: &Path, mut replay: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(File, Read), OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
    let deadline = Instant::now() + LET_GO_WITHIN;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
    }
    let mut read = read(&file, &mut replay).map_err(io)?;
    if let Some((offset, reason)) = read.damage.take() {
        return Err(OpenError::Damaged { path: path.to_owned(), offset, reason });
    }
    file.set_len(read.end).and_then(|()| file.sync_all()).map_err(io)?;
    sync_folder_of(path).map_err(io)?;
    file.seek(SeekFrom::End(0)).map_err(io)?;
    Ok((file, read))
}

fn give_up(error: &io::Error) {
    tracing::error!(%error, "the ledger can't be written; nothing more is accepted");
}

impl Shared {
    fn new(records: u64) -> Self {
        Self {
            waiting: Mutex::new(Waiting { bytes: Vec::new(), records, closing: false, broken: false }),
            wake: Condvar::new(),
        }
    }
}

fn write_batches(shared: &Shared, progress: &watch::Sender<Progress>, mut file: File, mut offset: u64) {
    let mut batch = Vec::new();
    loop {
        let records = {
            let mut waiting = shared.lock();
            while waiting.bytes.is_empty() && !waiting.closing {
                waiting = shared.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if waiting.bytes.is_empty() {
                return;
            }
            mem::swap(&mut waiting.bytes, &mut batch);
            waiting.records
        };
        let mark = format!("{{\"batch\":{offset}}}\n");
        let written =
            file.write_all(mark.as_bytes()).and_then(|()| file.write_all(&batch)).and_then(|()| file.sync_data());
        if let Err(error) = written {
            give_up(&error);
            shared.lock().broken = true;
            progress.send_modify(|p| p.broken = true);
            return;
        }
        offset += (mark.len() + batch.len()) as u64;
        batch.clear();
        progress.send_modify(|p| p.durable = records);
    }
}

struct Read {
    records: u64,
    /// Where the readable part ends.
    end: u64,
    /// A line that can't be read although later batches were written.
    damage: Option<(u64, String)>,
}

fn read(file: &File, replay: &mut impl FnMut(&[u8]) -> Result<(), String>) -> io::Result<Read> {
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let (mut records, mut offset, mut line) = (0, 0_u64, Vec::new());
    let mut broken: Option<(u64, String)> = None;
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            break;
        }
        let is_mark = line == format!("{{\"batch\":{offset}}}\n").as_bytes();
        if is_mark && broken.is_some() {
            return Ok(Read { records, end: offset, damage: broken });
        }
        if broken.is_none() && !is_mark {
            let outcome = if line.ends_with(b"\n") { replay(&line) } else { Err("no end of line".to_owned()) };
            match outcome {
                Ok(()) => records += 1,
                Err(reason) => broken = Some((offset, reason)),
            }
        }
        offset += length;
    }
    Ok(Read { records, end: broken.map_or(offset, |(at, _)| at), damage: None })
}

/// A new file's name is durable only once its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
