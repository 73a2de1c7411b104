//! A `waybill up` of its own, on fresh data in `DATA_DIR/bench-sagas`, which are removed afterwards.
use super::account::Account;
use crate::{
    cli::client::DevKeys,
    config::{Participants, Settings},
    embedded::data_dir::{Run, read_run_json},
};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// Beside the state of `waybill up`, on the same disk.
const FOLDER: &str = "bench-sagas";
const READY_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const STOPS_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Stack {
    place: Place,
    up: Up,
}

/// Where it runs, and with which participants.
#[derive(Debug)]
struct Place {
    exe: PathBuf,
    folder: PathBuf,
    participants: Participants,
}

#[derive(Debug)]
struct Up {
    child: Child,
    run: Run,
}

impl Stack {
    /// `roles`: arguments of `up`; none are all roles.
    pub(super) async fn start(settings: &Settings, roles: &[&str]) -> Result<Stack> {
        let exe = std::env::current_exe().context("the running program can't be found")?;
        let folder = settings.data_dir.join(FOLDER);
        remove(&folder)?;
        fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
        let place = Place { exe, folder: folder.canonicalize()?, participants: settings.participants };
        let up = place.up(roles).await?;
        Ok(Stack { place, up })
    }

    /// With all roles, on what is there.
    pub(super) async fn restart(&mut self) -> Result<()> {
        self.up.stop().await?;
        self.up = self.place.up(&[]).await?;
        Ok(())
    }

    pub(super) fn address(&self) -> Result<String> {
        let http = self.up.run.http.as_deref().context("run.json names no API")?;
        Ok(http.trim_start_matches("http://").to_owned())
    }

    pub(super) fn postgres(&self) -> Result<&str> {
        self.up.run.postgres.as_deref().context("run.json names no PostgreSQL")
    }

    /// As its own: none of those that the benchmark itself was given, but its folder's.
    pub(super) fn settings(&self, settings: &Settings) -> Settings {
        Settings {
            data_dir: self.place.folder.clone(),
            master_key: None,
            master_key_file: None,
            previous_master_keys_file: None,
            ..settings.clone()
        }
    }

    pub(super) fn keys(&self, settings: &Settings) -> Result<DevKeys> {
        DevKeys::read(&self.settings(settings))
    }

    /// What its processes have used so far; with `server` what PostgreSQL has done too.
    pub(super) async fn account(&self, server: bool) -> Result<Account> {
        let pid = self.up.child.id().context("`waybill up` has ended")?;
        let postgres = self.up.run.postgres.as_deref().filter(|_| server);
        Account::take(pid, postgres, &self.place.folder).await
    }

    /// Goods of a file come in.
    pub(super) async fn import(&self, file: &Path) -> Result<()> {
        let rejects = self.place.folder.join("rejected.jsonl");
        let mut command = self.place.waybill("import");
        let output = command.arg(file).arg("--rejects").arg(rejects).output().await?;
        ensure!(output.status.success(), "goods can't come in: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    pub(super) async fn verify(&self) -> Result<()> {
        let output = self.place.waybill("verify").output().await?;
        let [told, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        ensure!(output.status.success(), "`waybill verify` finds faults: {told}{errors}");
        Ok(())
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        self.up.stop().await?;
        remove(&self.place.folder)
    }
}

impl Place {
    async fn up(&self, roles: &[&str]) -> Result<Up> {
        let log = File::create(self.folder.join("up.log"))?;
        let mut command = self.waybill("up");
        let mut child = command
            .args(roles)
            .env("WAYBILL_HTTP_ADDR", "127.0.0.1:0")
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("`waybill up` can't be started")?;
        let began = Instant::now();
        let run = loop {
            if let Some(run) = read_run_json(&self.folder)? {
                break run;
            }
            let ended = child.try_wait()?;
            if ended.is_some() || began.elapsed() > READY_WITHIN {
                bail!("`waybill up` does not come up: {}", fs::read_to_string(self.folder.join("up.log"))?);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        ensure!(!run.kafka_in_process, "there is no Java 17 to run a Kafka, and without one nothing is measured");
        Ok(Up { child, run })
    }

    /// With settings of its own: none of those of the one that runs beside it.
    fn waybill(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.exe);
        for (name, _) in std::env::vars_os() {
            let ours = name.to_str().is_some_and(|name| {
                name.starts_with("WAYBILL_") || name.starts_with("DATABASE_URL") || name == "KAFKA_BROKERS"
            });
            if ours {
                command.env_remove(&name);
            }
        }
        command
            // No `waybill.toml` of somebody's.
            .current_dir(&self.folder)
            .env("WAYBILL_DATA_DIR", &self.folder)
            .env("WAYBILL_PARTICIPANTS", self.participants.name())
            .arg(verb);
        command
    }
}

impl Up {
    async fn stop(&mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            kill_process(pid, Signal::TERM)?;
        }
        let stopped = tokio::time::timeout(STOPS_WITHIN, self.child.wait()).await;
        stopped.context("`waybill up` does not stop")??;
        Ok(())
    }
}

fn remove(folder: &PathBuf) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} can't be removed", folder.display()))
        }
        _ => Ok(()),
    }
}
