//! The command line: one file a command. Exit codes: 0 done, 1 faults were found, 2 it could not run.
/// A line for whoever called. That they read no further (`| head`) is no fault.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

pub mod backup;
pub mod bench;
pub mod client;
mod confirm;
pub mod demo;
pub mod doctor;
pub mod import;
pub mod keys;
pub mod log;
pub mod migrate;
pub mod parked;
pub mod recover;
pub mod restore;
pub mod rotate;
pub mod sagas;
pub mod simulate;
pub mod slots;
pub mod trace;
pub mod up;
pub mod verify;
mod words;

use crate::config::{Options, Settings};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// It could not run: a wrong setting, no server, a folder in use.
pub const CANNOT_RUN: u8 = 2;
/// It ran, and something is wrong.
pub const FAULTS: u8 = 1;

/// Sees an order through: stock reserved, payment authorized, parcel shipped, money captured, or everything undone.
///
/// Without a command it starts everything, like `up`. Settings come from flags, then the environment, then waybill.toml.
#[derive(Parser, Debug)]
#[command(version, about, max_term_width = 120)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    Up(up::Up),
    Import(import::Import),
    Trace(trace::Trace),
    Verify(verify::Verify),
    /// Makes API keys; gives personal data a new master key
    #[command(subcommand)]
    Keys(keys::Keys),
    /// The log as a file, there and back
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Brings the database's schema up to date
    Migrate,
    /// Says whether this set-up is sound, and if not what to do
    Doctor,
    Slots(slots::Slots),
    Simulate(simulate::Simulate),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Recover(recover::Recover),
    Parked(parked::ParkedCommand),
    /// The processes that carry orders out: which wait, for whom, which need a person; and what to do with them
    #[command(subcommand)]
    Sagas(sagas::Sagas),
    Demo(demo::Demo),
    /// Measures, on this machine, what is claimed of Waybill
    #[command(subcommand)]
    Bench(bench::Bench),
}

/// Reads the arguments and runs the command.
pub fn main() -> ExitCode {
    let Cli { mut options, command } = Cli::parse();
    let command = command.unwrap_or_else(|| Command::Up(up::Up::parse_from(["up"])));
    if let Command::Up(up) = &command {
        options.role = up.role.clone();
        options.from_scratch = up.from_scratch;
    }
    let settings = match Settings::load(options) {
        Ok(settings) => settings,
        Err(error) => return fail(&error, CANNOT_RUN),
    };
    crate::tls::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into(), CANNOT_RUN),
    };
    let code = runtime.block_on(run(settings, command));
    // Whatever still blocks a thread must not hold up the end.
    runtime.shutdown_background();
    code
}

async fn run(settings: Settings, command: Command) -> ExitCode {
    match command {
        Command::Up(_) => up::run(&settings).await,
        Command::Import(import) => import::run(&settings, &import).await,
        Command::Trace(trace) => trace::run(&settings, &trace).await,
        Command::Verify(verify) => verify::run(&settings, &verify).await,
        Command::Keys(keys) => keys::run(&settings, &keys).await,
        Command::Log(command) => log::run(&settings, &command).await,
        Command::Migrate => migrate::run(&settings).await,
        Command::Doctor => doctor::run(&settings).await,
        Command::Slots(slots) => slots::run(&settings, &slots).await,
        Command::Simulate(simulate) => simulate::run(&settings, &simulate).await,
        Command::Backup(backup) => backup::run(&settings, &backup).await,
        Command::Restore(restore) => restore::run(&settings, &restore).await,
        Command::Parked(command) => parked::run(&settings, &command).await,
        Command::Sagas(command) => sagas::run(&settings, &command).await,
        Command::Demo(demo) => demo::run(&settings, &demo).await,
        Command::Recover(recover) => recover::run(&settings, &recover).await,
        Command::Bench(bench) => bench::run(&settings, &bench).await,
    }
}

/// One line for people, with the whole chain of causes.
pub fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("waybill: {error:#}");
    ExitCode::from(code)
}
