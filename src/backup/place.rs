//! A folder that is there whole or not at all: written beside under another name, made durable, then renamed.
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

const MODE: u32 = 0o700;

/// A folder being written. Dropped before it is whole, it is gone.
#[derive(Debug)]
pub struct Place {
    work: PathBuf,
    target: PathBuf,
    parent: File,
    /// Held for as long as it is written; what a killed one left is swept by the next.
    _lock: File,
    done: bool,
}

impl Place {
    /// `target` must not be there, or be an empty folder.
    pub fn begin(target: &Path) -> Result<Place> {
        let Some(name) = target.file_name() else { bail!("{} names no folder", target.display()) };
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let create = |folder: &Path| DirBuilder::new().mode(MODE).recursive(true).create(folder);
        create(parent).with_context(|| format!("{} can't be made", parent.display()))?;
        let parent = parent.canonicalize().with_context(|| format!("{} can't be opened", parent.display()))?;
        let target = parent.join(name);
        if !is_free(&target).with_context(|| format!("{} can't be read", target.display()))? {
            bail!("{} is there already: a backup goes to a new folder", target.display());
        }
        let work = parent.join(format!(".{}.unfinished", name.to_string_lossy()));
        let opened = || -> io::Result<(File, File)> {
            create(&work)?;
            Ok((File::open(&work)?, File::open(&parent)?))
        };
        let (lock, parent) = opened().with_context(|| format!("{} can't be made", work.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another backup to {} is under way", target.display()),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} can't be locked", work.display()));
            }
        }
        sweep(&work).with_context(|| format!("{} can't be emptied", work.display()))?;
        Ok(Place { work, target, parent, _lock: lock, done: false })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.work
    }

    /// Where it will lie, absolute.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// It is whole: makes it durable under its own name.
    pub fn finish(mut self) -> Result<PathBuf> {
        let rename = || -> io::Result<()> {
            File::open(&self.work)?.sync_all()?;
            // Over an empty folder, too.
            fs::rename(&self.work, &self.target)?;
            self.parent.sync_all()
        };
        rename().with_context(|| format!("{} can't be put in its place", self.target.display()))?;
        self.done = true;
        Ok(self.target.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_dir_all(&self.work);
        }
    }
}

fn is_free(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error),
    }
}

fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("a/backup");
        let place = Place::begin(&target).unwrap();
        fs::write(place.path().join("half"), "x").unwrap();
        assert!(Place::begin(&target).unwrap_err().to_string().contains("under way"));
        assert!(!target.exists());
        drop(place);
        assert_eq!(fs::read_dir(parent.path().join("a")).unwrap().count(), 0);

        let place = Place::begin(&target).unwrap();
        fs::write(place.path().join("whole"), "x").unwrap();
        assert_eq!(place.finish().unwrap().file_name(), target.file_name());
        assert!(target.join("whole").exists());
        assert!(Place::begin(&target).unwrap_err().to_string().contains("there already"));
    }

    #[test]
    fn what_a_killed_one_left_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join(".backup.unfinished/dump");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("half"), "x").unwrap();
        let place = Place::begin(&parent.path().join("backup")).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
