//! What a process takes of the machine, by `/proc`.
use anyhow::{Context, Result};
use std::{fs, time::Duration};

/// Of a core's time, as the system counts it.
const TICKS_A_SECOND: f64 = 100.0;
/// Where a line of `stat` says who the parent is, and how much time the process itself and its ended children have used, each for the
/// program and for the system; counted from the state, which follows the name.
const PARENT: usize = 1;
const TICKS: std::ops::RangeInclusive<usize> = 11..=14;

/// Processor time used since the start, by all threads and by the children that have ended.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let stat = stat(pid)?;
    let ticks = stat.get(TICKS).context("a short line")?.iter().map(|field| field.parse::<f64>());
    Ok(Duration::from_secs_f64(ticks.sum::<Result<f64, _>>()? / TICKS_A_SECOND))
}

pub(super) fn parent(pid: u32) -> Result<u32> {
    Ok(stat(pid)?.get(PARENT).context("a short line")?.parse()?)
}

/// A number out of one of its files, for example `VmRSS:` of `status`.
pub(super) fn told(pid: u32, file: &str, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).context("this system has no /proc")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(line.split_whitespace().next().with_context(|| format!("{name} is empty"))?.parse()?)
}

fn stat(pid: u32) -> Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("this system has no /proc")?;
    // The name may hold spaces; it ends with the last bracket.
    let (_, rest) = stat.rsplit_once(')').context("no name")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}
