//! The jars of Kafka, as Waybill itself pins them: from the user's cache, or fetched.
use sha2::{Digest, Sha256};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

const REPOSITORY: &str = "https://repo.maven.apache.org/maven2";
const PINNED: &str = include_str!("../../../../../src/embedded/kafka/jars.rs");

pub(super) fn java() -> Option<()> {
    let version = Command::new("java").arg("-version").output().ok()?;
    version.status.success().then_some(())
}

/// The class path of the pinned jars.
pub(super) fn jars() -> Option<String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let fetched = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-jars");
    let mut paths = Vec::new();
    for line in PINNED.lines().filter_map(|line| line.trim().strip_prefix("jar(\"")) {
        let (path, rest) = line.split_once('"')?;
        let sha256 = rest.rsplit('"').nth(1)?;
        let name = path.rsplit('/').next()?;
        let cached = cache.as_ref().map(|cache| cache.join("waybill").join(name)).filter(|jar| jar.is_file());
        let jar = match cached {
            Some(jar) => jar,
            None => fetch(path, sha256, &fetched.join(name))?,
        };
        paths.push(jar.to_str()?.to_owned());
    }
    (!paths.is_empty()).then(|| paths.join(":"))
}

fn fetch(path: &str, sha256: &str, jar: &Path) -> Option<PathBuf> {
    if jar.is_file() {
        return Some(jar.to_owned());
    }
    std::fs::create_dir_all(jar.parent()?).ok()?;
    let url = format!("{REPOSITORY}/{path}");
    let answer = Command::new("curl").args(["--silent", "--fail", "--location", "--retry", "3", &url]).output().ok()?;
    let digest: String = Sha256::digest(&answer.stdout).iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != sha256 {
        return None;
    }
    let mut part = tempfile::NamedTempFile::new_in(jar.parent()?).ok()?;
    part.write_all(&answer.stdout).ok()?;
    part.persist(jar).ok()?;
    Some(jar.to_owned())
}
