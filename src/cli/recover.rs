//! `waybill recover`: after a restore, or a failover to an older state, settles what is ahead of the store: Kafka, the read model, checkpoints.
//!
//! It says in plain words what is ahead of what. What the store has lost and Kafka still knows is written to a file, event by event, and put
//! on record; only then does the relay write behind it. Killed at any moment and run again, it comes to the same end.
mod lost;

use super::{CANNOT_RUN, FAULTS, confirm, fail};
use crate::{config::Settings, embedded::data_dir, wiring};
use anyhow::{Context, Result, bail};
use clap::Args;
use eventstore::{
    EventStore, Incarnation, Life, Lives, Log, PgEventStore, Position,
    sql::{self, lives, restoring},
};
use mirror::{
    KafkaConfig,
    recover::{Standing, Survey, survey},
};
use queries::projections::{read_model_ahead, reset_read_model};
use sqlx::postgres::PgConnectOptions;
use std::{path::PathBuf, process::ExitCode, sync::Arc};

/// Settles a Kafka, a read model or a checkpoint that is ahead of a restored store, and says exactly what is lost
#[derive(Args, Clone, Debug)]
pub struct Recover {
    /// Says what is ahead and what would be done, and does nothing
    #[arg(long)]
    dry_run: bool,
    /// Doesn't ask before it settles
    #[arg(long, short)]
    yes: bool,
    /// Goes on although Kafka and the store share no event at all, as if both weren't of one Waybill
    #[arg(long)]
    nothing_in_common: bool,
}

struct Parts {
    store: Arc<PgEventStore>,
    database: PgConnectOptions,
    kafka: Option<KafkaConfig>,
    data_dir: PathBuf,
}

