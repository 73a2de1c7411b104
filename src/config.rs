//! Settings: from flags, then `WAYBILL_*` variables (secrets also as `*_FILE`), then `waybill.toml` in the working folder.
//!
//! Every setting has one name in three spellings: `--http-addr`, `WAYBILL_HTTP_ADDR`, `http_addr`.
use crate::roles::{Role, Roles};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where settings may stand besides flags and the environment.
pub const FILE: &str = "waybill.toml";
const DEFAULT_HTTP_ADDR: &str = "127.0.0.1:8080";
/// What libraries say of lost connections is said again by whoever lost them.
const DEFAULT_LOG: &str = "info,sqlx=error";
const DEFAULT_DATA_DIR: &str = "./.waybill";
/// Fixed for a topic's life.
const DEFAULT_KAFKA_PARTITIONS: i32 = 8;
/// Each call under way holds a connection.
const MAX_CONCURRENCY: usize = 4096;
/// A twentieth of a core at most.
const DEFAULT_AUDIT_SHARE: f64 = 0.05;

/// What every command takes.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where the HTTP server listens, or is found [default: 127.0.0.1:8080]
    #[arg(long, env = "WAYBILL_HTTP_ADDR", global = true, value_name = "HOST:PORT")]
    pub http_addr: Option<String>,
    /// The folder that holds all state [default: ./.waybill]
    #[arg(long, env = "WAYBILL_DATA_DIR", global = true, value_name = "PATH")]
    pub data_dir: Option<PathBuf>,
    /// A PostgreSQL of your own (14 or later); without it one is started [also DATABASE_URL_FILE]
    #[arg(long, env = "DATABASE_URL", global = true, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    #[arg(long, env = "DATABASE_URL_FILE", global = true, hide = true)]
    pub database_url_file: Option<PathBuf>,
    /// A Kafka of your own; without it one is started
    #[arg(long, env = "KAFKA_BROKERS", global = true, value_name = "HOST:PORT,…")]
    pub kafka_brokers: Option<String>,
    /// Partitions of each topic, fixed for its life [default: 8]
    #[arg(long, env = "WAYBILL_KAFKA_PARTITIONS", global = true, value_name = "N")]
    pub kafka_partitions: Option<i32>,
    /// Copies of each partition [default: 1 on the started Kafka, else the brokers' default]
    #[arg(long, env = "WAYBILL_KAFKA_REPLICATION", global = true, value_name = "N")]
    pub kafka_replication: Option<i32>,
    /// The API key that a command uses [default: the fitting one of dev-keys.json; also WAYBILL_KEY_FILE]
    #[arg(long, env = "WAYBILL_KEY", global = true, hide_env_values = true)]
    pub key: Option<String>,
    #[arg(long, env = "WAYBILL_KEY_FILE", global = true, hide = true)]
    pub key_file: Option<PathBuf>,
    /// The key that personal data's keys are wrapped under: 64 hexadecimal digits [default: what --master-key-file holds]
    #[arg(long, env = "WAYBILL_MASTER_KEY", global = true, value_name = "HEX", hide_env_values = true)]
    pub master_key: Option<String>,
    /// The same in a file of mode 0600, which is read again when the key has changed [default: DATA_DIR/master.key]
    #[arg(long, env = "WAYBILL_MASTER_KEY_FILE", global = true, value_name = "PATH")]
    pub master_key_file: Option<PathBuf>,
    /// Earlier ones, one a line: they still open what lies under them [default: DATA_DIR/previous-master.keys]
    #[arg(long, env = "WAYBILL_PREVIOUS_MASTER_KEYS_FILE", global = true, value_name = "PATH")]
    pub previous_master_keys_file: Option<PathBuf>,
    /// How payment and shipping are reached [default: http]
    #[arg(long, env = "WAYBILL_PARTICIPANTS", global = true, value_enum)]
    pub participants: Option<Participants>,
    /// A payment provider of your own; without it the simulator is started
    #[arg(long, env = "WAYBILL_PAYMENT_URL", global = true, value_name = "URL")]
    pub payment_url: Option<String>,
    /// A shipping provider of your own; without it the simulator is started
    #[arg(long, env = "WAYBILL_SHIPPING_URL", global = true, value_name = "URL")]
    pub shipping_url: Option<String>,
    /// Calls to the payment provider under way at the same time, from this process [default: 128]
    #[arg(long, env = "WAYBILL_PAYMENT_CONCURRENCY", global = true, value_name = "N")]
    pub payment_concurrency: Option<usize>,
    /// Calls to the payment provider a second, from this process [default: no limit]
    #[arg(long, env = "WAYBILL_PAYMENT_RATE", global = true, value_name = "N")]
    pub payment_rate: Option<u32>,
    /// Calls to the shipping provider under way at the same time, from this process [default: 128]
    #[arg(long, env = "WAYBILL_SHIPPING_CONCURRENCY", global = true, value_name = "N")]
    pub shipping_concurrency: Option<usize>,
    /// Calls to the shipping provider a second, from this process [default: no limit]
    #[arg(long, env = "WAYBILL_SHIPPING_RATE", global = true, value_name = "N")]
    pub shipping_rate: Option<u32>,
    /// The payment provider forgets a key after so many seconds, 60 or more [default: never]
    #[arg(long, env = "WAYBILL_PAYMENT_KEY_LIFETIME", global = true, value_name = "SECONDS")]
    pub payment_key_lifetime: Option<u64>,
    /// The shipping provider forgets a key after so many seconds, 60 or more [default: never]
    #[arg(long, env = "WAYBILL_SHIPPING_KEY_LIFETIME", global = true, value_name = "SECONDS")]
    pub shipping_key_lifetime: Option<u64>,
    /// How much of its time the audit of Kafka and of the read model works, 0 to 1; 0: not at all [default: 0.05]
    #[arg(long, env = "WAYBILL_AUDIT_SHARE", global = true, value_name = "SHARE")]
    pub audit_share: Option<f64>,
    /// How logs are written to standard error [default: text on a terminal, else json]
    #[arg(long, env = "WAYBILL_LOG_FORMAT", global = true, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Which logs are written, e.g. `info,sagas=debug` [default: info,sqlx=error]
    #[arg(long, env = "WAYBILL_LOG", global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// In the file alone; as a flag it is `up`'s.
    #[arg(skip)]
    pub role: Option<Vec<Role>>,
    /// A flag of `up` alone.
    #[arg(skip)]
    #[serde(skip)]
    pub from_scratch: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Participants {
    /// Separate processes over HTTP.
    #[default]
    Http,
    /// The same simulators inside this process.
    InProcess,
}

