//! Takes a backup: one half at a time, each of one moment of the database, while appends go on.
use super::{
    DUMP, STOPPED,
    manifest::{Kind, Manifest},
    place::Place,
    tool::{Programs, jobs},
};
use crate::embedded::postgres::Tools;
use anyhow::{Context, Result, bail};
use eventstore::{
    Log,
    sql::{moment::Moment, restoring},
};
use std::path::{Path, PathBuf};

/// The light end of gzip: half the time of its default for a tenth more bytes.
const COMPRESSION: u8 = 1;

/// A half that was taken.
#[derive(Debug)]
pub struct Taken {
    pub folder: PathBuf,
    pub manifest: Manifest,
}

/// Dumps one half of the database at `url`. Told to stop, it leaves nothing: its dump has ended before the folder is taken away.
pub async fn take(programs: &Programs, url: &str, kind: Kind, place: Place) -> Result<Taken> {
    let stop = programs.stop();
    let moment = stop.run_until_cancelled(moment(url)).await.context(STOPPED)??;
    let tools = Tools::find(moment.facts.server_major)?;
    let dump = place.path().join(DUMP);
    let args = arguments(kind, &moment.snapshot, &dump);
    programs.run(&tools.pg_dump(), args, Some(url), place.path()).await?;
    let (facts, folder, stop) = (moment.facts.clone(), place.path().to_owned(), stop.clone());
    drop(moment);
    let whole = tokio::task::spawn_blocking(move || -> Result<Taken> {
        // What it said is no part of the backup.
        std::fs::remove_file(folder.join("pg_dump.log")).context("the dump's log can't be removed")?;
        let manifest = Manifest::of(kind, &facts, tools.major(), &folder, &stop)?;
        manifest.write(&folder)?;
        Ok(Taken { folder: place.finish()?, manifest })
    });
    whole.await?
}

async fn moment(url: &str) -> Result<Moment> {
    let found = restoring::occupied(url).await.context("the database can't be reached")?;
    if let Some(backup) = found.mark {
        bail!("this database is itself being restored, from the backup {backup}: finish that with `waybill restore`");
    }
    Moment::take(url, Log::MAIN).await.context("the database can't be read")
}

fn arguments(kind: Kind, snapshot: &str, dump: &Path) -> Vec<String> {
    let mut args = vec![
        "--format=directory".to_owned(),
        format!("--file={}", dump.display()),
        format!("--snapshot={snapshot}"),
        format!("--compress={COMPRESSION}"),
        "--no-password".to_owned(),
        jobs(),
    ];
    match kind {
        // The tables themselves are in it, empty: which there are, the migrations on record say.
        Kind::Main => args.extend(["--exclude-table-data=vault.*", "--exclude-table-data=read.*"].map(str::to_owned)),
        Kind::Keys => args.extend(["--data-only", "--schema=vault"].map(str::to_owned)),
    }
    args
}
