//! What every role stands on: the database, the store, who may call; and, for those who need it, what opens personal data.
use super::Addresses;
use crate::{
    bootstrap,
    config::Settings,
    embedded::data_dir::DataDir,
    health::{Health, Part},
    replica,
    roles::Role,
};
use anyhow::{Context, Result, bail};
use commands::LocationModes;
use eventstore::{ApiKeys, EventStore, Log, PgEventStore, Shops, Vault, sql};
use mirror::KafkaConfig;
use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use std::{sync::Arc, time::Duration};

/// How often a database that is not there is tried, and how often that is said.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Core {
    pub(super) database: PgConnectOptions,
    pub(super) pool: PgPool,
    pub(super) pg: Arc<PgEventStore>,
    pub(super) store: Arc<dyn EventStore>,
    pub(super) keys: Arc<ApiKeys>,
    pub(super) shops: Arc<Shops>,
    pub(super) locations: Arc<LocationModes>,
}

impl Core {
    /// Waits for the database as long as it takes; fails for what waiting does not mend. A process that may append refuses a replica's copy.
    pub(super) async fn open(settings: &Settings, at: &Addresses, health: &Health) -> Result<Core> {
        let database: PgConnectOptions = at.postgres.parse().context("DATABASE_URL is no PostgreSQL URL")?;
        let standing = super::standing_connections(&settings.roles);
        let pool = database_pool(&database, standing, health).await;
        while let Err(error) = sql::migrate(&pool).await {
            if !error.may_pass() {
                return Err(error.into());
            }
            wait_for_database(&error.into(), health).await;
        }
        match (&at.kafka, settings.roles.append()) {
            (_, true) if sql::replica::is_replica(&pool, Log::MAIN).await? => bail!(
                "this database is a replica's copy of a log: use the original, or start it with --role replica,projections,api"
            ),
            (_, true) => {}
            (Some(kafka), false) => open_replica(&pool, kafka, settings.from_scratch).await?,
            (None, false) => bail!("a replica copies the log of another Waybill from its Kafka: set KAFKA_BROKERS"),
        }
        let pg = Arc::new(PgEventStore::connect(pool.clone(), Log::MAIN, sql::Options::default()).await?);
        let store: Arc<dyn EventStore> = pg.clone();
        let (keys, shops) = (Arc::new(ApiKeys::new(pg.clone())), Arc::new(Shops::new(pg.clone())));
        let locations = LocationModes::new(store.clone());
        Ok(Core { database, pool, pg, store, keys, shops, locations })
    }

    /// Shop `dev` and its keys, where no other shop is yet. A replica has keys of its own, and its locations from the log.
    pub(super) async fn first_start(&self, settings: &Settings, data_dir: &DataDir, at: &Addresses) -> Result<()> {
        let has_api = settings.roles.has(Role::Api);
        if !has_api || !(at.embedded_postgres || bootstrap::is_fresh(&self.shops).await?) {
            return Ok(());
        }
        bootstrap::dev_shop(data_dir, &self.shops, &self.keys).await?;
        if settings.roles.append() {
            bootstrap::main_location(&self.locations).await?;
        }
        Ok(())
    }

    /// What seals and opens personal data; all who share the database have the same master key.
    pub(super) async fn vault(&self, settings: &Settings, data_dir: &DataDir) -> Result<Arc<Vault>> {
        let master_keys = Arc::new(bootstrap::master_keys(settings, data_dir)?);
        let vault = Vault::connect(master_keys, self.pg.clone(), self.store.clone()).await;
        Ok(Arc::new(vault.context(
            "personal data can't be opened (processes of one database have one master key: --master-key-file)",
        )?))
    }
}

/// The database says that it is a replica before anything else is done with it.
async fn open_replica(pool: &PgPool, kafka: &KafkaConfig, from_scratch: bool) -> Result<()> {
    if from_scratch {
        replica::start_over(pool, Log::MAIN).await?;
    }
    sql::replica::Replica::open(pool, Log::MAIN, &kafka.topic_prefix).await?;
    Ok(())
}

/// Tries until the database answers, and says what it waits for.
async fn database_pool(database: &PgConnectOptions, standing: u32, health: &Health) -> PgPool {
    loop {
        // One try at a time: the pool would try for seconds before it says why.
        let tried = match PgConnection::connect_with(database).await {
            Ok(connection) => {
                drop(connection);
                super::standing_pool(database, standing).await
            }
            Err(error) => Err(error.into()),
        };
        match tried {
            Ok(pool) => return pool,
            Err(error) => wait_for_database(&error, health).await,
        }
    }
}

async fn wait_for_database(error: &anyhow::Error, health: &Health) {
    tracing::warn!(error = %format!("{error:#}"), "waiting for PostgreSQL");
    health.report("start", Part::Down { detail: format!("waiting for PostgreSQL: {error:#}") });
    tokio::time::sleep(DATABASE_PAUSE).await;
}
