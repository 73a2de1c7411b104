//! The application of one process: what its roles need, started in the order of their needs and stopped in reverse.
use super::{audits, core::Core, participants::participants, ports, read_model, reports};
use crate::{
    config::{CallLimits, Settings},
    elsewhere,
    embedded::data_dir::DataDir,
    erasures::Erasures,
    graphql,
    health::Health,
    replica::{ReplicaHandle, ReplicaTask},
    roles::{Role, Roles},
};
use anyhow::{Context, Result};
use axum::Router;
use commands::{AppState, Outcomes};
use eventstore::{Log, Position, SlotOwner, Vault};
use mirror::{KafkaConfig, Relay, RelayConfig, RelayHandle};
use queries::{graphql::GraphQl, projections::survey_sagas};
use sagas::{Deps, ErasureDeps, GateConfig, Runner, RunnerConfig, RunnerHandle, SystemClock};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The file that keeps who holds the leases: the same after a restart, so that its own slots are free at once.
const OWNER: &str = "owner";

/// Where the parts outside this process are.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub postgres: String,
    /// It was started by us, so that it has shop `dev`.
    pub embedded_postgres: bool,
    /// `None`: this process has nothing to do with it.
    pub kafka: Option<KafkaConfig>,
    pub kafka_in_process: bool,
    /// Without one the provider is simulated in this process.
    pub payment: Option<String>,
    pub shipping: Option<String>,
    /// How long each keeps a key; `None`: for ever.
    pub payment_keys: Option<Duration>,
    pub shipping_keys: Option<Duration>,
}

/// Running. What no role needs is absent.
#[derive(Debug)]
pub struct App {
    router: Router,
    outcomes: Arc<Outcomes>,
    sagas: Option<RunnerHandle>,
    relay: Option<RelayHandle>,
    replica: Option<ReplicaHandle>,
    read_model: Option<JoinHandle<()>>,
    stop_sagas: CancellationToken,
    stop_rest: CancellationToken,
}

impl App {
    /// Waits for the database as long as it takes; fails for what waiting does not mend.
    pub async fn start(settings: &Settings, data_dir: &DataDir, at: &Addresses, health: Arc<Health>) -> Result<App> {
        let roles = &settings.roles;
        let core = Core::open(settings, at, &health).await?;
        let opens_personal_data = roles.append() && (roles.has(Role::Api) || roles.has(Role::Sagas));
        let vault = if opens_personal_data { Some(core.vault(settings, data_dir).await?) } else { None };
        core.first_start(settings, data_dir, at).await?;
        let (stop_sagas, stop_rest) = (CancellationToken::new(), CancellationToken::new());

        let outcomes = Outcomes::new();
        let (read_model, applied) = start_read_model(&core, roles, &outcomes, &health, &stop_rest).unzip();
        let relay = start_relay(&core, roles, at, &health, &stop_rest);
        let replica = start_replica(&core, roles, at, &health, &stop_rest);
        audits::start(&core, settings, at, applied.clone(), &stop_rest);
        let sagas = match &vault {
            Some(vault) if roles.has(Role::Sagas) => {
                Some(start_sagas(settings, &core, vault, data_dir, at, &stop_sagas)?)
            }
            _ => None,
        };
        if let Some(sagas) = &sagas {
            reports::sagas(health.clone(), sagas.clone(), stop_rest.clone());
        }
        reports::claims(health.clone(), core.pg.claim_days(), stop_rest.clone());
        health.watch_store(core.store.clone());
        health.watch_pool(core.pool.clone());

        let mut router = match (roles.has(Role::Api), vault) {
            (true, Some(vault)) => commands::router(commands_of(&core, vault, &outcomes, sagas.as_ref())),
            _ => elsewhere::router(roles),
        };
        if let (true, Some(applied)) = (roles.has(Role::Api), applied) {
            let answers = GraphQl::new(core.pool, core.store);
            router = router.merge(graphql::router(answers, applied, core.keys));
        }
        Ok(App { router, outcomes, sagas, relay, replica, read_model, stop_sagas, stop_rest })
    }

    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Takes no more work, answers open waits, hands over.
    pub async fn stop(self) {
        self.outcomes.shutdown();
        self.stop_sagas.cancel();
        if let Some(sagas) = self.sagas {
            sagas.finished().await;
        }
        self.stop_rest.cancel();
        let relay = async {
            if let Some(relay) = self.relay {
                relay.join().await;
            }
        };
        let read_model = async {
            if let Some(read_model) = self.read_model
                && let Err(error) = read_model.await
            {
                tracing::error!(%error, "the read model's task failed");
            }
        };
        let replica = async {
            if let Some(replica) = self.replica {
                replica.join().await;
            }
        };
        tokio::join!(relay, replica, read_model);
    }
}

