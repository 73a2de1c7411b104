//! The supervisor process: `waybill supervise NAME`, started by `waybill` itself and nobody else.
//!
//! It holds the reading end of a pipe whose other end only its `waybill` holds. When that end closes, `waybill` is gone, however
//! it went: the supervisor asks its server to stop, kills it when it won't, and ends. It runs in a process group of its own, so
//! that a Ctrl-C at the terminal reaches neither it nor the server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::identity::{Identity, Record};
use super::spec::{Report, Spec};
use crate::embedded::data_dir::write_atomically;

/// A log longer than this is put aside when its server starts; one such is kept.
const LOG_LIMIT: u64 = 8 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A server that ran this long begins again with the first pause.
const STEADY: Duration = Duration::from_secs(60);
/// What a server inherits of our environment. Settings and secrets of `waybill` are not for it.
const INHERITED: [&str; 6] = ["PATH", "HOME", "TMPDIR", "TZ", "JAVA_HOME", "JAVA_TOOL_OPTIONS"];

/// Runs as a supervisor until its server is stopped. `args` (after `supervise`) only name it in a list of processes: what to do
/// comes on stdin. Must not be called within an async runtime, as it builds one of its own.
pub fn run(_args: impl IntoIterator<Item = String>) -> ExitCode {
    match supervise() {
        Ok(code) => code,
        Err(error) => {
            report(&Report::Ended { reason: format!("its supervisor failed: {error}"), code: None });
            ExitCode::FAILURE
        }
    }
}

fn supervise() -> io::Result<ExitCode> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let spec: Spec = serde_json::from_str(&line)
        .map_err(|_| io::Error::other("`waybill supervise` is started by waybill itself only"))?;
    let (gone, waybill_gone) = oneshot::channel();
    thread::spawn(move || {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        let _ = gone.send(());
    });
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(look_after(&spec, waybill_gone))
}

/// The ways in which a supervisor learns that it should end.
struct Stop {
    waybill_gone: oneshot::Receiver<()>,
    terminate: Listener,
    interrupt: Listener,
}

impl Stop {
    async fn asked(&mut self) {
        tokio::select! {
            _ = &mut self.waybill_gone => {}
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn look_after(spec: &Spec, waybill_gone: oneshot::Receiver<()>) -> io::Result<ExitCode> {
    let mut stop =
        Stop { waybill_gone, terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    // A terminal that goes away takes `waybill` along, which closes the pipe: that is what counts.
    let _hang_up = signal(SignalKind::hangup())?;
    let mut pause = FIRST_PAUSE;
    let code = loop {
        let since = Instant::now();
        let code = match start(spec) {
            Ok(mut child) => {
                tokio::select! {
                    status = child.wait() => {
                        let status = status?;
                        report(&Report::Ended { reason: status.to_string(), code: status.code() });
                        status.code()
                    }
                    () = stop.asked() => {
                        end(spec, &mut child).await?;
                        break Some(0);
                    }
                }
            }
            Err(error) => {
                let reason = format!("can't start {}: {error}", spec.program.display());
                report(&Report::Ended { reason, code: None });
                None
            }
        };
        if !spec.restart {
            break code;
        }
        if since.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = stop.asked() => break Some(0),
        }
    };
    let _ = fs::remove_file(&spec.pid_file);
    Ok(match code {
        Some(0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn start(spec: &Spec) -> io::Result<Child> {
    let held = spec.held.iter().map(hold).collect::<io::Result<Vec<_>>>()?;
    let log = open_log(&spec.log)?;
    let mut command = Command::new(&spec.program);
    command
        .args(spec.args.iter().map(|arg| with_held(arg, &held)))
        .env_clear()
        .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(match spec.input {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stdout(log.try_clone()?)
        .stderr(log);
    if let Some(account) = spec.account {
        // Run as root, this also drops root's supplementary groups.
        command.uid(account.uid).gid(account.gid);
    }
    let mut child = command.spawn()?;
    let record = Record { supervisor: Identity::of(std::process::id()), server: child.id().and_then(Identity::of) };
    write_atomically(&spec.pid_file, &serde_json::to_vec(&record)?, 0o600)?;
    if let (Some(input), Some(mut pipe)) = (spec.input.clone(), child.stdin.take()) {
        use tokio::io::AsyncWriteExt;
        tokio::spawn(async move { pipe.write_all(input.as_bytes()).await });
    }
    if let Some(pid) = child.id() {
        report(&Report::Started { pid });
    }
    Ok(child)
}

/// Opens for the child: unlike all other files of ours, this one stays open over `exec`.
fn hold(path: impl AsRef<Path>) -> io::Result<File> {
    let file = File::open(path)?;
    fcntl_setfd(&file, FdFlags::empty())?;
    Ok(file)
}

fn with_held(arg: &str, held: &[File]) -> String {
    held.iter().enumerate().fold(arg.to_owned(), |arg, (n, file)| {
        arg.replace(&format!("{{held:{n}}}"), &format!("/proc/self/fd/{}", file.as_raw_fd()))
    })
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_LIMIT) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

async fn end(spec: &Spec, child: &mut Child) -> io::Result<()> {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        let _ = kill_process(pid, spec.stop_signal.signal());
    }
    if timeout(spec.stop_within, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}

/// Tells `waybill`, which may be gone by now.
fn report(report: &Report) {
    if let Ok(line) = serde_json::to_string(report) {
        let _ = writeln!(io::stdout(), "{line}");
    }
}
