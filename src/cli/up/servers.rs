//! The servers that `up` brings along where none are given and its roles need them: PostgreSQL, Kafka, the two providers. They start side
//! by side.
use crate::{
    config::{Participants, Settings},
    embedded::{Launcher, data_dir::DataDir, kafka::Kafka, postgres::Postgres, simulators::Simulator},
    health::{Health, Part},
    roles::{Role, Roles},
    simulate::Provider,
    wiring::{self, Addresses},
};
use anyhow::{Context, Result, bail};
use eventstore::{Log, sql};
use mirror::{InProcessKafka, KafkaConfig};
use std::sync::Arc;

pub(super) struct Servers {
    postgres: Option<Postgres>,
    broker: Broker,
    payment: Option<Simulator>,
    shipping: Option<Simulator>,
}

enum Broker {
    /// None of the roles needs one.
    None,
    Given,
    Started(Kafka),
    /// No Java: librdkafka's stand-in.
    InProcess(InProcessKafka),
}

impl Servers {
    pub(super) async fn start(
        settings: &Settings,
        data_dir: &DataDir,
        launcher: &Launcher,
        health: &Arc<Health>,
    ) -> Result<Servers> {
        let waits_for = |what: &str| Part::Down { detail: format!("waiting for {what}") };
        health.report("start", waits_for("the servers that are started"));
        let (postgres, broker, payment, shipping) = tokio::join!(
            postgres(settings, data_dir, launcher),
            broker(settings, data_dir, launcher),
            simulator(settings.payment_url.as_ref(), settings, data_dir, launcher, Provider::Payment),
            simulator(settings.shipping_url.as_ref(), settings, data_dir, launcher, Provider::Shipping),
        );
        // What did start stops by being dropped, when another did not.
        Ok(Servers { postgres: postgres?, broker: broker?, payment: payment?, shipping: shipping? })
    }

    pub(super) fn addresses(&self, settings: &Settings) -> Addresses {
        let template = kafka_template(settings);
        let given = settings.database_url.clone().unwrap_or_default();
        let url = |given: &Option<String>, started: &Option<Simulator>| {
            given.clone().or_else(|| started.as_ref().map(|simulator| simulator.url().to_owned()))
        };
        Addresses {
            postgres: self.postgres.as_ref().map_or(given, |postgres| postgres.url().to_owned()),
            embedded_postgres: self.postgres.is_some(),
            kafka: match &self.broker {
                Broker::None => None,
                Broker::Given => Some(template),
                Broker::Started(kafka) => Some(KafkaConfig { brokers: kafka.brokers().to_owned(), ..template }),
                Broker::InProcess(kafka) => Some(kafka.config().clone()),
            },
            kafka_in_process: matches!(self.broker, Broker::InProcess(_)),
            payment: url(&settings.payment_url, &self.payment),
            shipping: url(&settings.shipping_url, &self.shipping),
            payment_keys: settings.payment_key_lifetime,
            shipping_keys: settings.shipping_key_lifetime,
        }
    }

    pub(super) async fn stop(self) {
        let Servers { postgres, broker, payment, shipping } = self;
        let stop_simulator = async |simulator: Option<Simulator>| {
            if let Some(simulator) = simulator {
                simulator.stop().await;
            }
        };
        tokio::join!(
            async {
                if let Some(postgres) = postgres {
                    postgres.stop().await;
                }
            },
            async {
                if let Broker::Started(kafka) = broker {
                    kafka.stop().await;
                }
            },
            stop_simulator(payment),
            stop_simulator(shipping),
        );
    }
}

fn kafka_template(settings: &Settings) -> KafkaConfig {
    KafkaConfig {
        partitions: settings.kafka_partitions,
        replication: settings.kafka_replication.unwrap_or(if settings.kafka_brokers.is_some() { -1 } else { 1 }),
        ..KafkaConfig::new(settings.kafka_brokers.clone().unwrap_or_default())
    }
}

/// It gets its schema while Kafka, which takes longer, still starts.
async fn postgres(settings: &Settings, data_dir: &DataDir, launcher: &Launcher) -> Result<Option<Postgres>> {
    if settings.database_url.is_some() {
        return Ok(None);
    }
    let postgres = Postgres::start(data_dir, launcher).await.context("PostgreSQL can't be started")?;
    sql::migrate(&wiring::pool(postgres.url()).await?).await?;
    Ok(Some(postgres))
}

async fn broker(settings: &Settings, data_dir: &DataDir, launcher: &Launcher) -> Result<Broker> {
    if settings.kafka_brokers.is_some() {
        return Ok(Broker::Given);
    }
    if settings.roles.has(Role::Replica) {
        bail!("a replica copies the log of another Waybill from its Kafka: set KAFKA_BROKERS");
    }
    if !settings.roles.has(Role::Relay) {
        return Ok(Broker::None);
    }
    if let Some(kafka) = Kafka::start(data_dir, launcher).await.context("Kafka can't be started")? {
        return Ok(Broker::Started(kafka));
    }
    tracing::warn!(
        "there is no Java 17 or later: a stand-in for Kafka runs inside this process and forgets all at exit"
    );
    let kafka = InProcessKafka::start(&kafka_template(settings), Log::MAIN)
        .context("the stand-in for Kafka can't be started")?;
    Ok(Broker::InProcess(kafka))
}

async fn simulator(
    given: Option<&String>,
    settings: &Settings,
    data_dir: &DataDir,
    launcher: &Launcher,
    provider: Provider,
) -> Result<Option<Simulator>> {
    let is_needed = settings.roles.has(Role::Sagas) && settings.participants == Participants::Http;
    if given.is_some() || !is_needed {
        return Ok(None);
    }
    if settings.roles != Roles::all() {
        // Beside other processes it is a provider that they know nothing of.
        let name = provider.name();
        tracing::warn!(
            provider = name,
            "no {name} provider is given (WAYBILL_{}_URL): this process starts a simulator of its own, which charges and ships nothing and \
             which no other process knows",
            name.to_uppercase()
        );
    }
    let key_lifetime = match provider {
        Provider::Payment => settings.payment_key_lifetime,
        Provider::Shipping => settings.shipping_key_lifetime,
    };
    Ok(Some(Simulator::start(data_dir, launcher, provider, key_lifetime).await?))
}