/// Kept up here, or looked at for those who ask here; or neither.
fn start_read_model(
    core: &Core,
    roles: &Roles,
    outcomes: &Arc<Outcomes>,
    health: &Arc<Health>,
    stop: &CancellationToken,
) -> Option<(JoinHandle<()>, watch::Receiver<Position>)> {
    let (task, handle) = match () {
        () if roles.has(Role::Projections) => read_model::run(core, outcomes, stop),
        () if roles.has(Role::Api) => read_model::look(core, outcomes, stop),
        () => return None,
    };
    if roles.has(Role::Projections) && roles.append() {
        // Those of a replica's copy are the same ones: they would be counted twice.
        tokio::spawn(survey_sagas(core.pool.clone(), handle.state.clone(), stop.clone()));
    }
    reports::projections(health.clone(), &handle, stop.clone());
    Some((task, handle.applied))
}

fn start_relay(
    core: &Core,
    roles: &Roles,
    at: &Addresses,
    health: &Arc<Health>,
    stop: &CancellationToken,
) -> Option<RelayHandle> {
    let kafka = at.kafka.clone().filter(|_| roles.append())?;
    if !roles.has(Role::Relay) {
        reports::kafka(health.clone(), roles, mirror::reachable::watch(&kafka, stop.clone()), stop.clone());
        return None;
    }
    let relay = Relay::spawn(core.store.clone(), RelayConfig { kafka }, stop.clone());
    reports::relay(health.clone(), roles, relay.watch(), stop.clone());
    Some(relay)
}

fn start_replica(
    core: &Core,
    roles: &Roles,
    at: &Addresses,
    health: &Arc<Health>,
    stop: &CancellationToken,
) -> Option<ReplicaHandle> {
    let kafka = at.kafka.clone().filter(|_| roles.has(Role::Replica))?;
    let replica = ReplicaTask::spawn(core.pool.clone(), Log::MAIN, kafka, stop.clone());
    reports::replica(health.clone(), replica.watch(), stop.clone());
    Some(replica)
}

fn start_sagas(
    settings: &Settings,
    core: &Core,
    vault: &Arc<Vault>,
    data_dir: &DataDir,
    at: &Addresses,
    stop: &CancellationToken,
) -> Result<RunnerHandle> {
    let (payment, shipping) = participants(data_dir, at)?;
    let deps = Deps {
        store: core.store.clone(),
        payment,
        shipping,
        secrets: Arc::new(ports::VaultSecrets { vault: vault.clone(), shops: core.shops.clone() }),
        locations: Arc::new(ports::Modes(core.locations.clone())),
        clock: Arc::new(SystemClock),
    };
    let mut config = RunnerConfig::new(owner(data_dir)?);
    limit(&mut config.payment, settings.payment_limits);
    limit(&mut config.shipping, settings.shipping_limits);
    let runner = Runner::spawn(config.with_drivers_to_spare(), deps, stop);
    runner.erase_with(ErasureDeps { vault: vault.clone(), record: Arc::new(Erasures::in_folder(data_dir.path())) });
    Ok(runner)
}

fn limit(gate: &mut GateConfig, limits: CallLimits) {
    gate.concurrency = limits.concurrency.unwrap_or(gate.concurrency);
    gate.rate = limits.rate.or(gate.rate);
}

fn commands_of(core: &Core, vault: Arc<Vault>, outcomes: &Arc<Outcomes>, sagas: Option<&RunnerHandle>) -> AppState {
    let Core { store, keys, shops, locations, .. } = core.clone();
    AppState {
        store,
        vault,
        keys,
        shops,
        locations,
        outcomes: outcomes.clone(),
        clock: chrono::Utc::now,
        app_version: env!("CARGO_PKG_VERSION").into(),
        follower: sagas.map(|runner| Arc::new(ports::HandOver(runner.clone())) as _),
    }
}

/// Who this data folder is among owners of slots. The folder's lock sees to it that it runs once.
fn owner(data_dir: &DataDir) -> Result<SlotOwner> {
    let known = std::fs::read_to_string(data_dir.join(OWNER)).ok().and_then(|text| text.trim().parse().ok());
    let id = match known {
        Some(id) => id,
        None => {
            let id = Uuid::now_v7();
            data_dir.write_secret(OWNER, id.to_string().as_bytes()).context("who we are can't be kept")?;
            id
        }
    };
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = format!("{host}:{}", std::process::id());
    Ok(SlotOwner { id, name, app_version: env!("CARGO_PKG_VERSION").into() })
}
