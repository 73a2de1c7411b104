//! What the processes of a run use of the machine, by `/proc`, and what PostgreSQL says that it did.
use anyhow::{Context, Result};
use eventstore::sql::bench::ServerCounts;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
};

/// Of a core's time, as the system counts it.
const TICKS_A_SECOND: f64 = 100.0;
const KIB: f64 = 1_024.0;

/// What was used until a moment; or between two, for each order.
#[derive(Debug, Default)]
pub(super) struct Account {
    parts: BTreeMap<&'static str, Usage>,
    server: Option<ServerCounts>,
    figures: BTreeMap<String, (f64, &'static str)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    cpu_s: f64,
    /// To disks, in time.
    written: f64,
    memory_mib: f64,
}

impl Account {
    /// Of the process and all that descend from it, and of this one.
    pub(super) async fn take(pid: u32, server: Option<&str>) -> Result<Account> {
        let mut parts: BTreeMap<&'static str, Usage> = BTreeMap::new();
        for (pid, part) in family(pid)?.into_iter().chain([(std::process::id(), "client")]) {
            // One that has just ended is in its parent's account.
            let Ok(usage) = Usage::of(pid) else { continue };
            let sum = parts.entry(part).or_default();
            sum.cpu_s += usage.cpu_s;
            sum.written += usage.written;
            sum.memory_mib += usage.memory_mib;
        }
        let server = match server {
            Some(url) => Some(ServerCounts::take(url).await?),
            None => None,
        };
        Ok(Account { parts, server, figures: BTreeMap::new() })
    }

    /// What came since, for each of so many orders.
    pub(super) fn since(self, before: &Account, orders: u64) -> Account {
        let each = orders.max(1) as f64;
        let mut figures = BTreeMap::new();
        let mut all = Usage::default();
        for (part, usage) in &self.parts {
            let then = before.parts.get(part).copied().unwrap_or_default();
            let cpu = (usage.cpu_s - then.cpu_s).max(0.0);
            let written = (usage.written - then.written).max(0.0);
            all.cpu_s += cpu;
            all.written += written;
            figures.insert(format!("{part}.cpu_us"), (cpu * 1e6 / each, "µs an order"));
            figures.insert(format!("{part}.memory_mib"), (usage.memory_mib, "MiB"));
            figures.insert(format!("{part}.written_kib"), (written / KIB / each, "KiB an order"));
        }
        figures.insert("all.cpu_us".to_owned(), (all.cpu_s * 1e6 / each, "µs an order"));
        figures.insert("all.written_kib".to_owned(), (all.written / KIB / each, "KiB an order"));
        if let (Some(server), Some(then)) = (&self.server, &before.server) {
            for (name, now, then) in server.beside(then) {
                figures.insert(format!("postgres.{name}"), ((now - then) / each, "an order"));
            }
        }
        Account { figures, ..self }
    }

    pub(super) fn names(&self) -> Vec<(String, &'static str)> {
        self.figures.iter().map(|(name, (_, unit))| (name.clone(), *unit)).collect()
    }

    pub(super) fn get(&self, name: &str) -> f64 {
        self.figures.get(name).map_or(0.0, |(value, _)| *value)
    }
}

impl Usage {
    fn of(pid: u32) -> Result<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name may hold spaces; it ends with the last bracket. Then the state, and from the 12th: user and system, its own and its
        // ended children's.
        let (_, rest) = stat.rsplit_once(')').context("no name")?;
        let ticks: f64 = rest.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
        // Another user's is hidden from all but root.
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        // Shared memory is divided among those who share it.
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Ok(Usage {
            cpu_s: ticks / TICKS_A_SECOND,
            written: field(&io, "write_bytes:"),
            memory_mib: field(&memory, "Pss:") / KIB,
        })
    }
}

fn field(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// The process and all that descend from it, each with the part that it is of.
fn family(pid: u32) -> Result<Vec<(u32, &'static str)>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").context("this system has no /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
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
