//! What is gone: events that Kafka knows and a restored store has lost, and what the participants did for orders that are gone with them.
//! Told exactly; no fault, since nothing can bring them back.
use super::ledgers::Account;
use anyhow::Result;
use domain::OrderId;
use eventstore::{EventStore, Lives};
use mirror::Gone;
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// More than these are counted, not shown.
const SHOWN: usize = 20;

/// The ranges, with the orders in them, and where to find the rest.
pub(super) fn tell(gone: &[Gone], lives: &Lives) -> Vec<String> {
    let mut told = Vec::new();
    for gone in gone {
        told.push(gone.to_string());
        let orders = gone.orders();
        told.extend(orders.iter().take(SHOWN).map(|order| format!("  {}", OrderId(*order))));
        if orders.len() > SHOWN {
            told.push(format!("  and {} more orders", orders.len() - SHOWN));
        }
        let files: BTreeSet<&str> = lives
            .abandoned()
            .iter()
            .filter(|range| range.incarnation == gone.incarnation)
            .map(|range| range.file.as_str())
            .collect();
        told.push(match files.is_empty() {
            true => "  not settled yet: `waybill recover` writes every event of it to a file".to_owned(),
            false => format!("  every event of it is in {}", Vec::from_iter(files).join(" and ")),
        });
    }
    told
}

/// What the participants did for orders that the store doesn't have: gone with a lost life, or, where nothing says why, faults.
pub(super) async fn unknown_orders(
    store: &dyn EventStore,
    accounts: &HashMap<Uuid, Account>,
    known: impl Fn(&Uuid) -> bool,
    gone: &[Gone],
) -> Result<(Vec<String>, Vec<String>)> {
    let orders: BTreeSet<Uuid> = gone.iter().flat_map(Gone::orders).collect();
    let mut unknown: Vec<_> = accounts.iter().filter(|(id, _)| !id.is_nil() && !known(id)).collect();
    unknown.sort_by_key(|(id, _)| **id);
    let (mut told, mut faults) = (Vec::new(), Vec::new());
    for (id, account) in unknown {
        let (order, did) = (OrderId(*id), account.summary());
        if orders.contains(id) {
            told.push(format!("order {order} is gone, and the participants still know it: {did}"));
        } else if store.read_streams(*id).await?.is_empty() {
            // One that was placed after the head was read is there by now.
            faults.push(format!("order {order} is not in the store, and nothing says that it was lost: {did}"));
        }
    }
    Ok((told, faults))
}
