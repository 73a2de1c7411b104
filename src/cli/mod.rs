//! The command line: one file a command. Exit codes: 0 done, 1 faults were found, 2 it could not run.
pub mod client;
pub mod import;

use clap::Parser;
use std::process::ExitCode;

/// It could not run: a wrong setting, no server, a folder in use.
pub const CANNOT_RUN: u8 = 2;
/// It ran, and something is wrong.
pub const FAULTS: u8 = 1;

/// One line for people, with the whole chain of causes.
pub fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("waybill: {error:#}");
    ExitCode::from(code)
}

#[derive(Parser, Debug)]
pub struct Placeholder;
