//! Starts a server from the binaries that are on the machine, and sees to it that it ends.
//!
//! PostgreSQL refuses to run as root: then it runs as `postgres` or `nobody`, in a folder of its own under the temporary folder. A shell
//! reads commands from a pipe that this process holds open; when that closes, for whatever reason, it stops the server and removes the
//! folder.
use super::disk::SmallDisk;
use super::port::free_port;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const START: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const TRIES: u32 = 3;

/// `$1` the binaries, `$2` the folder, `$3` the port. Durability is off: a test's data needn't outlive its machine. The file `runs` is
/// there as long as the server is.
const GUARD: &str = r#"
trap '' PIPE
bin=$1 home=$2 port=$3
"$bin/initdb" -D "$DATA" -X "$WAL" --wal-segsize="$SEGMENT" -U waybill --auth=trust --encoding=UTF8 --no-locale --no-sync >"$home/log" 2>&1
run() {
    : >"$home/runs"
    (
        "$bin/postgres" -D "$DATA" -p "$port" -k "$home" -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off \
            -c max_connections=300 -c shared_buffers=64MB -c logging_collector=off >>"$home/log" 2>&1 </dev/null
        rm -f "$home/runs"
    ) &
}
end() { kill "-$1" "$(head -n 1 "$DATA/postmaster.pid")"; while [ -e "$home/runs" ]; do sleep 0.05; done; }
while read -r command argument; do
    case $command in
        start) [ -e "$home/runs" ] || run ;;
        stop) [ ! -e "$home/runs" ] || end "$argument" ;;
        fill) dd if=/dev/zero of="$home/small/ballast" bs=8k 2>>"$home/log" ;;
        free) rm -f "$home/small/ballast" ;;
    esac
    echo done
done
[ ! -e "$home/runs" ] || end QUIT
wait
rm -rf "$home"
"#;

#[derive(Debug)]
pub(super) struct Server {
    binaries: PathBuf,
    folder: PathBuf,
    port: u16,
    guard: Mutex<Guard>,
}

/// The shell. It ends by itself once its pipe is closed.
#[derive(Debug)]
struct Guard {
    shell: Child,
    answers: BufReader<ChildStdout>,
}

impl Server {
    pub(super) fn start(small: Option<SmallDisk>) -> Result<Server, String> {
        let binaries = find_binaries()?;
        let mut last = String::new();
        for _ in 0..TRIES {
            // Another may take the port before the server does: then once more.
            match Server::prepare(&binaries, small).and_then(|server| server.up().map(|()| server)) {
                Ok(server) => return Ok(server),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://waybill@127.0.0.1:{}/postgres", self.port)
    }

    fn prepare(binaries: &Path, small: Option<SmallDisk>) -> Result<Server, String> {
        let failed = |what: &str, why: std::io::Error| format!("{what}: {why}");
        let folder = tempfile::Builder::new()
            .prefix("waybill-test-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|e| failed("no temporary folder", e))?
            .keep();
        let port = free_port().and_then(|l| l.local_addr()).map_err(|e| failed("no port", e))?.port();
        let account = unprivileged(&folder)?;
        let mut command = match small {
            Some(small) => small.shell(&folder, account, GUARD)?,
            None => {
                let mut command = Command::new("sh");
                command.args(["-c", GUARD]);
                if let Some((uid, gid)) = account {
                    command.uid(uid).gid(gid);
                }
                command.env("DATA", folder.join("data")).env("WAL", folder.join("wal")).env("SEGMENT", "16");
                command
            }
        };
        if let Some((uid, gid)) = account {
            chown(&folder, Some(uid), Some(gid)).map_err(|e| failed("can't hand over the folder", e))?;
        }
        command.arg("waybill-test-postgres").arg(binaries).arg(&folder).arg(port.to_string());
        // A group of its own: an interrupt of the tests must not reach it before it has cleaned up.
        command
            .current_dir(&folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut shell = command.spawn().map_err(|e| failed("can't start a shell", e))?;
        let answers = BufReader::new(shell.stdout.take().ok_or("the shell has no output")?);
        Ok(Server { binaries: binaries.to_owned(), folder, port, guard: Mutex::new(Guard { shell, answers }) })
    }

    /// Has the shell do something; answers when it is done.
    pub(super) fn tell(&self, command: &str) -> Result<(), String> {
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pipe = guard.shell.stdin.as_ref().ok_or("the shell has no input")?;
        writeln!(pipe, "{command}").map_err(|why| format!("the shell is gone: {why}"))?;
        let mut line = String::new();
        guard.answers.read_line(&mut line).map_err(|why| format!("the shell says nothing: {why}"))?;
        if line.is_empty() { Err("the shell has ended".into()) } else { Ok(()) }
    }

    /// Starts it, if it does not run, and waits until it answers. One that was killed may leave something behind that passes.
    pub(super) fn up(&self) -> Result<(), String> {
        let since = Instant::now();
        while since.elapsed() < START {
            self.tell("start")?;
            let ready = Command::new(self.binaries.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-U", "waybill", "-p", &self.port.to_string()])
                .status();
            if ready.is_ok_and(|status| status.success()) && self.runs() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err(format!("the server on port {} doesn't come up: {}", self.port, self.log()))
    }

    pub(super) fn runs(&self) -> bool {
        self.folder.join("runs").exists()
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
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
