//! The JVM's archive of class data (class data sharing, JEP 350): what it has read, checked and laid out of Kafka's classes, mapped by the next start
//! instead of done again, which is a third of a start's processor time.
//!
//! It lies beside the jars, one for each Java and class path. A broker that finds none writes one when it ends. The JVM checks what it maps
//! (its own build, the class path, each jar's time and size), and goes on without what doesn't fit.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::embedded::download::hex;

/// How many bytes of a digest tell one Java and class path from another.
const ID_LENGTH: usize = 6;

/// Where the archive lies, or is to lie.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    /// What a JVM has written and nobody has looked at yet.
    written: PathBuf,
}

impl Archive {
    /// `None` where that Java can't be looked at: then there is none.
    pub(super) fn of(java: &Path, class_path: &str, cache: &Path) -> Option<Archive> {
        let id = id(java, class_path).ok()?;
        let path = cache.join(format!("kafka-{id}.jsa"));
        let written = path.with_extension("jsa.new");
        Some(Archive { path, written })
    }

    /// Takes what an earlier broker has written, if that is whole and the first.
    pub(super) fn take(&self) {
        let _ = match self.is_there() {
            true => fs::remove_file(&self.written),
            false if is_whole(&self.written) => fs::rename(&self.written, &self.path),
            false => Ok(()),
        };
    }

    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Has a JVM map it.
    pub(super) fn mapped(&self) -> String {
        format!("-XX:SharedArchiveFile={}", self.path.display())
    }

    /// Has a JVM write it when it ends.
    pub(super) fn made(&self) -> String {
        format!("-XX:ArchiveClassesAtExit={}", self.written.display())
    }
}

/// The same for as long as that Java stays as it is and runs the same jars: what another has written would never be mapped.
fn id(java: &Path, class_path: &str) -> io::Result<String> {
    let java = fs::canonicalize(java)?;
    let file = fs::metadata(&java)?;
    let changed = file.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let told = format!("{} {} {} {class_path}", java.display(), file.len(), changed.as_nanos());
    Ok(hex(&Sha256::digest(told.as_bytes())[..ID_LENGTH]))
}

/// A JVM writes the head last, over a hole: until then it is zeros.
fn is_whole(path: &Path) -> bool {
    let mut head = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head != [0; 4]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_whole_is_taken_and_what_was_not_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let java = folder.path().join("java");
        fs::write(&java, "one").unwrap();
        let of = |jars| Archive::of(&java, jars, folder.path()).unwrap();
        let archive = of("a.jar");
        fs::write(&archive.written, [0; 64]).unwrap();
        archive.take();
        assert!(!archive.is_there(), "its head is not there yet");
        fs::write(&archive.written, [7; 64]).unwrap();
        archive.take();
        assert!(archive.is_there());
        fs::write(&archive.written, [8; 64]).unwrap();
        archive.take();
        assert!(!archive.written.exists(), "one is enough");
        assert!(of("a.jar").is_there());
        assert!(!of("b.jar").is_there(), "each class path has its own");
        fs::write(&java, "another").unwrap();
        assert!(!of("a.jar").is_there(), "each Java has its own");
    }
}
