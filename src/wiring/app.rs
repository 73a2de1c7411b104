//! The application of one process: store, API, relay, sagas, projections, started in the order of their needs and stopped in reverse.
use super::{ports, reports};
use crate::{
    bootstrap,
    config::Settings,
    embedded::data_dir::DataDir,
    erasures::Erasures,
    graphql,
    health::{Health, Part},
};
use anyhow::{Context, Result};
use axum::Router;
use commands::{AppState, LocationModes, OutcomeView, Outcomes};
use eventstore::{ApiKeys, EventStore, Log, PgEventStore, Position, Shops, Vault, sql};
use mirror::{KafkaConfig, Relay, RelayConfig, RelayHandle};
use queries::{
    graphql::GraphQl,
    projections::{ChangedOrder, ProjectionObserver, Runner as ProjectionRunner},
};
use sagas::{
    Deps, ErasureDeps, Runner, RunnerConfig, RunnerHandle, SystemClock,
    participants::{
        DEFAULT_TIME_LIMIT,
        payment::{HttpPayment, InProcessPayment, PaymentPort, PaymentSimulator},
        shipping::{HttpShipping, InProcessShipping, ShippingPort, ShippingSimulator},
    },
};
use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often a database that is not there is tried, and how often that is said.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);
/// The file that keeps who holds the leases: the same after a restart, so that its own slots are free at once.
const OWNER: &str = "owner";

/// Where the parts outside this process are.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub postgres: String,
    /// It was started by us, so that it has shop `dev`.
    pub embedded_postgres: bool,
    pub kafka: KafkaConfig,
    pub kafka_in_process: bool,
    /// Without one the provider is simulated in this process.
    pub payment: Option<String>,
    pub shipping: Option<String>,
}

/// Running.
#[derive(Debug)]
pub struct App {
    router: Router,
    outcomes: Arc<Outcomes>,
    runner: RunnerHandle,
    relay: RelayHandle,
    projections: JoinHandle<()>,
    stop_sagas: CancellationToken,
    stop_rest: CancellationToken,
}

impl App {
    /// Waits for the database as long as it takes; fails for what waiting does not mend.
    pub async fn start(settings: &Settings, data_dir: &DataDir, at: &Addresses, health: Arc<Health>) -> Result<App> {
        let database: PgConnectOptions = at.postgres.parse().context("DATABASE_URL is no PostgreSQL URL")?;
        let pool = database_pool(&at.postgres, &health).await;
        sql::migrate(&pool).await?;
        let pg = Arc::new(PgEventStore::connect(pool.clone(), Log::MAIN, sql::Options::default()).await?);
        let store: Arc<dyn EventStore> = pg.clone();
        let master_keys = Arc::new(bootstrap::master_keys(settings, data_dir)?);
        let vault = Vault::connect(master_keys, pg.clone(), store.clone()).await;
        let vault = Arc::new(vault.context("personal data can't be opened")?);
        let keys = Arc::new(ApiKeys::new(pg.clone()));
        let shops = Arc::new(Shops::new(pg.clone()));
        let locations = LocationModes::new(store.clone());
        if at.embedded_postgres || bootstrap::is_fresh(&shops).await? {
            bootstrap::dev_shop(data_dir, &shops, &keys).await?;
            bootstrap::main_location(&locations).await?;
        }
        let (stop_sagas, stop_rest) = (CancellationToken::new(), CancellationToken::new());

        let outcomes = Outcomes::new();
        let observer = Arc::new(Observer { outcomes: outcomes.clone() });
        let (projections, read_model) = ProjectionRunner::new(store.clone(), &database, observer);
        let projections = tokio::spawn(projections.run(stop_rest.clone()));
        reports::projections(health.clone(), read_model.state.clone(), stop_rest.clone());

        let relay = Relay::spawn(store.clone(), RelayConfig { kafka: at.kafka.clone() }, stop_rest.clone());
        reports::relay(health.clone(), relay.watch(), stop_rest.clone());

        let (payment, shipping) = participants(data_dir, at)?;
        let deps = Deps {
            store: store.clone(),
            payment,
            shipping,
            secrets: Arc::new(ports::VaultSecrets { vault: vault.clone(), shops: shops.clone() }),
            locations: Arc::new(ports::Modes(locations.clone())),
            clock: Arc::new(SystemClock),
        };
        let runner = Runner::spawn(RunnerConfig::new(owner(data_dir)?, env!("CARGO_PKG_VERSION")), deps, &stop_sagas);
        runner.erase_with(ErasureDeps { vault: vault.clone(), record: Arc::new(Erasures::in_folder(data_dir.path())) });
        reports::sagas(health.clone(), runner.clone(), stop_rest.clone());
        reports::claims(health.clone(), pg.claim_days(), stop_rest.clone());

        health.watch_store(store.clone());
        health.watch_pool(pool.clone());
        let graphql = GraphQl::new(pool, store.clone());
        let state = AppState {
            store,
            vault,
            keys: keys.clone(),
            shops,
            locations,
            outcomes: outcomes.clone(),
            clock: chrono::Utc::now,
            app_version: env!("CARGO_PKG_VERSION").into(),
            follower: Some(Arc::new(ports::HandOver(runner.clone()))),
        };
        let router = commands::router(state).merge(graphql::router(graphql, read_model.applied, keys));
        Ok(App { router, outcomes, runner, relay, projections, stop_sagas, stop_rest })
    }

    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Takes no more work, answers open waits, hands over.
    pub async fn stop(self) {
        self.outcomes.shutdown();
        self.stop_sagas.cancel();
        self.runner.finished().await;
        self.stop_rest.cancel();
        let projections = async {
            if let Err(error) = self.projections.await {
                tracing::error!(%error, "the read model's task failed");
            }
        };
        tokio::join!(self.relay.join(), projections);
    }
}