impl Participants {
    /// As the setting spells it.
    pub fn name(self) -> &'static str {
        match self {
            Participants::Http => "http",
            Participants::InProcess => "in-process",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    Text,
    Json,
}

/// What a provider is spared by this process. `None`: as it is by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallLimits {
    /// Calls at the same time.
    pub concurrency: Option<usize>,
    /// Calls a second.
    pub rate: Option<u32>,
}

impl CallLimits {
    fn of(provider: &str, concurrency: Option<usize>, rate: Option<u32>) -> Result<CallLimits> {
        if let Some(n) = concurrency.filter(|n| !(1..=MAX_CONCURRENCY).contains(n)) {
            bail!("{provider}_concurrency is {n}; it must be 1 to {MAX_CONCURRENCY}");
        }
        if rate == Some(0) {
            bail!("{provider}_rate is 0; it must be at least 1");
        }
        Ok(CallLimits { concurrency, rate })
    }
}

/// The settings as they hold.
#[derive(Clone, Debug)]
pub struct Settings {
    pub http_addr: SocketAddr,
    /// The address was given, not the default: commands then look nowhere else for the server.
    pub http_addr_given: bool,
    pub data_dir: PathBuf,
    pub database_url: Option<String>,
    pub kafka_brokers: Option<String>,
    pub kafka_partitions: i32,
    pub kafka_replication: Option<i32>,
    pub key: Option<String>,
    pub master_key: Option<String>,
    pub master_key_file: Option<PathBuf>,
    pub previous_master_keys_file: Option<PathBuf>,
    pub participants: Participants,
    pub payment_url: Option<String>,
    pub shipping_url: Option<String>,
    pub payment_limits: CallLimits,
    pub shipping_limits: CallLimits,
    /// `None`: its keys live as long as its ledger.
    pub payment_key_lifetime: Option<Duration>,
    pub shipping_key_lifetime: Option<Duration>,
    pub audit_share: f64,
    pub log_format: Option<LogFormat>,
    pub log: String,
    pub roles: Roles,
    /// A replica is emptied before it is filled.
    pub from_scratch: bool,
}

