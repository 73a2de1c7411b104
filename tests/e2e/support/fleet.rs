//! Many processes on one PostgreSQL, one Kafka and two providers: what is shared is started here and is nobody's of the fleet, so that any of it
//! may be killed.
use super::{
    app::{EXE, TestApp, text},
    client::unique,
    site::write_master_key,
};
use sqlx::Connection;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use waybill::{
    embedded::{Launcher, data_dir::DataDir, kafka::Kafka, postgres::Postgres, simulators::Simulator},
    simulate::Provider,
};

/// A supervisor waits longer each time a server dies young.
const AGAIN_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Fleet {
    folder: PathBuf,
    env: Vec<(String, String)>,
    postgres: Option<Postgres>,
    kafka: Option<Kafka>,
    providers: Vec<Simulator>,
}

impl Fleet {
    /// Without Java there is no Kafka to share, and no fleet; in CI that is a failure.
    pub(crate) async fn start(name: &str) -> Option<Fleet> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique(&format!("fleet-{name}")));
        let data_dir = DataDir::open(folder.join("shared")).expect("a folder");
        write_master_key(data_dir.path(), b"what opens the keys, and no more");
        let launcher = Launcher::new(EXE.into(), &data_dir);
        let Some(kafka) = Kafka::start(&data_dir, &launcher).await.expect("Kafka starts") else {
            assert!(std::env::var_os("CI").is_none(), "CI needs a Java for the tests on real Kafka");
            println!("NOT TESTED: there is no Java, so no Kafka that many processes can share");
            return None;
        };
        let postgres = Postgres::start(&data_dir, &launcher).await.expect("PostgreSQL starts");
        let mut providers = Vec::new();
        for provider in [Provider::Payment, Provider::Shipping] {
            providers.push(Simulator::start(&data_dir, &launcher, provider, None).await.expect("a provider starts"));
        }
        let env = [
            ("DATABASE_URL", postgres.url().to_owned()),
            ("KAFKA_BROKERS", kafka.brokers().to_owned()),
            ("WAYBILL_PAYMENT_URL", providers[0].url().to_owned()),
            ("WAYBILL_SHIPPING_URL", providers[1].url().to_owned()),
            ("WAYBILL_MASTER_KEY_FILE", data_dir.path().join("master.key").display().to_string()),
            ("WAYBILL_KAFKA_REPLICATION", "1".to_owned()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        // The lock is let go of; what was started keeps the folder.
        Some(Fleet { folder, env, postgres: Some(postgres), kafka: Some(kafka), providers })
    }

    /// Starts a process with these roles, and waits until it is ready.
    pub(crate) async fn join(&self, roles: &str) -> TestApp {
        self.join_with(roles, &[]).await
    }

    /// `env`: settings in place of the fleet's.
    pub(crate) async fn join_with(&self, roles: &str, env: &[(&str, &str)]) -> TestApp {
        let env: Vec<_> = [("WAYBILL_ROLE", roles)].into_iter().chain(env.iter().copied()).collect();
        self.join_program(EXE.into(), &roles.replace(',', "-"), &env).await
    }

    /// Starts the whole of another build, and waits until it is ready.
    pub(crate) async fn join_program(&self, program: PathBuf, name: &str, env: &[(&str, &str)]) -> TestApp {
        let ours = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let ours = ours.filter(|(name, _)| env.iter().all(|(other, _)| other != name));
        let env: Vec<_> = ours.chain(env.iter().copied()).collect();
        TestApp::start_program(program, name, &env).await
    }

    /// Another database on the same server; answers its URL.
    pub(crate) async fn database(&self, name: &str) -> String {
        let ours = self.env("DATABASE_URL");
        let mut connection = sqlx::PgConnection::connect(ours).await.expect("PostgreSQL answers");
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .expect("a database");
        let (server, database) = ours.rsplit_once('/').expect("a URL");
        let parameters = database.split_once('?').map_or_else(String::new, |(_, rest)| format!("?{rest}"));
        format!("{server}/{name}{parameters}")
    }

    /// What the fleet shares, as a command's environment.
    pub(crate) fn env(&self, name: &str) -> &str {
        &self.env.iter().find(|(known, _)| known == name).expect("set").1
    }

    /// Where `payment` or `shipping` listens, killed and started again or not.
    pub(crate) fn provider(&self, name: &str) -> &str {
        self.env(if name == "payment" { "WAYBILL_PAYMENT_URL" } else { "WAYBILL_SHIPPING_URL" })
    }

    /// What `waybill verify` says of all of it: an error when it doesn't find all well.
    pub(crate) async fn verify(&self, any: &TestApp) -> Result<String, String> {
        let mut command = any.command(&["verify"]);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let output = command.output().await.expect("waybill runs");
        let said = text(&output.stdout);
        if output.status.success() { Ok(said) } else { Err(format!("{said}\n{}", text(&output.stderr))) }
    }

    /// `waybill verify` on all of it must find all well.
    pub(crate) async fn assert_verified(&self, any: &TestApp) {
        self.verify(any).await.unwrap_or_else(|said| panic!("{said}"));
    }

    /// Kills a server that all share, without goodbye: `payment`, `shipping` or `postgres`. Its supervisor starts it again, on the same files.
    /// Answers once another runs in its place.
    pub(crate) async fn kill_9(&self, name: &str) {
        let before = self.pid(name).unwrap_or_else(|| panic!("{name} does not run"));
        let killed = std::process::Command::new("kill").args(["-9", &before.to_string()]).status().expect("kill runs");
        assert!(killed.success());
        let since = Instant::now();
        while self.pid(name).is_none_or(|pid| pid == before) {
            assert!(since.elapsed() < AGAIN_WITHIN, "{name} is not started again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Of a server that all share.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        let file = match name {
            "payment" | "shipping" => self.folder.join("shared").join(name).join("pid"),
            name => self.folder.join("shared/run").join(format!("{name}.pid")),
        };
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        u32::try_from(record["server"]["pid"].as_u64()?).ok()
    }

    /// Stops Kafka, for a while or for good.
    pub(crate) async fn stop_kafka(&mut self) {
        if let Some(kafka) = self.kafka.take() {
            kafka.stop().await;
        }
    }

    /// Starts it again, on the port that it had.
    pub(crate) async fn start_kafka(&mut self) {
        let data_dir = DataDir::open(self.folder.join("shared")).expect("a folder");
        let launcher = Launcher::new(EXE.into(), &data_dir);
        let kafka = Kafka::start(&data_dir, &launcher).await.expect("Kafka starts").expect("it did before");
        assert_eq!(kafka.brokers(), self.env("KAFKA_BROKERS"), "on the port that it had");
        self.kafka = Some(kafka);
    }

    pub(crate) async fn stop(mut self) {
        self.stop_kafka().await;
        for provider in self.providers.drain(..) {
            provider.stop().await;
        }
        if let Some(postgres) = self.postgres.take() {
            postgres.stop().await;
        }
    }
}
