//! `waybill doctor`: is this set-up sound, and if not, what to do. It changes nothing and starts nothing.
use super::{FAULTS, client::DEV_KEYS};
use crate::{
    backup,
    config::{Participants, Settings},
    embedded::{data_dir, kafka, postgres},
    wiring,
};
use anyhow::Result;
use sqlx::Row;
use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::ExitCode, time::Duration};

const TIMEOUT: Duration = Duration::from_secs(5);
/// Less free space than this is worth a word.
const ENOUGH_BYTES: u64 = 2 * 1024 * 1024 * 1024;

enum Finding {
    Fine(String),
    /// It works, with less.
    Note(String),
    /// It does not work: what is wrong, and what to do.
    Fault(String),
}

use Finding::{Fault, Fine, Note};

pub async fn run(settings: &Settings) -> ExitCode {
    let mut findings = vec![folder(&settings.data_dir), space(&settings.data_dir)];
    findings.extend(secrets(&settings.data_dir));
    findings.extend(half_restored(&settings.data_dir));
    let running = data_dir::read_run_json(&settings.data_dir).ok().flatten();
    let given = settings.database_url.clone().or_else(|| running.as_ref().and_then(|run| run.postgres.clone()));
    findings.push(database(given.as_deref()).await);
    findings.push(backup_tools(given.as_deref()).await);
    findings.push(broker(settings, running.as_ref().and_then(|run| run.kafka.clone())).await);
    match running.as_ref().and_then(|run| run.http.clone()) {
        Some(base) => findings.extend(server(&base).await),
        None => findings.push(address(settings)),
    }
    for (name, url) in [("payment", &settings.payment_url), ("shipping", &settings.shipping_url)] {
        findings.push(provider(name, url.as_deref(), settings.participants).await);
    }
    let mut faults = 0;
    for finding in &findings {
        match finding {
            Fine(text) => say!("ok     {text}"),
            Note(text) => say!("note   {text}"),
            Fault(text) => {
                faults += 1;
                say!("FAULT  {text}");
            }
        }
    }
    match faults {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(FAULTS),
    }
}

fn folder(path: &Path) -> Finding {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Fine(format!("data folder: {shown} is made by the first `waybill up`"))
        }
        Err(error) => Fault(format!("data folder: {shown} can't be read: {error}")),
        Ok(found) if !found.is_dir() => {
            Fault(format!("data folder: {shown} is no folder; choose another with --data-dir"))
        }
        Ok(_) => match tempfile::tempfile_in(path) {
            Ok(_) => Fine(format!("data folder: {shown} can be written")),
            Err(error) => {
                Fault(format!("data folder: {shown} can't be written: {error}; choose another with --data-dir"))
            }
        },
    }
}

fn space(path: &Path) -> Finding {
    let nearest = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let nearest = if nearest.as_os_str().is_empty() { Path::new(".") } else { nearest };
    match rustix::fs::statvfs(nearest) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let text = format!("disk: {:.1} GiB free", free as f64 / f64::from(1 << 30));
            if free < ENOUGH_BYTES { Note(format!("{text}; a full disk stops everything")) } else { Fine(text) }
        }
        Err(error) => Note(format!("disk: how much is free can't be told: {error}")),
    }
}

/// Files that only their owner may read.
fn secrets(data_dir: &Path) -> Vec<Finding> {
    let check = |name: &str| {
        let path = data_dir.join(name);
        let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0)
            .then(|| Fault(format!("secrets: {} has mode {mode:o}; do: chmod 600 {}", path.display(), path.display())))
    };
    [DEV_KEYS, "master.key", "run.json", "postgres.password"].into_iter().filter_map(check).collect()
}

fn half_restored(data_dir: &Path) -> Option<Finding> {
    let backup = backup::half_restored(data_dir)?;
    Some(Fault(format!("restore: that of the backup {backup} did not come to its end; run `waybill restore` again")))
}

/// `pg_dump` must be as new as the server it dumps.
async fn backup_tools(url: Option<&str>) -> Finding {
    let server = match url {
        Some(url) => tokio::time::timeout(TIMEOUT, server_major(url)).await.ok().and_then(Result::ok),
        None => postgres::found_on_this_machine().or(Some(postgres::PINNED_MAJOR)),
    };
    let Some(server) = server else { return Note("backup: the database can't be asked for its version".to_owned()) };
    match postgres::Tools::find(server) {
        Ok(tools) => {
            Fine(format!("backup: pg_dump and pg_restore of PostgreSQL {} are on this machine", tools.major()))
        }
        Err(error) => Note(format!("backup: not possible from here: {error}")),
    }
}

