//! The files that hold master keys: one with the key that wraps, one with those before it. Mode 0600, or they are refused. The key that
//! wraps may stand in a setting instead.
//!
//! They are read again whenever a key turns up that this process does not hold, so that a rotation needs no restart.
use crate::{
    config::Settings,
    embedded::data_dir::{SECRET_MODE, write_atomically},
};
use anyhow::{Context, Result, bail};
use eventstore::vault::{Keyring, KeyringSource, MasterKey};
use rand::{TryRng, rngs::SysRng};
use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

const MASTER_KEY: &str = "master.key";
/// One a line, the latest first.
const PREVIOUS: &str = "previous-master.keys";
const LOCK: &str = "master-keys.lock";
const KEY_BYTES: usize = 32;
/// Bits of a file's mode that let others in.
const OTHERS: u32 = 0o077;

#[derive(Clone, Debug)]
pub struct KeyFiles {
    pub master: PathBuf,
    pub previous: PathBuf,
    lock: PathBuf,
    given: Option<Given>,
    /// They are ours to write: nobody gave another place.
    pub are_ours: bool,
}

/// A master key that stands in a setting: never shown.
#[derive(Clone)]
struct Given(String);

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given(…)")
    }
}

impl KeyFiles {
    pub fn of(settings: &Settings, data_dir: &Path) -> KeyFiles {
        let or = |given: &Option<PathBuf>, name: &str| given.clone().unwrap_or_else(|| data_dir.join(name));
        KeyFiles {
            master: or(&settings.master_key_file, MASTER_KEY),
            previous: or(&settings.previous_master_keys_file, PREVIOUS),
            lock: data_dir.join(LOCK),
            given: settings.master_key.clone().map(Given),
            are_ours: settings.master_key.is_none()
                && settings.master_key_file.is_none()
                && settings.previous_master_keys_file.is_none(),
        }
    }

    /// Makes the first key, if there is none and the place is ours.
    pub fn begin(&self) -> Result<()> {
        if self.are_ours && !self.master.exists() {
            self.write(&self.master, &random()?)?;
        }
        Ok(())
    }

    /// Where the key that wraps stands, for people.
    pub fn place(&self) -> String {
        match self.given {
            Some(_) => "WAYBILL_MASTER_KEY".to_owned(),
            None => self.master.display().to_string(),
        }
    }

    /// What the files hold; `None`: there is no master key yet.
    pub fn read(&self) -> Result<Option<Keyring>> {
        let text = match &self.given {
            Some(Given(key)) => Some(key.clone()),
            None => read_secret(&self.master)?,
        };
        let Some(text) = text else { return Ok(None) };
        let current = parse(&text).with_context(|| format!("{} holds no master key", self.place()))?;
        let mut earlier = Vec::new();
        for line in read_secret(&self.previous)?.unwrap_or_default().lines().filter(|line| !line.trim().is_empty()) {
            let key = parse(line).with_context(|| format!("{} holds no master keys", self.previous.display()))?;
            earlier.push(MasterKey::new(key));
        }
        Ok(Some(Keyring::new(MasterKey::new(current), earlier)))
    }

    /// A new key takes the place of the one that is there, which joins those before it. Cut short between the two files, the key stands
    /// in both, which harms nothing.
    pub fn replace(&self) -> Result<()> {
        let old = read_secret(&self.master)?.context("there is no master key yet")?;
        let previous = read_secret(&self.previous)?.unwrap_or_default();
        let mut lines = vec![old.trim()];
        lines.extend(previous.lines().map(str::trim).filter(|line| !line.is_empty() && *line != old.trim()));
        self.write(&self.previous, &(lines.join("\n") + "\n"))?;
        self.write(&self.master, &random()?)
    }

    /// Held by whoever changes the files, one at a time.
    pub fn lock(&self) -> Result<File> {
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(SECRET_MODE).open(&self.lock);
        let file = open.with_context(|| format!("{} can't be opened", self.lock.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => bail!("another rotation of the master key is under way"),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    fn write(&self, path: &Path, text: &str) -> Result<()> {
        write_atomically(path, text.as_bytes(), SECRET_MODE)
            .with_context(|| format!("{} can't be written", path.display()))
    }
}

impl KeyringSource for KeyFiles {
    fn load(&self) -> Result<Keyring, String> {
        match self.read() {
            Ok(Some(keyring)) => Ok(keyring),
            Ok(None) => Err(format!("{} is not there", self.place())),
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

/// `None`: there is no such file.
fn read_secret(path: &Path) -> Result<Option<String>> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.with_context(|| format!("{} can't be read", path.display()))?,
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        bail!("{} has mode {mode:04o}: others may read or change it; run `chmod 600` on it", path.display());
    }
    Ok(Some(fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?))
}

fn parse(text: &str) -> Result<[u8; KEY_BYTES]> {
    let text = text.trim();
    let mut key = [0; KEY_BYTES];
    if text.len() != 2 * KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("a master key has {} hexadecimal digits", 2 * KEY_BYTES);
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits)?, 16)?;
    }
    Ok(key)
}

fn random() -> Result<String> {
    let mut key = [0_u8; KEY_BYTES];
    SysRng.try_fill_bytes(&mut key).context("the system gives no random numbers")?;
    Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> KeyFiles {
        let at = |name: &str| folder.join(name);
        KeyFiles { master: at(MASTER_KEY), previous: at(PREVIOUS), lock: at(LOCK), given: None, are_ours: true }
    }

    #[test]
    fn a_key_that_is_replaced_still_opens_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        assert!(files.read().unwrap().is_none());
        files.begin().unwrap();
        let first = files.read().unwrap().unwrap();
        files.begin().unwrap();
        assert_eq!(files.read().unwrap().unwrap().ids(), first.ids(), "made once");
        files.replace().unwrap();
        files.replace().unwrap();
        let third = files.read().unwrap().unwrap();
        assert_eq!(third.ids().len(), 3);
        assert_eq!(third.ids().last(), first.ids().first());
        for path in [&files.master, &files.previous] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let _held = files.lock().unwrap();
        assert!(files.lock().is_err(), "one at a time");
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        files.begin().unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&files.master, fs::Permissions::from_mode(mode)).unwrap();
            let error = format!("{:#}", files.read().unwrap_err());
            assert!(error.contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&files.master, fs::Permissions::from_mode(0o600)).unwrap();
        files.replace().unwrap();
        fs::set_permissions(&files.previous, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(files.read().is_err());
    }

    #[test]
    fn a_key_may_stand_in_a_setting_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let key = "0123456789abcdef".repeat(4);
        let given = KeyFiles { given: Some(Given(key.clone())), are_ours: false, ..files(folder.path()) };
        given.begin().unwrap();
        assert!(!given.master.exists(), "none is made beside it");
        assert_eq!(given.read().unwrap().unwrap().ids().len(), 1);
        assert!(!format!("{given:?}").contains(&key));
        let wrong = KeyFiles { given: Some(Given("secret-but-wrong".to_owned())), ..given };
        let error = format!("{:#}", wrong.read().unwrap_err());
        assert!(error.contains("WAYBILL_MASTER_KEY") && !error.contains("secret-but-wrong"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_said_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        write_atomically(&files.master, b"secret-but-wrong", SECRET_MODE).unwrap();
        let error = format!("{:#}", files.read().unwrap_err());
        assert!(error.contains("64 hexadecimal digits") && !error.contains("secret-but-wrong"), "{error}");
    }
}
