//! `waybill sagas show`: all that is known of one saga.
use super::{
    super::{
        client::Client,
        words::{printable, time, words},
    },
    saga::{FIELDS, PageInfo, Saga},
};
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Shows one saga: where it stands, for whom it waits and until when, what remains, and its history in plain words
#[derive(Args, Clone, Debug)]
pub struct Show {
    /// The saga's id (sag_…), a return's (ret_…), its order's (ord_…), or the shop's own reference
    #[arg(value_name = "SAGA|ORDER")]
    saga: String,
    /// The shop, when several have an order of this reference
    #[arg(long)]
    shop: Option<String>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

const HISTORY: &str = "query($id: ID!, $after: String) { order(id: $id) { timeline(first: 200, after: $after) {
    nodes { position at type summary actor } pageInfo { hasNextPage endCursor } } } }";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    nodes: Vec<Entry>,
    page_info: PageInfo,
}

#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    position: String,
    at: DateTime<Utc>,
    #[serde(rename = "type")]
    event_type: String,
    summary: String,
    actor: String,
}

/// `false`: there is none.
pub(super) async fn run(client: &Client, show: &Show) -> Result<bool> {
    let Some(saga) = find(client, &show.saga, show.shop.as_deref()).await? else {
        eprintln!("waybill: there is no saga or order {}", printable(&show.saga));
        return Ok(false);
    };
    let history = history(client, &saga.order.id).await?;
    if show.json {
        say!("{}", json!({"saga": saga, "history": history}));
        return Ok(true);
    }
    told(&saga, &history).iter().for_each(|line| say!("{line}"));
    Ok(true)
}

/// By its own id, or by its order.
pub(super) async fn find(client: &Client, name: &str, shop: Option<&str>) -> Result<Option<Saga>> {
    if name.starts_with("sag_") {
        let query = format!("query($id: ID!) {{ node(id: $id) {{ ... on Saga {{ {FIELDS} }} }} }}");
        return Ok(client.graphql(&query, json!({"id": name}), "/node").await?.data);
    }
    if name.starts_with("ret_") {
        let query = format!("query($id: ID!) {{ node(id: $id) {{ ... on Return {{ saga {{ {FIELDS} }} }} }} }}");
        return Ok(client.graphql(&query, json!({"id": name}), "/node/saga").await?.data);
    }
    let by_id = name.starts_with("ord_");
    let query = format!(
        "query($id: ID, $ref: String, $shop: ID) {{ order(id: $id, ref: $ref, shop: $shop) {{ saga {{ {FIELDS} }} }} }}"
    );
    let variables = json!({"id": by_id.then_some(name), "ref": (!by_id).then_some(name), "shop": shop});
    Ok(client.graphql(&query, variables, "/order/saga").await?.data)
}

async fn history(client: &Client, order: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut after = None;
    loop {
        let variables = json!({"id": order, "after": after});
        let page: Page = client.graphql(HISTORY, variables, "/order/timeline").await?.data;
        entries.extend(page.nodes);
        after = page.page_info.next();
        if after.is_none() {
            return Ok(entries);
        }
    }
}

fn told(saga: &Saga, history: &[Entry]) -> Vec<String> {
    let way = if saga.direction.as_deref() == Some("COMPENSATE") { ", which it undoes" } else { "" };
    let cause = saga.cause.as_deref().map(|cause| format!(" – {}", printable(cause))).unwrap_or_default();
    let order = &saga.order;
    let mut lines = vec![
        format!("Saga {}", saga.id),
        format!(
            "  of order   {} of shop {}, {}  ({})",
            printable(&order.order_ref),
            order.shop,
            order.status,
            order.id
        ),
        format!("  now        {}{cause}", saga.state),
    ];
    if let Some(since) = saga.waiting_since {
        let whom = saga.waiting_on.as_deref().unwrap_or("nobody: its next move is its own");
        lines.push(format!("  at         {}{way}, attempt {}", words(&saga.step), saga.attempt));
        lines.push(format!("  waits for  {whom}"));
        lines.push(format!("  since      {}", time(since)));
    }
    if let Some(expected_by) = saga.expected_by {
        let late = if saga.overdue { "; it waits longer than expected" } else { "" };
        lines.push(format!("  expected   to go on by {}{late}", time(expected_by)));
    }
    let rest: Vec<_> = saga.remaining_steps.iter().map(|step| words(step)).collect();
    if !rest.is_empty() {
        lines.push(format!("  remains    {}", rest.join(", then ")));
    }
    lines.push("\nWhat happened".to_owned());
    for entry in history {
        lines.push(format!("  {}  {}", time(entry.at), printable(&entry.summary)));
        lines.push(format!("  {:23}  by {}, position {}", "", printable(&entry.actor), entry.position));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_that_waits_too_long_says_for_whom_since_when_and_what_remains() {
        let saga = json!({"id": "sag_1", "order": {"id": "ord_1", "ref": "r-1", "shop": "dev", "status": "CANCELLING"},
            "state": "COMPENSATING", "step": "authorize_payment", "direction": "COMPENSATE", "attempt": 2, "cause": "unavailable",
            "waitingOn": "payment", "waitingSince": "2026-11-24T09:00:00Z", "expectedBy": "2026-11-24T09:00:30Z", "overdue": true,
            "remainingSteps": ["authorize_payment", "reserve_stock"]});
        let entry = json!({"position": "7", "at": "2026-11-24T08:59:00.25Z", "type": "CancelRequested",
            "summary": "The shop asked to cancel the order", "actor": "shop dev"});
        let told = told(&serde_json::from_value(saga).unwrap(), &[serde_json::from_value(entry).unwrap()]);
        assert_eq!(
            told,
            [
                "Saga sag_1",
                "  of order   r-1 of shop dev, CANCELLING  (ord_1)",
                "  now        COMPENSATING – unavailable",
                "  at         authorize payment, which it undoes, attempt 2",
                "  waits for  payment",
                "  since      2026-11-24 09:00:00.000",
                "  expected   to go on by 2026-11-24 09:00:30.000; it waits longer than expected",
                "  remains    authorize payment, then reserve stock",
                "\nWhat happened",
                "  2026-11-24 08:59:00.250  The shop asked to cancel the order",
                "                           by shop dev, position 7",
            ]
        );
    }
}
