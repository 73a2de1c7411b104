//! `waybill sagas list`: one line a saga, the oldest first.
use super::{
    super::{client::Client, words::span},
    filter::Filter,
    saga::{FIELDS, PageInfo, Saga},
    table,
};
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

/// Lists sagas, the oldest first: where they stand, for whom they wait, since when and why
#[derive(Args, Clone, Debug)]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most so many; how many there are in all is told
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=MAX_LIMIT))]
    limit: u32,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

const MAX_LIMIT: i64 = 10_000;
/// Of GraphQL.
const MAX_PAGE: usize = 200;

/// A part of the sagas that a filter finds, the oldest first.
#[derive(Debug)]
pub(super) struct Found {
    /// How many there are in all.
    pub(super) total: usize,
    pub(super) sagas: Vec<Saga>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    total_count: usize,
    nodes: Vec<Saga>,
    page_info: PageInfo,
}

/// At most `limit` of them.
pub(super) async fn find(client: &Client, filter: &Filter, limit: usize) -> Result<Found> {
    let query = format!(
        "query($where: SagaWhere, $first: Int, $after: String) {{ sagas(where: $where, first: $first, after: $after) {{
            totalCount nodes {{ {FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let mut found = Found { total: 0, sagas: Vec::new() };
    let mut after = None;
    loop {
        let first = (limit - found.sagas.len()).min(MAX_PAGE);
        let variables = json!({"where": filter.input(), "first": first, "after": after});
        let Page { total_count, nodes, page_info } = client.graphql(&query, variables, "/sagas").await?.data;
        found.total = total_count;
        found.sagas.extend(nodes);
        after = page_info.next();
        if after.is_none() || found.sagas.len() >= limit {
            return Ok(found);
        }
    }
}

pub(super) async fn run(client: &Client, list: &List) -> Result<bool> {
    let found = find(client, &list.filter, usize::try_from(list.limit)?).await?;
    if list.json {
        say!("{}", json!({"total": found.total, "sagas": found.sagas}));
        return Ok(true);
    }
    told(&found, Utc::now()).iter().for_each(|line| say!("{line}"));
    Ok(true)
}

fn told(found: &Found, now: DateTime<Utc>) -> Vec<String> {
    let Found { total, sagas } = found;
    if sagas.is_empty() {
        return vec!["there are none".to_owned()];
    }
    let rows: Vec<_> = sagas.iter().map(|saga| row(saga, now)).collect();
    let mut lines = table::lines(["SAGA", "ORDER", "STATE", "STEP", "WAITS FOR", "SINCE", "CAUSE"], &rows);
    let shown = if sagas.len() < *total { format!("the {} oldest of ", sagas.len()) } else { String::new() };
    let overdue = match sagas.iter().filter(|saga| saga.overdue).count() {
        0 => String::new(),
        overdue => format!("; {overdue} of those shown (!) wait longer than expected"),
    };
    lines.push(format!("\n{shown}{total} in all{overdue}"));
    lines
}

fn row(saga: &Saga, now: DateTime<Utc>) -> [String; 7] {
    let late = if saga.overdue { " !" } else { "" };
    let undone = if saga.direction.as_deref() == Some("COMPENSATE") { " (undo)" } else { "" };
    [
        saga.id.clone(),
        saga.order.order_ref.clone(),
        saga.state.clone(),
        format!("{}{undone}", saga.step),
        saga.waiting_on.clone().unwrap_or_else(|| "–".to_owned()),
        saga.waiting_since.map_or_else(|| "–".to_owned(), |since| format!("{}{late}", span(now - since))),
        saga.cause.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saga(order_ref: &str, changed: serde_json::Value) -> Saga {
        let mut saga = json!({"id": "sag_0192", "order": {"id": "ord_0192", "ref": order_ref, "shop": "dev", "status": "ALLOCATED"},
            "state": "WAITING", "step": "authorize_payment", "direction": "FORWARD", "attempt": 1, "cause": "unavailable",
            "waitingOn": "payment", "waitingSince": "2026-11-24T09:00:00Z", "expectedBy": "2026-11-24T09:00:30Z", "overdue": true,
            "remainingSteps": []});
        for (name, value) in changed.as_object().unwrap() {
            saga[name] = value.clone();
        }
        serde_json::from_value(saga).unwrap()
    }

    #[test]
    fn a_line_says_where_a_saga_stands_for_whom_it_waits_and_whether_that_is_too_long() {
        let undone = json!({"state": "COMPENSATING", "step": "ship", "direction": "COMPENSATE", "cause": null, "waitingOn": null,
            "waitingSince": "2026-11-24T10:59:58Z", "overdue": false});
        let found = Found { total: 7, sagas: vec![saga("r-1", json!({})), saga("a-longer-ref", undone)] };
        let told = told(&found, "2026-11-24T11:00:00Z".parse().unwrap());
        assert_eq!(
            told,
            [
                "SAGA      ORDER         STATE         STEP               WAITS FOR  SINCE        CAUSE",
                "sag_0192  r-1           WAITING       authorize_payment  payment    2 h 0 min !  unavailable",
                "sag_0192  a-longer-ref  COMPENSATING  ship (undo)        –          2 s",
                "\nthe 2 oldest of 7 in all; 1 of those shown (!) wait longer than expected",
            ]
        );
    }
}
