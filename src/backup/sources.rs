//! The backup that is to be restored, checked before anything is touched: whole, undamaged, of one another, and for this program.
use super::{
    DUMP,
    manifest::{self, Kind, Manifest},
    tool::Programs,
};
use crate::embedded::postgres::Tools;
use eventstore::sql::MIGRATOR;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// One half, and where it lies.
#[derive(Clone, Debug)]
pub struct Half {
    pub folder: PathBuf,
    pub manifest: Manifest,
}

impl Half {
    pub(super) fn dump(&self) -> PathBuf {
        self.folder.join(DUMP)
    }
}

/// A backup that can be restored.
#[derive(Clone, Debug)]
pub struct Sources {
    pub main: Half,
    /// `None`: persons' data is given up.
    pub keys: Option<Half>,
    pub tools: Tools,
}

/// Checks both halves; all that is wrong is told at once. `masters`: the ids of the master keys at hand.
pub async fn check(
    programs: &Programs,
    main: &Path,
    keys: Option<&Path>,
    masters: Option<&[String]>,
) -> Result<Sources, Vec<String>> {
    let (main, mut faults) = half(main, Kind::Main).await;
    let keys = match keys {
        Some(keys) => {
            let (keys, more) = half(keys, Kind::Keys).await;
            faults.extend(more);
            Some(keys)
        }
        None => None,
    };
    let halves = || [main.as_ref(), keys.as_ref().and_then(Option::as_ref)].into_iter().flatten();
    for half in halves() {
        faults.extend(newer_schema(half));
    }
    if let (Some(main), Some(Some(keys))) = (&main, &keys) {
        faults.extend(strangers(main, keys));
        if let Some(masters) = masters {
            faults.extend(wrong_master(keys, masters));
        }
    }
    let written_by = halves().map(|half| half.manifest.pg_dump_major).max();
    let tools = match written_by.map(Tools::find) {
        Some(Ok(tools)) => {
            for half in halves() {
                faults.extend(unreadable(programs, &tools, half).await);
            }
            Some(tools)
        }
        Some(Err(error)) => {
            faults.push(error.to_string());
            None
        }
        None => None,
    };
    let complete = match (main, keys, tools) {
        (Some(main), None, Some(tools)) => Some(Sources { main, keys: None, tools }),
        (Some(main), Some(Some(keys)), Some(tools)) => Some(Sources { main, keys: Some(keys), tools }),
        _ => None,
    };
    match complete {
        Some(sources) if faults.is_empty() => Ok(sources),
        _ => Err(faults),
    }
}

async fn half(folder: &Path, kind: Kind) -> (Option<Half>, Vec<String>) {
    let folder = folder.to_owned();
    let checked = tokio::task::spawn_blocking(move || {
        let (manifest, faults) = manifest::check(&folder, kind);
        (manifest.map(|manifest| Half { folder, manifest }), faults)
    });
    checked.await.unwrap_or_else(|error| (None, vec![format!("the check came to no end: {error}")]))
}

/// Migrations of which this program knows nothing.
fn newer_schema(half: &Half) -> Option<String> {
    let unknown =
        half.manifest.migrations.iter().find(|version| MIGRATOR.iter().all(|known| known.version != **version))?;
    Some(format!(
        "{} was taken by a newer waybill ({}): it has had migration {unknown}, of which this one knows nothing; use that version",
        half.folder.display(),
        half.manifest.waybill
    ))
}

/// What says that the keys are not those of the main backup. That every person is among them is found out once both are restored.
fn strangers(main: &Half, keys: &Half) -> Vec<String> {
    let at = |half: &Half| (half.manifest.incarnation, half.manifest.position);
    let mut faults = Vec::new();
    if at(keys) < at(main) {
        faults.push(format!(
            "the keys {} are older than the main backup {}: people would be without theirs; take those made with it or later",
            keys.manifest.name(),
            main.manifest.name()
        ));
    }
    if keys.manifest.migrations != main.manifest.migrations {
        faults.push(
            "the keys and the main backup were taken before and after an upgrade: take two halves of the same schema"
                .to_owned(),
        );
    }
    faults
}

fn wrong_master(keys: &Half, masters: &[String]) -> Vec<String> {
    let lacking: BTreeSet<_> = keys.manifest.master_keys.iter().filter(|id| !masters.contains(id)).collect();
    let have = if masters.is_empty() { "there is none".to_owned() } else { format!("it is {}", masters.join(", ")) };
    let fault =
        |id| format!("the persons' keys need the master key {id}, but {have}: put back the master.key that was in use");
    lacking.into_iter().map(fault).collect()
}

/// What `pg_restore` itself can't make sense of.
async fn unreadable(programs: &Programs, tools: &Tools, half: &Half) -> Option<String> {
    let failed = |error: &dyn std::fmt::Display| Some(format!("{}: {error}", half.dump().display()));
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => return failed(&error),
    };
    let args = vec!["--list".to_owned(), half.dump().display().to_string()];
    match programs.run(&tools.pg_restore(), args, None, scratch.path()).await {
        Ok(()) => None,
        Err(error) => failed(&format!("{error:#}")),
    }
}
