//! The `waybill` command line.
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// A third of the processor's time under load went into the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    // A supervisor is this binary again; it wants nothing of what the other commands want.
    if args.next().as_deref() == Some("supervise") {
        return waybill::embedded::supervise::run(args);
    }
    waybill::cli::main()
}
