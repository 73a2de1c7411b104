//! `waybill restore`: a backup into an empty database. A new incarnation begins, erasures are applied again, and only then may anybody use it.
use super::{CANNOT_RUN, FAULTS, backup::keys_beside, backup::report, fail};
use crate::{
    backup::{
        self, Programs, load,
        sources::{self, Sources},
    },
    bootstrap,
    config::Settings,
    embedded::{Launcher, data_dir::DataDir, postgres::Postgres},
    erasures, wiring,
};
use anyhow::{Context, Result};
use clap::Args;
use eventstore::{
    Incarnation, Log, PgEventStore,
    sql::{
        self,
        lives::{self, After},
        restoring,
    },
};
use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc, time::Instant};
use tokio_util::sync::CancellationToken;

/// Puts a backup into an empty database: the one that `up` would start, or DATABASE_URL
#[derive(Args, Clone, Debug)]
pub struct Restore {
    /// The main backup
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The backup of the persons' keys, made with it or later [default: beside, DIR.keys]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// The keys are lost: everybody's personal data is given up
    #[arg(long, conflicts_with = "keys")]
    without_keys: bool,
    /// Who was erased, to be erased again [default: DATA_DIR/erasures.jsonl]
    #[arg(long, value_name = "FILE")]
    erasures: Option<PathBuf>,
}

pub async fn run(settings: &Settings, restore: &Restore) -> ExitCode {
    let began = Instant::now();
    match prepare(settings, restore).await {
        Ok(Ok(prepared)) => match prepared.restore(settings).await {
            Ok(()) => {
                say!("restored in {:.1} s", began.elapsed().as_secs_f64());
                say!("next: `waybill up`; where Kafka holds what came after the backup, `waybill recover` settles it");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error, CANNOT_RUN),
        },
        Ok(Err(faults)) => {
            report(&faults);
            ExitCode::from(FAULTS)
        }
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

/// All that is needed, checked; nothing is touched yet.
struct Prepared {
    data_dir: DataDir,
    programs: Programs,
    sources: Sources,
    erasures: PathBuf,
}

async fn prepare(settings: &Settings, restore: &Restore) -> Result<Result<Prepared, Vec<String>>> {
    let data_dir = DataDir::open(&settings.data_dir)?;
    let exe = std::env::current_exe().context("the running program can't be found")?;
    let programs = Programs::new(exe, CancellationToken::new());
    let keys = match (&restore.keys, restore.without_keys) {
        (Some(keys), _) => Some(keys.clone()),
        (None, true) => None,
        (None, false) => Some(keys_beside(&restore.from)?),
    };
    let masters = bootstrap::keyring(settings, data_dir.path())?.map(|ring| ring.ids()).unwrap_or_default();
    let checked = sources::check(&programs, &restore.from, keys.as_deref(), Some(&masters)).await;
    let mut faults = checked.as_ref().err().cloned().unwrap_or_default();
    let erasures = match &restore.erasures {
        Some(given) => {
            if let Err(error) = std::fs::File::open(given) {
                faults.push(format!("{} can't be read: {error}", given.display()));
            }
            given.clone()
        }
        None => data_dir.join(erasures::FILE),
    };
    Ok(match checked {
        Ok(sources) if faults.is_empty() => Ok(Prepared { data_dir, programs, sources, erasures }),
        _ => Err(faults),
    })
}

impl Prepared {
    async fn restore(&self, settings: &Settings) -> Result<()> {
        match &settings.database_url {
            Some(url) => self.fill(url).await,
            None => {
                let exe = std::env::current_exe().context("the running program can't be found")?;
                // What is made now is of no use to anybody until the restore is done.
                let fresh = !self.data_dir.join("postgres").exists();
                if fresh {
                    self.mark()?;
                }
                let launcher = Launcher::new(exe, &self.data_dir);
                let postgres =
                    Postgres::start(&self.data_dir, &launcher).await.context("PostgreSQL can't be started")?;
                let done = self.fill(postgres.url()).await;
                postgres.stop().await;
                done
            }
        }
    }

    async fn fill(&self, url: &str) -> Result<()> {
        load::check_target(url, &self.sources).await?;
        self.mark()?;
        let main = &self.sources.main.manifest;
        say!("restoring the backup {}", main.name());
        load::load(&self.programs, url, &self.sources, &self.data_dir.folder("log")?).await?;
        let pool = wiring::pool(url).await?;
        let settled = self.settle(&pool, url).await;
        pool.close().await;
        settled
    }

    async fn settle(&self, pool: &sqlx::PgPool, url: &str) -> Result<()> {
        let restored = load::settle(pool, url, &self.sources).await?;
        say!("  {} events, {} persons' keys, {} persons erased", restored.events, restored.people, restored.erased);
        if restored.lost > 0 {
            say!("  the personal data of {} persons is lost with their keys", restored.lost);
        }
        let reason = format!("restored from the backup {}", self.sources.main.manifest.name());
        let above = Incarnation(self.sources.main.manifest.incarnation + 1);
        let life = lives::begin_incarnation(pool, Log::MAIN, After::Head, above, &reason).await?;
        say!("  incarnation {} begins after position {}", life.incarnation.0, life.after);
        self.erase_again(pool).await?;
        // The database's own mark goes last: without it, this could not be run again.
        backup::unmark(&self.data_dir)?;
        load::open(pool).await
    }

    /// Who was erased after the backup is erased again, before anybody can be served: by the keys' half, which is newer than the log, and
    /// by what the data folder has on record.
    async fn erase_again(&self, pool: &sqlx::PgPool) -> Result<()> {
        let mut known = tempfile::NamedTempFile::new().context("no temporary file")?;
        for erased in restoring::erased(pool).await? {
            let restoring::ErasedPerson { person, shop, reference, erased_at } = erased;
            let line = erasures::Line { person, shop, reference, at: erased_at };
            writeln!(known, "{}", serde_json::to_string(&line)?).context("no temporary file")?;
        }
        let store = Arc::new(PgEventStore::connect(pool.clone(), Log::MAIN, sql::Options::default()).await?);
        let failed = "erasures can't be applied again";
        erasures::reapply(store.clone(), known.path()).await.context(failed)?;
        let done = erasures::reapply(store, &self.erasures).await.context(failed)?;
        say!(
            "  {} persons erased again, {} were already, {} are not in the backup",
            done.destroyed,
            done.already,
            done.absent
        );
        if done.unreadable > 0 {
            say!("  {} lines of {} were torn by a crash and are passed over", done.unreadable, self.erasures.display());
        }
        Ok(())
    }

    fn mark(&self) -> Result<()> {
        backup::mark(&self.data_dir, &self.sources.main.manifest.name())
    }
}