pub async fn run(settings: &Settings, recover: &Recover) -> ExitCode {
    let settled = async { connect(settings).await?.recover(recover).await }.await;
    match settled {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAULTS),
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn connect(settings: &Settings) -> Result<Parts> {
    let run = data_dir::read_run_json(&settings.data_dir)?.unwrap_or_default();
    let url = wiring::database_url(settings)?;
    let pool = wiring::pool(&url).await?;
    sql::migrate(&pool).await?;
    let store = PgEventStore::connect(pool, Log::MAIN, sql::Options::default()).await?;
    // The stand-in inside a process holds nothing from before its start.
    let running = run.kafka.filter(|_| !run.kafka_in_process);
    let kafka = settings.kafka_brokers.clone().or(running).map(KafkaConfig::new);
    Ok(Parts { store: Arc::new(store), database: url.parse()?, kafka, data_dir: settings.data_dir.clone() })
}

impl Parts {
    /// `false`: something is left as it was.
    async fn recover(&self, recover: &Recover) -> Result<bool> {
        let settled = self.kafka(recover).await?;
        // Only now: a life that has just begun may have left them behind, too.
        Ok(settled & self.read_model(recover).await? & self.checkpoints(recover).await?)
    }

    async fn kafka(&self, recover: &Recover) -> Result<bool> {
        let head = self.store.head().await?;
        say!("store: incarnation {}, position {}", head.incarnation.0, head.position);
        let Some(kafka) = &self.kafka else {
            say!("Kafka: not looked at, since none is set that outlives a process");
            return Ok(true);
        };
        let found = survey(kafka, self.store.clone()).await.context("Kafka can't be looked at")?;
        self.say_standing(&found);
        let lives = match found.standing {
            Standing::NotMirrored | Standing::Sound => return Ok(true),
            Standing::Unsettled => found.lives.clone(),
            Standing::Undeclared { shared, highest } => found.lives.with(undeclared(shared, highest)),
        };
        let gone = mirror::recover::read_lost(kafka, Log::MAIN, &lives, |_| Ok(())).await?;
        lost::say(&gone);
        if recover.dry_run {
            say!(
                "  nothing is done: without --dry-run, all of it is written to a file and put on record, and the relay goes on behind it"
            );
            return Ok(false);
        }
        let lives = match found.standing {
            Standing::Undeclared { shared, highest } => {
                if shared == Position::ZERO && !recover.nothing_in_common {
                    bail!(
                        "Kafka and the store share no event: DATABASE_URL or KAFKA_BROKERS may be those of another Waybill. If it is this one's, \
                         and the store was lost altogether, add --nothing-in-common"
                    );
                }
                if !confirmed(recover, "begin a new incarnation of the log, and give up what the store has lost?")? {
                    return Ok(false);
                }
                self.begin(shared, highest).await?
            }
            _ if !confirmed(recover, "give up what the store has lost?")? => return Ok(false),
            _ => lives,
        };
        lost::settle(&self.store, kafka, &lives, &self.data_dir).await?;
        say!("  the relay goes on behind it, within seconds where `waybill up` runs");
        Ok(true)
    }

    fn say_standing(&self, found: &Survey) {
        let kafka =
            found.kafka.map_or_else(|| "nothing".to_owned(), |place| format!("up to {place} (incarnation:position)"));
        match found.standing {
            Standing::NotMirrored => say!("Kafka: knows nothing of this log"),
            Standing::Sound => {
                say!("Kafka: holds {kafka}, and nothing that the store doesn't have or that isn't settled")
            }
            Standing::Unsettled => say!("Kafka: holds {kafka}: it is ahead, since the store was restored"),
            Standing::Undeclared { shared, .. } => {
                say!("Kafka: holds {kafka}; store and Kafka are the same up to position {shared} and differ after it");
                say!("  the store was put back, or gone over to an older copy, and nobody said so");
                if found.head > shared {
                    let (from, head) = (shared.0 + 1, found.head);
                    say!("  what the store has at positions {from} to {head} stays, as events of the new incarnation");
                }
            }
        }
    }

    async fn begin(&self, shared: Position, highest: Incarnation) -> Result<Lives> {
        let undeclared = undeclared(shared, highest);
        let pool = self.store.pool();
        let (after, at_least) = (lives::After::Shared(shared), undeclared.incarnation);
        let life = lives::begin_incarnation(pool, Log::MAIN, after, at_least, &undeclared.reason).await?;
        // Whoever drives sagas lets go of them, and takes them up again as those of an earlier life: asking first.
        restoring::free_leases(pool).await?;
        say!("  incarnation {} begins after position {}", life.incarnation.0, life.after);
        Ok(self.store.lives().await?)
    }

    async fn read_model(&self, recover: &Recover) -> Result<bool> {
        let Some(ahead) = read_model_ahead(self.store.as_ref(), &self.database).await? else {
            say!("read model: follows the log");
            return Ok(true);
        };
        say!("{ahead}");
        if recover.dry_run || !confirmed(recover, "empty the read model, so that it is built again from the log?")? {
            return Ok(false);
        }
        reset_read_model(&self.database).await?;
        say!("read model: emptied; `waybill up` builds it again from the log");
        Ok(true)
    }

    async fn checkpoints(&self, recover: &Recover) -> Result<bool> {
        let (pool, lives) = (self.store.pool(), self.store.lives().await?);
        let lost = lives::lost_checkpoints(pool, Log::MAIN, &lives).await?;
        if lost.is_empty() {
            say!("checkpoints: none is ahead");
        }
        for lost in &lost {
            let (incarnation, position) = (lost.incarnation.0, lost.position);
            say!("checkpoints: {} stands at {incarnation}:{position}, which is lost", lost.name);
            if recover.dry_run || !confirmed(recover, "set it back to what still counts?")? {
                return Ok(false);
            }
            lives::set_back(pool, Log::MAIN, lost, &lives).await?;
            say!(
                "checkpoints: {} is set back to position {}; its reader reads again from there",
                lost.name,
                lost.back_to
            );
        }
        Ok(true)
    }
}

/// The life that begins when this is settled.
fn undeclared(shared: Position, highest: Incarnation) -> Life {
    Life {
        incarnation: Incarnation(highest.0 + 1),
        after: shared,
        began_at: chrono::Utc::now(),
        reason: "found by recover: the store had been put back to an older state".to_owned(),
    }
}

fn confirmed(recover: &Recover, question: &str) -> Result<bool> {
    if recover.yes {
        return Ok(true);
    }
    let answer = confirm::ask(question)?;
    if answer.is_none() {
        say!("  nothing is done: it takes --yes to {}", question.trim_end_matches('?'));
    }
    Ok(answer.unwrap_or(false))
}
