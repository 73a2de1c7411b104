//! Makes the data of a new PostgreSQL: a cluster in UTF-8 and the C locale with checksums on its pages, one role with a random password, one database.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::binaries::Binaries;
use super::{DATABASE, Error, PASSWORD_FILE, Place, USER};
use crate::embedded::Launcher;
use crate::embedded::data_dir::DataDir;
use crate::embedded::supervise::{self, Account, Spec};

/// The password made with the data.
pub(super) fn password(data_dir: &DataDir) -> Result<String, Error> {
    let path = data_dir.join(PASSWORD_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoPassword { path }),
        Err(error) => Err(Error::io(format!("read {}", path.display()))(error)),
    }
}

/// Makes `DATA_DIR/postgres` whole or not at all, and returns its password. `base` is how its server is run in a place.
pub(super) async fn make(
    data_dir: &DataDir,
    launcher: &Launcher,
    binaries: &Binaries,
    account: Option<Account>,
    base: &impl Fn(&Place) -> Spec,
) -> Result<String, Error> {
    tracing::info!(major = binaries.major(), folder = %data_dir.join("postgres").display(), "making a new PostgreSQL database");
    let password: String = rand::random::<[u8; 16]>().iter().map(|byte| format!("{byte:02x}")).collect();
    data_dir.write_secret(PASSWORD_FILE, password.as_bytes())?;
    let fresh = data_dir.join("postgres.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(Error::io(format!("remove {}", fresh.display())))?;
    }
    DirBuilder::new().mode(0o700).create(&fresh).map_err(Error::io(format!("create {}", fresh.display())))?;
    give(&fresh, account)?;
    // A copy that the server's account may open, while `initdb` runs.
    let copy = data_dir.write_secret("postgres.password.new", password.as_bytes())?;
    give(&copy, account)?;

    let place = Place::of(&fresh, account);
    let result = fill(launcher, binaries, account, base(&place), &place, &copy).await;
    fs::remove_file(&copy).map_err(Error::io(format!("remove {}", copy.display())))?;
    result?;

    let data = data_dir.join("postgres");
    fs::rename(&fresh, &data)
        .and_then(|()| File::open(data_dir.path())?.sync_all())
        .map_err(Error::io(format!("create {}", data.display())))?;
    Ok(password)
}

async fn fill(
    launcher: &Launcher,
    binaries: &Binaries,
    account: Option<Account>,
    base: Spec,
    place: &Place,
    password: &Path,
) -> Result<(), Error> {
    let password = Place::of(password, account);
    let base = Spec { restart: false, ..base };
    let mut initdb = Spec { program: binaries.initdb(), ..base.clone() };
    initdb.held.extend(password.held());
    let password = format!("--pwfile={}", password.argument(1));
    let user = format!("--username={USER}");
    initdb.args.extend(
        [user.as_str(), password.as_str(), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]
            .map(str::to_owned),
    );
    supervise::run_once(&launcher.exe, &initdb, &CancellationToken::new()).await?;
    // A server of one session, with no port: it needs no password and lets nobody else in.
    let create = Spec {
        args: vec![
            "--single".into(),
            "-D".into(),
            place.argument(0),
            "-c".into(),
            "exit_on_error=on".into(),
            "postgres".into(),
        ],
        input: Some(format!("CREATE DATABASE {DATABASE}\n")),
        ..base
    };
    supervise::run_once(&launcher.exe, &create, &CancellationToken::new()).await?;
    Ok(())
}

fn give(path: &Path, account: Option<Account>) -> Result<(), Error> {
    let Some(account) = account else {
        return Ok(());
    };
    chown(path, Some(account.uid), Some(account.gid)).map_err(Error::io(format!(
        "give {} to the account {} (PostgreSQL refuses to run as root; set DATABASE_URL instead)",
        path.display(),
        account.uid
    )))
}
