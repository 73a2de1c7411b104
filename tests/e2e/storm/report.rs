//! What a storm says while it lasts, and the table at its end.
use super::{
    judge::Sums,
    shop::dollars,
    town::{Books, End, Order, Town},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// After a fault, until orders go their usual way again: breakers, leases and what has piled up.
const AFTERMATH: Duration = Duration::from_secs(10);

const STRAGGLERS: usize = 5;

/// Of every process the first, the last and the largest, in MiB.
pub(super) type Memory = BTreeMap<String, (u64, u64, u64)>;

/// A line every so often, until nobody waits any more; answers how much memory was used.
pub(super) async fn tell(town: Town, every: Duration) -> Memory {
    let (began, mut memory) = (Instant::now(), Memory::new());
    let mut turn = tokio::time::interval(every);
    while !town.is_over() {
        turn.tick().await;
        let pids = town.books(|books| books.pids.clone());
        let mut used = String::new();
        for (name, pid) in pids {
            // Who was killed a moment ago has none.
            let Some(mib) = resident(pid) else { continue };
            let entry = memory.entry(name.clone()).or_insert((mib, mib, mib));
            *entry = (entry.0, mib, entry.2.max(mib));
            let _ = write!(used, " {name} {mib},");
        }
        let (paused, waiting) = (total(&town, "PAUSED").await, total(&town, "WAITING").await);
        let told = town.books(|books| {
            format!(
                "{} placed, {} completed, {} cancelled",
                books.orders.len(),
                books.ended(End::Completed),
                books.ended(End::Cancelled)
            ) + &format!(", {paused} paused, {waiting} waiting, {} faults", books.faults.values().sum::<usize>())
        });
        let open = town.open.load(Ordering::Relaxed);
        println!(
            "{:5.0} s: {told}, {open} under way; MiB:{}",
            began.elapsed().as_secs_f64(),
            used.trim_end_matches(',')
        );
    }
    memory
}

async fn total(town: &Town, state: &str) -> String {
    let found = town.line.read(&format!("{{ sagas(where: {{state: {state}}}, first: 1) {{ totalCount }} }}")).await;
    let count = found.as_ref().and_then(|found: &Value| found["sagas"]["totalCount"].as_u64());
    count.map_or_else(|| "?".to_owned(), |count| count.to_string())
}

/// Of the process itself.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

/// Milliseconds from placed to seen ended, ascending: of plain orders that no fault and nobody was near.
fn calm_times(books: &Books) -> Vec<u128> {
    let mut times = Vec::new();
    for (id, order) in &books.orders {
        let Some((End::Completed, at)) = order.end else { continue };
        let is_near = |(from, to): &(Instant, Instant)| order.placed_at < *to + AFTERMATH && at > *from;
        let is_touched = books.touched.contains(id) || books.shipped_by_staff.contains(id);
        if order.token == "tok_ok" && !is_touched && !books.rough.iter().any(is_near) {
            times.push((at - order.placed_at).as_millis());
        }
    }
    times.sort_unstable();
    times
}

/// Which orders were the last to end, and how long after it had cleared up.
fn stragglers(books: &Books, cleared: Instant) -> String {
    let ended = |order: &Order| order.end.map(|(_, at)| at.saturating_duration_since(cleared).as_secs());
    let mut late: Vec<_> = books.orders.values().filter_map(|order| Some((ended(order)?, order.token))).collect();
    late.sort_unstable_by(|one, other| other.cmp(one));
    let late = late.iter().take(STRAGGLERS).map(|(seconds, token)| format!("{token} {seconds} s"));
    late.collect::<Vec<_>>().join(", ")
}

fn at_part(times: &[u128], hundredths: usize) -> String {
    match times.get((times.len() * hundredths / 100).min(times.len().saturating_sub(1))) {
        Some(time) => format!("{time} ms"),
        None => "–".to_owned(),
    }
}

/// For `docs/benchmarks.md`.
pub(super) fn table(
    books: &Books,
    sums: &Sums,
    memory: &Memory,
    length: Duration,
    cleared: (Instant, Duration),
) -> String {
    let listed = |counts: &BTreeMap<&'static str, usize>| {
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    let times = calm_times(books);
    let returned = books.orders.values().filter(|order| order.returned.is_some()).count();
    let rows = [
        ("stormed for", format!("{} s", length.as_secs())),
        ("orders", books.orders.len().to_string()),
        ("completed, cancelled", format!("{}, {}", books.ended(End::Completed), books.ended(End::Cancelled))),
        ("returns", returned.to_string()),
        ("faults", books.faults.values().sum::<usize>().to_string()),
        ("by kind", listed(&books.faults)),
        ("operators' verbs granted", listed(&books.verbs)),
        ("longest time in which no order ended", format!("{:.1} s", books.longest_without_end.as_secs_f64())),
        ("from the last fault until all had ended", format!("{:.1} s", cleared.1.as_secs_f64())),
        ("the last of them", stragglers(books, cleared.0)),
        (
            "placed to ended, away from faults",
            format!("p50 {}, p99 {}, of {}", at_part(&times, 50), at_part(&times, 99), times.len()),
        ),
        ("captured, by the ledger", format!("{} USD", dollars(sums.captured))),
        (
            "completed orders' totals",
            format!("{} USD, of which {} were given up", dollars(sums.completed), dollars(sums.given_up)),
        ),
        ("refunded, by the ledger", format!("{} USD", dollars(sums.refunded))),
        (
            "memory, MiB: first, last, most",
            memory
                .iter()
                .map(|(name, (first, last, most))| format!("{name}: {first}, {last}, {most}"))
                .collect::<Vec<_>>()
                .join("; "),
        ),
    ];
    rows.iter().fold("| what | measured |\n|---|---|\n".to_owned(), |table, (what, value)| {
        format!("{table}| {what} | {value} |\n")
    })
}
