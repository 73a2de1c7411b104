//! `waybill sagas incidents`: what needs a person, by cause.
use super::{
    super::{
        client::Client,
        words::{plural, quoted, span},
    },
    table,
};
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use domain::saga::operator::Verb;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Sagas that need a person, in groups of one step and cause, the largest first; exit 1 when there are any
#[derive(Args, Clone, Debug)]
pub struct Incidents {
    /// Only of this shop
    #[arg(long)]
    shop: Option<String>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

const QUERY: &str = "query($shop: ID) { incidents(shop: $shop) { cause step direction count oldestSince } }";

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    cause: String,
    step: String,
    direction: String,
    count: usize,
    oldest_since: Option<DateTime<Utc>>,
}

pub(super) async fn run(client: &Client, incidents: &Incidents) -> Result<bool> {
    let shop = incidents.shop.as_deref();
    let groups: Vec<Group> = client.graphql(QUERY, json!({"shop": shop}), "/incidents").await?.data;
    if incidents.json {
        say!("{}", json!({"incidents": groups}));
    } else {
        told(&groups, shop, Utc::now()).iter().for_each(|line| say!("{line}"));
    }
    Ok(groups.is_empty())
}

fn told(groups: &[Group], shop: Option<&str>, now: DateTime<Utc>) -> Vec<String> {
    if groups.is_empty() {
        return vec!["no saga needs a person".to_owned()];
    }
    let row = |group: &Group| {
        let undone = if group.direction == "COMPENSATE" { " (undo)" } else { "" };
        let oldest = group.oldest_since.map_or_else(|| "–".to_owned(), |since| span(now - since));
        [group.count.to_string(), group.cause.clone(), format!("{}{undone}", group.step), oldest]
    };
    let rows: Vec<_> = groups.iter().map(row).collect();
    let mut lines = table::lines(["COUNT", "CAUSE", "STEP", "OLDEST"], &rows);
    let count = groups.iter().map(|group| group.count).sum();
    lines.push(format!("\n{} in {}. Which they are:", plural(count, "saga"), plural(groups.len(), "group")));
    lines.extend(groups.iter().map(|group| format!("  waybill sagas list {}", arguments(group, shop))));
    lines.push(
        "\nOnce the cause is mended (docs/runbook.md), what would come of it; without --dry-run it is done:".to_owned(),
    );
    lines.extend(
        groups
            .iter()
            .map(|group| format!("  waybill sagas {} {} --reason TEXT --dry-run", verb(group), arguments(group, shop))),
    );
    lines
}

/// What most often settles it. A retry of what a restore has lost would stop at the same place.
fn verb(group: &Group) -> Verb {
    if group.cause == "undone_before_restore" { Verb::Compensate } else { Verb::Retry }
}

/// The filter that finds exactly the group.
fn arguments(group: &Group, shop: Option<&str>) -> String {
    let Group { cause, step, direction, .. } = group;
    let direction = direction.to_lowercase();
    let shop = shop.map(|shop| format!(" --shop {}", quoted(shop))).unwrap_or_default();
    format!("--state paused --step {} --direction {direction} --cause {}{shop}", quoted(step), quoted(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_says_how_many_why_where_and_by_which_command_they_are_found() {
        let group = |cause: &str, step: &str, direction: &str, count| Group {
            cause: cause.to_owned(),
            step: step.to_owned(),
            direction: direction.to_owned(),
            count,
            oldest_since: "2026-11-24T09:00:00Z".parse().ok(),
        };
        let groups = [
            group("retries_exhausted", "authorize_payment", "FORWARD", 12),
            group("label is used", "ship", "COMPENSATE", 1),
        ];
        assert_eq!(
            told(&groups, Some("dev"), "2026-11-24T09:01:05Z".parse().unwrap()),
            [
                "COUNT  CAUSE              STEP               OLDEST",
                "12     retries_exhausted  authorize_payment  1 min 5 s",
                "1      label is used      ship (undo)        1 min 5 s",
                "\n13 sagas in 2 groups. Which they are:",
                "  waybill sagas list --state paused --step authorize_payment --direction forward --cause retries_exhausted --shop dev",
                "  waybill sagas list --state paused --step ship --direction compensate --cause 'label is used' --shop dev",
                "\nOnce the cause is mended (docs/runbook.md), what would come of it; without --dry-run it is done:",
                "  waybill sagas retry --state paused --step authorize_payment --direction forward --cause retries_exhausted --shop dev --reason TEXT --dry-run",
                "  waybill sagas retry --state paused --step ship --direction compensate --cause 'label is used' --shop dev --reason TEXT --dry-run",
            ]
        );
        assert_eq!(verb(&group("undone_before_restore", "capture_payment", "FORWARD", 1)), Verb::Compensate);
        assert_eq!(told(&[], None, Utc::now()), ["no saga needs a person"]);
    }
}