/// Tells whoever waits for an order that the read model now shows it.
#[derive(Debug)]
struct Observer {
    outcomes: Arc<Outcomes>,
}

impl ProjectionObserver for Observer {
    fn committed(&self, position: Position, orders: &[ChangedOrder]) {
        for order in orders.iter().filter(|order| self.outcomes.is_awaited(order.order_id)) {
            let view = OutcomeView {
                status: order.status,
                status_reason: order.status_reason.clone(),
                position: order.position,
                version: order.version,
                ended: order.ended,
            };
            self.outcomes.committed(order.order_id, view);
        }
        self.outcomes.applied(position);
    }
}

/// Tries until the database answers, and says what it waits for.
async fn database_pool(url: &str, health: &Health) -> PgPool {
    loop {
        // One try at a time: the pool would try for seconds before it says why.
        let tried = match PgConnection::connect(url).await {
            Ok(connection) => {
                drop(connection);
                super::pool(url).await
            }
            Err(error) => Err(error.into()),
        };
        match tried {
            Ok(pool) => return pool,
            Err(error) => {
                tracing::warn!(error = %format!("{error:#}"), "waiting for PostgreSQL");
                health.report("start", Part::Down { detail: format!("waiting for PostgreSQL: {error:#}") });
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
        }
    }
}

fn participants(data_dir: &DataDir, at: &Addresses) -> Result<(Arc<dyn PaymentPort>, Arc<dyn ShippingPort>)> {
    let ledger = |name: &str| -> Result<PathBuf> { Ok(data_dir.folder(name)?.join("ledger.jsonl")) };
    let payment: Arc<dyn PaymentPort> = match &at.payment {
        Some(url) => Arc::new(HttpPayment::new(url, DEFAULT_TIME_LIMIT)?),
        None => Arc::new(InProcessPayment::new(PaymentSimulator::open(&ledger("payment")?)?, DEFAULT_TIME_LIMIT)),
    };
    let shipping: Arc<dyn ShippingPort> = match &at.shipping {
        Some(url) => Arc::new(HttpShipping::new(url, DEFAULT_TIME_LIMIT)?),
        None => Arc::new(InProcessShipping::new(ShippingSimulator::open(&ledger("shipping")?)?, DEFAULT_TIME_LIMIT)),
    };
    Ok((payment, shipping))
}

/// Who this data folder is among owners of slots. The folder's lock sees to it that it runs once.
fn owner(data_dir: &DataDir) -> Result<Uuid> {
    let path = data_dir.join(OWNER);
    if let Ok(text) = std::fs::read_to_string(&path)
        && let Ok(owner) = text.trim().parse()
    {
        return Ok(owner);
    }
    let owner = Uuid::now_v7();
    data_dir.write_secret(OWNER, owner.to_string().as_bytes())?;
    Ok(owner)
}
