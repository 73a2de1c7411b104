//! Runs `pg_dump` and `pg_restore` under a supervisor, so that neither outlives us. Where the database is, and its password, go by the
//! environment: arguments are for everyone on the machine to read.
use crate::embedded::supervise::{self, Spec, StopSignal};
use anyhow::{Context, Result, bail};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// A tool told to end writes nothing more.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// More at once gain little and take the server's processors from its work.
const MAX_JOBS: usize = 4;

/// How programs are run: this binary again is their supervisor. Told to stop, a program ends before [`Programs::run`] does.
#[derive(Clone, Debug)]
pub struct Programs {
    exe: PathBuf,
    stop: CancellationToken,
}

impl Programs {
    /// `exe` is `std::env::current_exe()`, except in tests.
    pub fn new(exe: PathBuf, stop: CancellationToken) -> Programs {
        Programs { exe, stop }
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a program to its end; its output goes to `folder`, and its end into the error.
    pub(super) async fn run(&self, program: &Path, args: Vec<String>, url: Option<&str>, folder: &Path) -> Result<()> {
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Only what this run says is of interest.
        let log = folder.join(format!("{name}.log"));
        let _ = std::fs::remove_file(&log);
        let spec = Spec {
            program: program.to_owned(),
            args,
            env: url.map(environment).transpose()?.unwrap_or_default(),
            held: vec![],
            account: None,
            input: None,
            stop_signal: StopSignal::Terminate,
            stop_within: STOP_WITHIN,
            log: log.clone(),
            pid_file: folder.join(format!("{name}.pid")),
            restart: false,
            name,
        };
        let Err(error) = supervise::run_once(&self.exe, &spec, &self.stop).await else { return Ok(()) };
        // After its error a tool may quote pages of SQL.
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        match said.lines().find_map(|line| line.split_once(" error: ")) {
            Some((_, first)) => bail!("{}: {first}; all it said is in {}", spec.name, log.display()),
            None => Err(error.into()),
        }
    }
}

/// What the tools need to reach the database. What is not in the URL they take from where others take it: `PG…` variables, `~/.pgpass`.
fn environment(url: &str) -> Result<Vec<(String, String)>> {
    let options: PgConnectOptions = url.parse().context("DATABASE_URL is no PostgreSQL URL")?;
    let whole = options.to_url_lossy();
    let mut env: Vec<(String, String)> =
        std::env::vars().filter(|(name, _)| name.starts_with("PG") && name != "PGSERVICE").collect();
    let mut set = |name: &str, value: Cow<'_, str>| {
        env.retain(|(known, _)| known != name);
        env.push((name.to_owned(), value.into_owned()));
    };
    match options.get_socket() {
        Some(socket) => set("PGHOST", socket.to_string_lossy()),
        None => set("PGHOST", options.get_host().into()),
    }
    set("PGPORT", options.get_port().to_string().into());
    set("PGUSER", options.get_username().into());
    set("PGDATABASE", options.get_database().unwrap_or(options.get_username()).into());
    set("PGAPPNAME", "waybill backup".into());
    if let Some(password) = whole.password() {
        set("PGPASSWORD", decoded(password).into());
    }
    if let Some(options) = options.get_options() {
        set("PGOPTIONS", options.into());
    }
    for (name, value) in whole.query_pairs() {
        match &*name {
            "sslmode" => set("PGSSLMODE", value),
            "sslrootcert" => set("PGSSLROOTCERT", value),
            "sslcert" => set("PGSSLCERT", value),
            "sslkey" => set("PGSSLKEY", value),
            _ => {}
        }
    }
    Ok(env)
}

/// `%41` is `A`; whatever else stands for itself.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        match hex {
            Some(value) if byte == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How many at once a tool may do.
pub(super) fn jobs() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("--jobs={}", processors.min(MAX_JOBS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_goes_by_the_environment_as_it_is() {
        let env = environment("postgres://us%40er:p%25a%20ss%2Fw@db.example:6543/way%20bill?sslmode=require").unwrap();
        let of = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(of("PGPASSWORD"), Some("p%a ss/w"));
        assert_eq!(of("PGUSER"), Some("us@er"));
        assert_eq!(of("PGHOST"), Some("db.example"));
        assert_eq!(of("PGPORT"), Some("6543"));
        assert_eq!(of("PGDATABASE"), Some("way bill"));
        assert_eq!(of("PGSSLMODE"), Some("require"));
        let socket = environment("postgres:///waybill?host=/var/run/postgresql").unwrap();
        assert!(socket.contains(&("PGHOST".to_owned(), "/var/run/postgresql".to_owned())), "{socket:?}");
    }
}
