//! `waybill slots`: who drives which sagas. Read from the database alone, so it works whichever process is down.
use super::{CANNOT_RUN, FAULTS, fail};
use crate::{config::Settings, wiring};
use anyhow::Result;
use clap::Args;
use eventstore::{
    Log, SLOTS,
    sql::slots::{Holder, holders},
};
use std::{fmt::Write as _, process::ExitCode};

/// Tells which process drives which slots, and which slots nobody drives
///
/// Orders fall into 256 slots by their id; a process with the role sagas holds its share of them under leases. Exit code 1: there are slots
/// that nobody holds.
#[derive(Args, Clone, Debug)]
pub struct Slots {
    /// As one line of JSON: owners, each with id, name, app_version, since, is_there, slots and until; and free
    #[arg(long)]
    pub json: bool,
}

pub async fn run(settings: &Settings, asked: &Slots) -> ExitCode {
    match look(settings).await {
        Ok(holders) => {
            let free = free(&holders);
            match asked.json {
                true => say!("{}", json(&holders, &free)),
                false => tell(&holders, &free),
            }
            if free.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAULTS) }
        }
        Err(error) => fail(&error, CANNOT_RUN),
    }
}

async fn look(settings: &Settings) -> Result<Vec<Holder>> {
    let pool = wiring::pool(&wiring::database_url(settings)?).await?;
    Ok(holders(&pool, Log::MAIN).await?)
}

/// Slots that nobody holds.
fn free(holders: &[Holder]) -> Vec<u8> {
    let is_held = |slot: &u8| holders.iter().flat_map(|holder| &holder.slots).any(|held| held.0 == *slot);
    (0..=u8::MAX).filter(|slot| !is_held(slot)).collect()
}

fn tell(holders: &[Holder], free: &[u8]) {
    say!("slots  owner                     version   there since           which");
    for holder in holders {
        let numbers: Vec<u8> = holder.slots.iter().map(|slot| slot.0).collect();
        let name = holder.name.as_deref().unwrap_or("(of an older version)");
        let name = if holder.is_there { name.to_owned() } else { format!("{name} (silent)") };
        let since = holder.since.map_or_else(|| "?".to_owned(), |since| since.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        let version = holder.app_version.as_deref().unwrap_or("?");
        say!("{:>5}  {name:<24}  {version:<8}  {since:<20}  {}", numbers.len(), ranges(&numbers));
    }
    if !free.is_empty() {
        say!("{:>5}  nobody                    {:<8}  {:<20}  {}", free.len(), "", "", ranges(free));
    }
    if free.len() == SLOTS {
        say!("no process with the role sagas is up: orders are taken, and wait");
    }
}

/// `0-41, 43`.
fn ranges(numbers: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = numbers;
    while let Some(first) = rest.first() {
        let run = rest.iter().zip(u16::from(*first)..).take_while(|(number, at)| u16::from(**number) == *at).count();
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a String can't fail.
        let _ = match rest.get(run - 1) {
            Some(last) if last != first => write!(text, "{comma}{first}-{last}"),
            _ => write!(text, "{comma}{first}"),
        };
        rest = rest.get(run..).unwrap_or_default();
    }
    text
}

fn json(holders: &[Holder], free: &[u8]) -> serde_json::Value {
    let owner = |holder: &Holder| {
        serde_json::json!({
            "id": holder.owner,
            "name": holder.name,
            "app_version": holder.app_version,
            "since": holder.since,
            "is_there": holder.is_there,
            "slots": holder.slots.iter().map(|slot| slot.0).collect::<Vec<_>>(),
            "until": holder.until,
        })
    };
    serde_json::json!({"owners": holders.iter().map(owner).collect::<Vec<_>>(), "free": free})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_ranges() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[7]), "7");
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8, 255]), "0-2, 5, 7-8, 255");
        assert_eq!(ranges(&(0..=255).collect::<Vec<_>>()), "0-255");
    }
}