impl Settings {
    pub fn load(flags: Options) -> Result<Settings> {
        let file = read_file(Path::new(FILE))?;
        macro_rules! first {
            ($field:ident) => {
                flags.$field.or(file.$field)
            };
        }
        let database_url = secret(first!(database_url), first!(database_url_file))?;
        let key = secret(first!(key), first!(key_file))?;
        let http_addr = first!(http_addr);
        let kafka_partitions = first!(kafka_partitions).unwrap_or(DEFAULT_KAFKA_PARTITIONS);
        if !(1..=256).contains(&kafka_partitions) {
            bail!("kafka_partitions is {kafka_partitions}; it must be 1 to 256");
        }
        let roles = first!(role).map_or_else(|| Ok(Roles::all()), Roles::of)?;
        if flags.from_scratch && !roles.has(Role::Replica) {
            bail!("--from-scratch is for a replica: the log of a store is never emptied");
        }
        let audit_share = first!(audit_share).unwrap_or(DEFAULT_AUDIT_SHARE);
        if !(0.0..=1.0).contains(&audit_share) {
            bail!("audit_share is {audit_share}; it must be 0 to 1");
        }
        let http_addr_given = http_addr.is_some();
        let text = http_addr.unwrap_or_else(|| DEFAULT_HTTP_ADDR.to_owned());
        let text = text.trim_start_matches("http://").trim_end_matches('/');
        Ok(Settings {
            http_addr: resolve(text).with_context(|| format!("http_addr is {text:?}; it must be HOST:PORT"))?,
            http_addr_given,
            data_dir: first!(data_dir).unwrap_or_else(|| DEFAULT_DATA_DIR.into()),
            database_url,
            kafka_brokers: first!(kafka_brokers),
            kafka_partitions,
            kafka_replication: first!(kafka_replication),
            key,
            master_key: first!(master_key),
            master_key_file: first!(master_key_file),
            previous_master_keys_file: first!(previous_master_keys_file),
            participants: first!(participants).unwrap_or_default(),
            payment_url: first!(payment_url),
            shipping_url: first!(shipping_url),
            payment_limits: CallLimits::of("payment", first!(payment_concurrency), first!(payment_rate))?,
            shipping_limits: CallLimits::of("shipping", first!(shipping_concurrency), first!(shipping_rate))?,
            payment_key_lifetime: key_lifetime("payment", first!(payment_key_lifetime))?,
            shipping_key_lifetime: key_lifetime("shipping", first!(shipping_key_lifetime))?,
            audit_share,
            log_format: first!(log_format),
            log: first!(log).unwrap_or_else(|| DEFAULT_LOG.to_owned()),
            from_scratch: flags.from_scratch,
            roles,
        })
    }
}

/// With a shorter life a key would be forgotten before a call that is on its way could be asked after.
const MIN_KEY_LIFETIME: u64 = 60;

fn key_lifetime(provider: &str, seconds: Option<u64>) -> Result<Option<Duration>> {
    match seconds {
        Some(seconds) if seconds < MIN_KEY_LIFETIME => {
            bail!("{provider}_key_lifetime is {seconds}; it must be {MIN_KEY_LIFETIME} or more")
        }
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

fn resolve(text: &str) -> Result<SocketAddr> {
    use std::net::ToSocketAddrs;
    text.to_socket_addrs()?.next().context("no such host")
}

fn read_file(path: &Path) -> Result<Options> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("{} can't be read", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Options::default()),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

/// A secret as it is, or from its file, trimmed.
fn secret(value: Option<String>, file: Option<PathBuf>) -> Result<Option<String>> {
    match (value, file) {
        (Some(value), _) => Ok(Some(value)),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
            Ok(Some(text.trim().to_owned()))
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_does_not_exist_is_refused_by_name() {
        let error = toml::from_str::<Options>("htp_addr = \"127.0.0.1:1\"").unwrap_err().to_string();
        assert!(error.contains("htp_addr"), "{error}");
    }

    #[test]
    fn limits_of_calls_that_let_none_through_are_refused() {
        assert!(CallLimits::of("payment", Some(0), None).unwrap_err().to_string().contains("payment_concurrency is 0"));
        assert!(CallLimits::of("shipping", None, Some(0)).unwrap_err().to_string().contains("shipping_rate is 0"));
        let limits = CallLimits { concurrency: Some(8), rate: Some(100) };
        assert_eq!(CallLimits::of("payment", Some(8), Some(100)).unwrap(), limits);
    }

    #[test]
    fn a_secret_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "wbk_1\n").unwrap();
        assert_eq!(secret(None, Some(file.path().into())).unwrap().as_deref(), Some("wbk_1"));
        assert_eq!(secret(Some("wbk_2".into()), Some(file.path().into())).unwrap().as_deref(), Some("wbk_2"));
    }
}
