//! The data folder: everything that `waybill` keeps, owned by one process at a time.
//!
//! `lock` is held exclusively for as long as [`DataDir`] lives (the system drops it with the process, however that ends).
//! `version` says who may open the folder: a folder of a newer layout is refused, never guessed at. `run.json` says where the
//! running parts are. Files with secrets have mode 0600 and, like all others here, are replaced whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A process that was just killed takes a moment to let go of the lock; so long a start waits for it.
const LET_GO_WITHIN: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The layout of the folder that this version writes.
const LAYOUT: u32 = 1;
pub(crate) const SECRET_MODE: u32 = 0o600;
const PLAIN_MODE: u32 = 0o644;

/// Why a data folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds the lock: for `up`, exit 2.
    #[error("another waybill is running on {}; stop it, or choose another folder with WAYBILL_DATA_DIR", path.display())]
    InUse { path: PathBuf },
    #[error("{} was written by a newer waybill (layout {found}, this one knows {LAYOUT}); use that version or another WAYBILL_DATA_DIR", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error("{} holds no version number; it is not a waybill data folder, choose another WAYBILL_DATA_DIR", path.display())]
    BadVersion { path: PathBuf },
    #[error("{} is not valid: {source}; is waybill running?", path.display())]
    BadRunJson { path: PathBuf, source: serde_json::Error },
    #[error("can't {what} {}: {source}; check its owner and free space, or choose another WAYBILL_DATA_DIR", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

impl DataDirError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Where the running parts are (`run.json`); what isn't there is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<String>,
    /// That Kafka is the stand-in of the running process: it holds only what came since its start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kafka_in_process: bool,
}

/// A data folder that this process owns until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the folder if need be (mode 0700), takes its lock and checks its version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataDirError> {
        let path = path.as_ref();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(DataDirError::io("create", path))?;
        let path = path.canonicalize().map_err(DataDirError::io("open", path))?;
        let lock = take_lock(&path)?;
        check_version(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder, absolute and without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path within the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Creates (if need be) and names a folder within.
    pub fn folder(&self, name: &str) -> Result<PathBuf, DataDirError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(DataDirError::io("create", &path))?;
        Ok(path)
    }

    /// Says where the parts are. Mode 0600: the database's URL holds its password.
    pub fn write_run_json(&self, run: &Run) -> Result<(), DataDirError> {
        self.write_json("run.json", run)
    }

    /// Takes `run.json` away, as nothing runs any more.
    pub fn remove_run_json(&self) -> Result<(), DataDirError> {
        let path = self.path.join("run.json");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DataDirError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Writes a file that only its owner may read, whole or not at all.
    pub fn write_secret(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, DataDirError> {
        let path = self.path.join(name);
        write_atomically(&path, bytes, SECRET_MODE).map_err(DataDirError::io("write", &path))?;
        Ok(path)
    }

    /// Writes a value as JSON, mode 0600, whole or not at all.
    pub(crate) fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), DataDirError> {
        let path = self.path.join(name);
        let write = || {
            let mut bytes = serde_json::to_vec_pretty(value)?;
            bytes.push(b'\n');
            write_atomically(&path, &bytes, SECRET_MODE)
        };
        write().map_err(DataDirError::io("write", &path))
    }

    /// A value written before with `write_json`; `None` if there is none or it can't be read (it is then made anew).
    pub(crate) fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.path.join(name)).ok()?).ok()
    }
}

/// Reads `run.json` of the folder at `path`, which another process may own. `None` when there is none.
pub fn read_run_json(path: impl AsRef<Path>) -> Result<Option<Run>, DataDirError> {
    let path = path.as_ref().join("run.json");
    match fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|source| DataDirError::BadRunJson { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataDirError::io("read", &path)(error)),
    }
}

fn take_lock(folder: &Path) -> Result<File, DataDirError> {
    let path = folder.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(SECRET_MODE)
        .open(&path)
        .map_err(DataDirError::io("write", &path))?;
    let deadline = Instant::now() + LET_GO_WITHIN;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse { path: folder.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(DataDirError::io("lock", &path)(source)),
        }
    }
}

fn check_version(folder: &Path) -> Result<(), DataDirError> {
    let path = folder.join("version");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found > LAYOUT => Err(DataDirError::Newer { path: folder.to_owned(), found }),
            Ok(_) => Ok(()),
            Err(_) => Err(DataDirError::BadVersion { path }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_atomically(&path, format!("{LAYOUT}\n").as_bytes(), PLAIN_MODE)
                .map_err(DataDirError::io("write", &path))
        }
        Err(error) => Err(DataDirError::io("read", &path)(error)),
    }
}

/// Writes beside `path`, makes it durable, then renames: a reader sees the old file or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_second_owner_is_refused_until_the_first_lets_go() {
        let folder = folder();
        let path = folder.path().join("a/b");
        let first = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(DataDirError::InUse { .. })));
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_folder_of_a_newer_version_is_refused() {
        let folder = folder();
        drop(DataDir::open(folder.path()).unwrap());
        fs::write(folder.path().join("version"), "2\n").unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::Newer { found: 2, .. })));
        fs::write(folder.path().join("version"), "x\n").unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::BadVersion { .. })));
    }

    #[test]
    fn a_path_that_is_a_file_is_one_clear_line() {
        let folder = folder();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let message = DataDir::open(&path).unwrap_err().to_string();
        assert!(message.starts_with("can't create "), "{message}");
        assert!(!message.contains('\n'));
    }

    #[test]
    fn run_json_is_there_and_back_and_only_its_owner_may_read_it() {
        let folder = folder();
        let data_dir = DataDir::open(folder.path()).unwrap();
        assert_eq!(read_run_json(folder.path()).unwrap(), None);
        let run = Run { http: Some("http://127.0.0.1:8080".into()), ..Run::default() };
        data_dir.write_run_json(&run).unwrap();
        assert_eq!(read_run_json(folder.path()).unwrap(), Some(run));
        let mode = fs::metadata(folder.path().join("run.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        data_dir.remove_run_json().unwrap();
        data_dir.remove_run_json().unwrap();
        assert_eq!(read_run_json(folder.path()).unwrap(), None);
    }
}
