//! A `waybill up` of its own, on fresh data in `DATA_DIR/bench-sagas`, which are removed afterwards.
use super::{account::Account, shop::Shop};
use crate::{
    cli::client::DevKeys,
    config::{Participants, Settings},
    embedded::data_dir::{Run, read_run_json},
};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    path::PathBuf,
    sync::Arc,
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
    exe: PathBuf,
    folder: PathBuf,
    child: Child,
    run: Run,
    shop: Arc<Shop>,
}

impl Stack {
    pub(super) async fn start(settings: &Settings) -> Result<Stack> {
        let exe = std::env::current_exe().context("the running program can't be found")?;
        let folder = settings.data_dir.join(FOLDER);
        remove(&folder)?;
        fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
        let folder = folder.canonicalize()?;
        let log = File::create(folder.join("up.log"))?;
        let mut command = waybill(&exe, &folder, settings.participants);
        command.arg("up").stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().context("`waybill up` can't be started")?;
        let began = Instant::now();
        let run = loop {
            if let Some(run) = read_run_json(&folder)? {
                break run;
            }
            let ended = child.try_wait()?;
            if ended.is_some() || began.elapsed() > READY_WITHIN {
                bail!("`waybill up` does not come up: {}", fs::read_to_string(folder.join("up.log"))?);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        ensure!(!run.kafka_in_process, "there is no Java 17 to run a Kafka, and without one nothing is measured");
        let keys = DevKeys::read(&Settings { data_dir: folder.clone(), ..settings.clone() })?;
        let http = run.http.as_deref().context("run.json names no API")?;
        let address = http.trim_start_matches("http://").to_owned();
        Ok(Stack { exe, folder, child, run, shop: Arc::new(Shop::new(address, keys)) })
    }

    pub(super) fn shop(&self) -> Arc<Shop> {
        Arc::clone(&self.shop)
    }

    /// What its processes have used so far; with `server` what PostgreSQL has done too.
    pub(super) async fn account(&self, server: bool) -> Result<Account> {
        let pid = self.child.id().context("`waybill up` has ended")?;
        let postgres = self.run.postgres.as_deref().filter(|_| server);
        Account::take(pid, postgres).await
    }

    pub(super) async fn verify(&self) -> Result<()> {
        let output = waybill(&self.exe, &self.folder, Participants::InProcess).arg("verify").output().await?;
        let told = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "`waybill verify` finds faults: {told}");
        Ok(())
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            kill_process(pid, Signal::TERM)?;
        }
        let stopped = tokio::time::timeout(STOPS_WITHIN, self.child.wait()).await;
        stopped.context("`waybill up` does not stop")??;
        remove(&self.folder)
    }
}

/// With settings of its own: none of those of the one that runs beside it.
fn waybill(exe: &PathBuf, folder: &PathBuf, participants: Participants) -> Command {
    let mut command = Command::new(exe);
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
        .current_dir(folder)
        .env("WAYBILL_DATA_DIR", folder)
        .env("WAYBILL_HTTP_ADDR", "127.0.0.1:0")
        .env("WAYBILL_PARTICIPANTS", participants.name());
    command
}

fn remove(folder: &PathBuf) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} can't be removed", folder.display()))
        }
        _ => Ok(()),
    }
}
