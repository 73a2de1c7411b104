//! The `waybill` command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("supervise") => waybill::embedded::supervise::run(args),
        _ => ExitCode::FAILURE,
    }
}
