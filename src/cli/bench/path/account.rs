//! What the processes of a run use of the machine, and what PostgreSQL says that it did.
use crate::cli::bench::process;
use anyhow::{Context, Result};
use eventstore::sql::bench::ServerCounts;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
};

const KIB: f64 = 1_024.0;
const SECTOR_BYTES: f64 = 512.0;

/// What was used until a moment.
#[derive(Debug)]
pub(super) struct Account {
    parts: BTreeMap<&'static str, Usage>,
    server: Option<ServerCounts>,
    /// Written to the disk, by whomever. None where the folder's file system is no disk's own.
    disk_kib: Option<f64>,
}

/// What each order cost, by the figure's name, with its unit.
pub(super) type Costs = BTreeMap<String, (f64, &'static str)>;

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    cpu_s: f64,
    /// To disks, in time, as the kernel counts it: the whole of a large folio of which a part was written.
    written_kib: f64,
    memory_mib: f64,
}

impl Account {
    /// Of the process and all that descend from it, of this one, and of the disk that `folder` lies on.
    pub(super) async fn take(pid: u32, server: Option<&str>, folder: &Path) -> Result<Account> {
        let mut parts: BTreeMap<&'static str, Usage> = BTreeMap::new();
        for (pid, part) in family(pid)?.into_iter().chain([(std::process::id(), "client")]) {
            // One that has just ended is in its parent's account.
            let Ok(usage) = Usage::of(pid) else { continue };
            let sum = parts.entry(part).or_default();
            sum.cpu_s += usage.cpu_s;
            sum.written_kib += usage.written_kib;
            sum.memory_mib += usage.memory_mib;
        }
        let server = match server {
            Some(url) => Some(ServerCounts::take(url).await?),
            None => None,
        };
        Ok(Account { parts, server, disk_kib: written_to_disk(folder) })
    }

    /// What came since, for each of so many orders; of memory what is held now.
    pub(super) fn since(&self, before: &Account, orders: u64) -> Costs {
        let each = orders.max(1) as f64;
        let mut costs = Costs::new();
        let mut all = Usage::default();
        for (part, usage) in &self.parts {
            let then = before.parts.get(part).copied().unwrap_or_default();
            let cpu_s = (usage.cpu_s - then.cpu_s).max(0.0);
            let written_kib = (usage.written_kib - then.written_kib).max(0.0);
            all.cpu_s += cpu_s;
            all.written_kib += written_kib;
            costs.extend(used(part, cpu_s / each, written_kib / each));
            costs.insert(format!("{part}.memory_mib"), (usage.memory_mib, "MiB"));
        }
        costs.extend(used("all", all.cpu_s / each, all.written_kib / each));
        if let (Some(now), Some(then)) = (self.disk_kib, before.disk_kib) {
            costs.insert("disk.written_kib".to_owned(), ((now - then) / each, "KiB an order"));
        }
        if let (Some(server), Some(then)) = (&self.server, &before.server) {
            let counts = server.beside(then);
            costs.extend(
                counts.map(|(name, now, then)| (format!("postgres.{name}"), ((now - then) / each, "an order"))),
            );
        }
        costs
    }
}

fn used(part: &str, cpu_s: f64, written_kib: f64) -> [(String, (f64, &'static str)); 2] {
    [
        (format!("{part}.cpu_us"), (cpu_s * 1e6, "µs an order")),
        (format!("{part}.written_kib"), (written_kib, "KiB an order")),
    ]
}

impl Usage {
    fn of(pid: u32) -> Result<Usage> {
        // The last two of another user's process are hidden from all but root. Shared memory is divided among those who share it.
        let (written, memory) = (process::told(pid, "io", "write_bytes:"), process::told(pid, "smaps_rollup", "Pss:"));
        Ok(Usage {
            cpu_s: process::cpu(pid)?.as_secs_f64(),
            written_kib: written.unwrap_or_default() / KIB,
            memory_mib: memory.unwrap_or_default() / KIB,
        })
    }
}

/// By the kernel's count for the device, in KiB.
fn written_to_disk(folder: &Path) -> Option<f64> {
    const SECTORS_WRITTEN: usize = 6;
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    let sectors: f64 = stat.split_whitespace().nth(SECTORS_WRITTEN)?.parse().ok()?;
    Some(sectors * SECTOR_BYTES / KIB)
}

/// The process and all that descend from it, each with the part that it is of.
fn family(pid: u32) -> Result<Vec<(u32, &'static str)>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").context("this system has no /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Ok(parent) = process::parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut left) = (vec![], vec![(pid, "waybill")]);
    while let Some((one, part)) = left.pop() {
        found.push((one, part));
        for child in children.remove(&one).unwrap_or_default() {
            left.push((child, part_of(child).unwrap_or(part)));
        }
    }
    Ok(found)
}

/// By its command line. A supervisor is of the part that it supervises.
fn part_of(pid: u32) -> Option<&'static str> {
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    ["postgres", "kafka", "payment", "shipping"].into_iter().find(|part| command.contains(part))
}
