//! `waybill backup`: the database in one folder, the keys to personal data in another, while orders go on.
use super::{CANNOT_RUN, FAULTS, client::DEV_KEYS, fail};
use crate::{
    backup::{
        Programs,
        manifest::{Kind, Manifest},
        place::Place,
        sources, take,
    },
    config::Settings,
    lifecycle, wiring,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{HumanBytes, ProgressBar};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const TICK: Duration = Duration::from_millis(250);

/// Backs up the database: personal data's keys apart from all else, the master key in neither
#[derive(Args, Clone, Debug)]
pub struct Backup {
    /// A new folder for everything but the keys to personal data
    #[arg(long, value_name = "DIR", required_unless_present_any = ["keys_only", "verify"], conflicts_with_all = ["keys_only", "verify"])]
    to: Option<PathBuf>,
    /// A new folder for the persons' wrapped keys [default: beside, DIR.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Backs up the keys alone: often, so that who was erased stays so
    #[arg(long, requires = "keys", conflicts_with = "verify")]
    keys_only: bool,
    /// Checks a backup, and its keys if they are there: is it whole and undamaged?
    #[arg(long, value_name = "DIR")]
    verify: Option<PathBuf>,
}

pub async fn run(settings: &Settings, backup: &Backup) -> ExitCode {
    let outcome = match &backup.verify {
        Some(main) => verify(main, backup.keys.as_deref()).await,
        None => back_up(settings, backup).await.map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| fail(&error, CANNOT_RUN))
}

/// Where the keys of a main backup lie unless it is said otherwise.
pub(super) fn keys_beside(main: &Path) -> Result<PathBuf> {
    let name = main.file_name().with_context(|| format!("{} names no folder", main.display()))?;
    Ok(main.with_file_name(format!("{}.keys", name.to_string_lossy())))
}

async fn back_up(settings: &Settings, backup: &Backup) -> Result<()> {
    let url = wiring::database_url(settings)?;
    let stop = lifecycle::stop_on_signal()?;
    let exe = std::env::current_exe().context("the running program can't be found")?;
    match both(&Programs::new(exe, stop.clone()), &url, backup).await {
        Ok(()) => {
            remind(settings);
            Ok(())
        }
        Err(_) if stop.is_cancelled() => bail!("stopped; nothing was kept of what was not whole"),
        Err(error) => Err(error),
    }
}

async fn both(programs: &Programs, url: &str, backup: &Backup) -> Result<()> {
    let keys = match (&backup.keys, &backup.to) {
        (Some(keys), _) => keys.clone(),
        (None, Some(to)) => keys_beside(to)?,
        (None, None) => bail!("--keys says where the keys go"),
    };
    // Both places first: nothing is begun that could not be ended.
    let main = backup.to.as_deref().map(Place::begin).transpose()?;
    let keys = Place::begin(&keys)?;
    if let Some(main) = &main
        && (keys.target().starts_with(main.target()) || main.target().starts_with(keys.target()))
    {
        bail!("the keys go to a folder apart, neither within the main backup nor around it");
    }
    if let Some(main) = main {
        half(programs, url, Kind::Main, main).await?;
    }
    // After it, so that they open all that it holds, and whoever was erased meanwhile is erased in them.
    half(programs, url, Kind::Keys, keys).await.context("the keys are not backed up (run it again with --keys-only)")
}

async fn half(programs: &Programs, url: &str, kind: Kind, place: Place) -> Result<()> {
    let began = Instant::now();
    let (bar, work) = (ProgressBar::new_spinner(), place.path().to_owned());
    let progress = async {
        loop {
            bar.set_message(format!("dumping  {}", HumanBytes(written(&work))));
            bar.tick();
            tokio::time::sleep(TICK).await;
        }
    };
    let taken = tokio::select! {
        taken = take::take(programs, url, kind, place) => taken,
        () = progress => bail!("the dump came to no end"),
    };
    bar.finish_and_clear();
    let taken = taken?;
    let size = HumanBytes(taken.manifest.bytes());
    let (folder, seconds) = (taken.folder.display(), began.elapsed().as_secs_f64());
    say!("{}  {folder}  {size} in {seconds:.1} s", label(&taken.manifest));
    Ok(())
}

fn label(manifest: &Manifest) -> String {
    match manifest.kind {
        Kind::Main => format!("main  {} events, incarnation {}", manifest.position, manifest.incarnation),
        Kind::Keys if manifest.lost == 0 => format!("keys  {} persons, {} erased", manifest.people, manifest.erased),
        Kind::Keys => {
            format!("keys  {} persons, {} erased, {} lost before", manifest.people, manifest.erased, manifest.lost)
        }
    }
}

fn written(folder: &Path) -> u64 {
    let files = fs::read_dir(folder.join("dump")).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

/// What no dump holds.
fn remind(settings: &Settings) {
    let file = |name: &str| settings.data_dir.join(name).display().to_string();
    let master =
        settings.master_key_file.as_ref().map_or_else(|| file("master.key"), |path| path.display().to_string());
    say!("keep apart from both, for a restore needs them:");
    say!("  {master}  without it no personal data can be read");
    say!("  {}  who was erased since; where there is one", file("erasures.jsonl"));
    if settings.data_dir.join(DEV_KEYS).exists() {
        say!("  {}  the keys of shop dev, where somebody uses them", file(DEV_KEYS));
    }
    say!("not needed: the rest of {}; Kafka and the read model follow from the log", settings.data_dir.display());
}

async fn verify(main: &Path, keys: Option<&Path>) -> Result<ExitCode> {
    let exe = std::env::current_exe().context("the running program can't be found")?;
    let programs = Programs::new(exe, CancellationToken::new());
    let beside = keys_beside(main)?;
    let keys = keys.or_else(|| beside.exists().then_some(beside.as_path()));
    match sources::check(&programs, main, keys, None).await {
        Ok(sources) => {
            for half in [Some(&sources.main), sources.keys.as_ref()].into_iter().flatten() {
                let count = half.manifest.files.len();
                say!(
                    "ok     {}  {}  {count} files, {}",
                    label(&half.manifest),
                    half.folder.display(),
                    half.manifest.name()
                );
            }
            if sources.keys.is_none() {
                say!("note   its keys are not here: without them no personal data comes back");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            report(&faults);
            Ok(ExitCode::from(FAULTS))
        }
    }
}

/// Each on a line of its own.
pub(super) fn report(faults: &[String]) {
    for fault in faults {
        say!("FAULT  {fault}");
    }
}
