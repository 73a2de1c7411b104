//! What this process takes of the machine, by `/proc`.
use anyhow::{Context, Result};
use std::time::Duration;

/// Of a core's time, as the system counts it.
const TICKS_A_SECOND: f64 = 100.0;

/// MiB in memory.
pub(super) fn memory_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("this system has no /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().next().context("VmRSS is empty")?.parse()?;
    Ok(kib / 1_024.0)
}

/// Processor time used since the start, by all threads.
pub(super) fn cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("this system has no /proc")?;
    // The name may hold spaces; it ends with the last bracket. Then the state, and as the 12th and 13th: user and system.
    let (_, rest) = stat.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("a short line")?.parse()?) };
    Ok(Duration::from_secs_f64((ticks(11)? + ticks(12)?) / TICKS_A_SECOND))
}