async fn server_major(url: &str) -> Result<u32> {
    let pool = wiring::pool(url).await?;
    let sql = "SELECT current_setting('server_version_num')::int / 10000";
    let major: i32 = sqlx::query_scalar(sql).fetch_one(&pool).await?;
    Ok(u32::try_from(major)?)
}

async fn database(url: Option<&str>) -> Finding {
    let Some(url) = url else {
        return match postgres::found_on_this_machine() {
            Some(major) => Fine(format!("PostgreSQL: {major} is on this machine and will be started")),
            None => Note(
                "PostgreSQL: none on this machine; a pinned one is fetched from Maven Central at the first start"
                    .to_owned(),
            ),
        };
    };
    match tokio::time::timeout(TIMEOUT, about_database(url)).await {
        Ok(Ok(finding)) => finding,
        Ok(Err(error)) => Fault(format!("PostgreSQL: {error:#}")),
        Err(_) => Fault(format!("PostgreSQL: no answer within {} s; check DATABASE_URL", TIMEOUT.as_secs())),
    }
}

/// What only the server knows: its version, and whether it really writes what it says it wrote.
async fn about_database(url: &str) -> Result<Finding> {
    let pool = wiring::pool(url).await?;
    let sql = "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
        current_setting('fsync') || current_setting('full_page_writes') AS durable, current_setting('synchronous_commit') AS synchronous";
    let row = sqlx::query(sql).fetch_one(&pool).await?;
    let (version, number): (String, i32) = (row.try_get("version")?, row.try_get("number")?);
    let (durable, synchronous): (String, String) = (row.try_get("durable")?, row.try_get("synchronous")?);
    Ok(match () {
        () if number < 140_000 => Fault(format!("PostgreSQL: {version} is too old; 14 or later is needed")),
        () if durable != "onon" || synchronous == "off" => Fault(format!(
            "PostgreSQL: {version} may lose what it answered for: set fsync, full_page_writes and synchronous_commit to on"
        )),
        () => Fine(format!("PostgreSQL: {version} answers, and its durable settings are on")),
    })
}

async fn broker(settings: &Settings, running: Option<String>) -> Finding {
    let Some(brokers) = settings.kafka_brokers.clone().or(running) else {
        return match kafka::java_found() {
            Some(java) => Fine(format!("Kafka: {} will run it", java.display())),
            None => Note(
                "Kafka: no Java 17 or later; a stand-in inside the process is used, which forgets all at exit"
                    .to_owned(),
            ),
        };
    };
    let first = brokers.split(',').next().unwrap_or_default().trim().to_owned();
    match tokio::time::timeout(TIMEOUT, tokio::net::TcpStream::connect(&first)).await {
        Ok(Ok(_)) => Fine(format!("Kafka: {first} takes connections")),
        Ok(Err(error)) => Fault(format!("Kafka: {first} can't be reached: {error}; orders are taken all the same")),
        Err(_) => Fault(format!("Kafka: {first} does not answer; orders are taken all the same")),
    }
}

fn address(settings: &Settings) -> Finding {
    match TcpListener::bind(settings.http_addr) {
        Ok(_) => Fine(format!("address: {} is free", settings.http_addr)),
        Err(error) => {
            Fault(format!("address: can't listen on {}: {error}; choose another with --http-addr", settings.http_addr))
        }
    }
}

/// What the running server says of itself.
async fn server(base: &str) -> Vec<Finding> {
    let answer = async {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        http.get(format!("{base}/readyz")).send().await?.json::<serde_json::Value>().await
    };
    let ready = match answer.await {
        Ok(ready) => ready,
        Err(error) => {
            return vec![Fault(format!("server: {base} does not answer ({error}); is `waybill up` still running?"))];
        }
    };
    let mut findings = vec![match ready["status"].as_str() {
        Some("ready") => Fine(format!("server: {base} is ready")),
        Some("degraded") => Note(format!("server: {base} is degraded")),
        status => Fault(format!("server: {base} is {}", status.unwrap_or("not understood"))),
    }];
    for (name, check) in ready["checks"].as_object().into_iter().flatten() {
        if let Some(detail) = check["detail"].as_str() {
            findings.push(Note(format!("server: {name}: {detail}")));
        }
    }
    findings
}

async fn provider(name: &str, url: Option<&str>, participants: Participants) -> Finding {
    let Some(url) = url else {
        let how =
            if participants == Participants::InProcess { "inside the process" } else { "as a process of its own" };
        return Fine(format!("{name}: simulated, {how}"));
    };
    let answer = async {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        http.get(url).send().await
    };
    match answer.await {
        Ok(_) => Fine(format!("{name}: {url} answers")),
        Err(error) => Fault(format!("{name}: {url} does not answer: {error}")),
    }
}
