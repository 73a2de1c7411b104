//! Starts a server from the binaries that are on the machine, and sees to it that it ends.
//!
//! PostgreSQL refuses to run as root: then it runs as `postgres` or `nobody`, in a folder of its own under the temporary folder. A shell
//! watches a pipe that this process holds open; when that closes, for whatever reason, it stops the server and removes the folder.
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START: Duration = Duration::from_secs(60);
const TRIES: u32 = 3;

/// `$1` the binaries, `$2` the folder, `$3` the port. Durability is off: a test's data needn't outlive its server.
const GUARD: &str = r#"
trap '' PIPE
"$1/initdb" -D "$2/data" -U waybill --auth=trust --encoding=UTF8 --no-locale --no-sync >"$2/log" 2>&1
"$1/postgres" -D "$2/data" -p "$3" -k "$2" -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off \
    -c max_connections=300 -c shared_buffers=64MB -c logging_collector=off >>"$2/log" 2>&1 </dev/null &
server=$!
echo started
read -r line
kill -QUIT "$server"
wait
rm -rf "$2"
"#;

#[derive(Debug)]
pub(super) struct Server {
    port: u16,
    /// Holds the pipe; the guard ends by itself once that is closed.
    _guard: Child,
}

impl Server {
    pub(super) fn start() -> Result<Server, String> {
        let binaries = find_binaries()?;
        let mut last = String::new();
        for _ in 0..TRIES {
            // Another may take the port before the server does: then once more.
            match start_once(&binaries) {
                Ok(server) => return Ok(server),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://waybill@127.0.0.1:{}/postgres", self.port)
    }
}

fn start_once(binaries: &Path) -> Result<Server, String> {
    let failed = |what: &str, why: std::io::Error| format!("{what}: {why}");
    let folder = tempfile::Builder::new()
        .prefix("waybill-test-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .map_err(|e| failed("no temporary folder", e))?
        .keep();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| failed("no port", e))?.port();
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "waybill-test-postgres"]).arg(binaries).arg(&folder).arg(port.to_string());
    if let Some((uid, gid)) = unprivileged(&folder)? {
        chown(&folder, Some(uid), Some(gid)).map_err(|e| failed("can't hand over the folder", e))?;
        command.uid(uid).gid(gid);
    }
    // A group of its own: an interrupt of the tests must not reach it before it has cleaned up.
    command.current_dir(&folder).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut guard = command.spawn().map_err(|e| failed("can't start sh", e))?;
    let mut line = String::new();
    if let Some(out) = guard.stdout.take() {
        BufReader::new(out).read_line(&mut line).map_err(|e| failed("the guard says nothing", e))?;
    }
    let since = Instant::now();
    while since.elapsed() < START {
        let ready = Command::new(binaries.join("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-U", "waybill", "-p", &port.to_string()])
            .status();
        if ready.is_ok_and(|status| status.success()) && folder.join("data/postmaster.pid").exists() {
            return Ok(Server { port, _guard: guard });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    Err(format!("the server on port {port} doesn't come up: {log}"))
}

/// Where `initdb` and `postgres` are; the newest version that is there.
fn find_binaries() -> Result<PathBuf, String> {
    let mut folders: Vec<(u32, PathBuf)> = Vec::new();
    for root in ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt"] {
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().replace("postgresql@", "");
            folders.push((name.parse().unwrap_or(0), entry.path().join("bin")));
        }
    }
    folders.sort();
    folders.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let newest_first = folders.into_iter().map(|(_, folder)| folder).chain(std::env::split_paths(&path));
    newest_first
        .filter_map(|folder| folder.join("initdb").canonicalize().ok()?.parent().map(Path::to_path_buf))
        .find(|folder| ["postgres", "pg_ctl", "pg_isready"].iter().all(|name| folder.join(name).is_file()))
        .ok_or_else(|| {
            format!("this machine has no PostgreSQL server binaries; install them or set {}", super::SETTING)
        })
}

/// For root, the user to run the server as instead.
fn unprivileged(own_folder: &Path) -> Result<Option<(u32, u32)>, String> {
    let owner = std::fs::metadata(own_folder).map_err(|e| e.to_string())?.uid();
    if owner != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |wanted: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).map(Some).ok_or_else(|| "there is no user but root".into())
}
