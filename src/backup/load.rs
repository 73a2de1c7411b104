//! Puts a checked backup into an empty database. Nobody may use that until all is settled: it is marked from before the first object on.
//! Cut short at any point, it is run again from the beginning.
use super::{
    sources::{Half, Sources},
    tool::{Programs, jobs},
};
use anyhow::{Context, Result, bail};
use eventstore::{
    Log, Position,
    sql::{moment, restoring},
};
use sqlx::PgPool;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// A restore that was just killed, or a process that just ended, takes a moment to let go of the database.
const LET_GO_WITHIN: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(100);

/// Refuses a database that holds something, is in use, or is too old; changes nothing.
pub async fn check_target(url: &str, sources: &Sources) -> Result<()> {
    let deadline = Instant::now() + LET_GO_WITHIN;
    let mut found = restoring::occupied(url).await.context("the database can't be reached")?;
    while found.sessions > 0 && Instant::now() < deadline {
        tokio::time::sleep(PAUSE).await;
        found = restoring::occupied(url).await.context("the database can't be reached")?;
    }
    let needs =
        [Some(&sources.main), sources.keys.as_ref()].into_iter().flatten().map(|half| half.manifest.restores_into());
    let needs = needs.max().unwrap_or_default();
    if found.server_major < needs {
        bail!("the database is PostgreSQL {}, the backup needs {needs} or later", found.server_major);
    }
    if found.others > 0 {
        bail!("the database holds {} tables that are not Waybill's: a restore goes into an empty one", found.others);
    }
    if let Some(position) = found.position {
        bail!("the database holds a log with events up to position {position}: a restore goes into an empty one");
    }
    if found.sessions > 0 {
        bail!(
            "{} others are connected to the database: end them first (is `waybill up` running on it?)",
            found.sessions
        );
    }
    Ok(())
}

/// Brings back schema and rows of both halves. The target must have passed [`check_target`].
pub async fn load(programs: &Programs, url: &str, sources: &Sources, logs: &Path) -> Result<()> {
    restoring::begin(url, &sources.main.manifest.name()).await.context("the database can't be prepared")?;
    let restore = async |half: &Half, what: &[&str]| {
        let database = database_name(url)?;
        let mut args: Vec<String> = what.iter().map(|arg| (*arg).to_owned()).collect();
        args.extend(["--exit-on-error", "--no-owner", "--no-privileges", "--no-password"].map(str::to_owned));
        args.extend([jobs(), format!("--dbname={database}"), half.dump().display().to_string()]);
        programs.run(&sources.tools.pg_restore(), args, Some(url), logs).await
    };
    restore(&sources.main, &["--section=pre-data"]).await?;
    restore(&sources.main, &["--section=data"]).await?;
    if let Some(keys) = &sources.keys {
        restore(keys, &["--section=data"]).await?;
    }
    // Indexes and constraints last: they are built faster, and hold for both.
    restore(&sources.main, &["--section=post-data"]).await
}

fn database_name(url: &str) -> Result<String> {
    let options: sqlx::postgres::PgConnectOptions = url.parse().context("DATABASE_URL is no PostgreSQL URL")?;
    Ok(options.get_database().unwrap_or(options.get_username()).to_owned())
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    pub events: i64,
    pub people: i64,
    pub erased: i64,
    /// Persons whose keys are lost.
    pub lost: i64,
}

/// Brings the schema up to date and holds what came back against the manifest.
pub async fn settle(pool: &PgPool, url: &str, sources: &Sources) -> Result<Restored> {
    restoring::migrate_restored(pool).await?;
    let found = restoring::count(pool, Log::MAIN).await?;
    let wanted = Position(sources.main.manifest.position);
    if found.position != wanted || found.events != wanted.0 {
        bail!("{} events up to position {} came back, not {wanted}", found.events, found.position);
    }
    let facts = moment::facts_of(url, Log::MAIN).await?;
    let absent = facts.lost - sources.main.manifest.lost;
    if absent > 0 && sources.keys.is_some() {
        bail!(
            "{absent} persons' keys are not in the backup of the keys: it belongs to another main backup (or give them up with --without-keys)"
        );
    }
    restoring::free_leases(pool).await?;
    Ok(Restored { events: found.events, people: facts.people, erased: facts.erased, lost: facts.lost })
}

/// Lets the database be used.
pub async fn open(pool: &PgPool) -> Result<()> {
    restoring::finish(pool).await.context("the restored database can't be opened")
}
