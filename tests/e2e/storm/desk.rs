//! Operators, who ask for this and that at random, and settle incidents; staff of the warehouse, when it works by hand.
use super::town::{Town, order_of};
use crate::support::random::Random;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;

/// Incidents are gone through so often.
const ROUND: Duration = Duration::from_secs(5);
const STAFF_ROUND: Duration = Duration::from_millis(700);
/// Of the warehouse.
const HANDS: usize = 16;
const VERBS: [&str; 8] =
    ["pause", "pause", "resume", "retry", "skip", "compensate", "pause?dry_run=true", "compensate?dry_run=true"];

/// How a saga stands.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    state: String,
    step: String,
    supported: Vec<String>,
}

impl Standing {
    fn allows(&self, verb: &str) -> bool {
        self.supported.iter().any(|supported| supported == verb)
    }
}

/// By its own history: the answer of a dry run. `None`: it has ended.
pub(super) async fn standing(town: &Town, saga: &str) -> Option<Standing> {
    let path = format!("/v1/sagas/{saga}/pause?dry_run=true");
    let told = town.line.ask("operator", &path, &json!({"reason": "to see"})).await;
    let text = |name: &str| told.body[name].as_str().unwrap_or_default().to_owned();
    let supported = told.body["supported_actions"].as_array().cloned().unwrap_or_default();
    let supported: Vec<_> = supported.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    match told.status {
        200 => Some(Standing { state: text("state"), step: text("step"), supported }),
        409 if supported.is_empty() => None,
        _ => {
            town.odd(&format!("a look at {saga}"), &told);
            None
        }
    }
}

async fn operate(town: &Town, saga: &str, verb: &'static str) {
    let mut body = json!({"reason": "chance"});
    if verb == "skip" {
        body["evidence"] = json!("seen in the console");
    }
    let told = town.line.ask("operator", &format!("/v1/sagas/{saga}/{verb}"), &body).await;
    match (told.status, told.body["code"].as_str()) {
        (200, _) => town.books(|books| {
            books.count(verb);
            let order = order_of(saga);
            books.touched.insert(order.clone());
            match verb {
                "skip" => {
                    books.skipped.insert(order);
                }
                // A return that is undone leaves its order as it is.
                "compensate" if saga.starts_with("sag_") => {
                    books.compensated.insert(order);
                }
                _ => {}
            }
        }),
        (409, Some("not_allowed" | "already_shipped")) => {}
        _ => town.odd(&format!("{verb} of {saga}"), &told),
    }
}

/// At random, at what has just begun or waits for someone.
pub(super) async fn meddle(town: Town, every: Duration) {
    let mut random = Random::new(town.seed ^ 0x0de5);
    let query = "{ sagas(where: {saga: \"fulfillment\", state: WAITING}, first: 20) { nodes { id } } }";
    while !town.is_clear() {
        tokio::time::sleep(every).await;
        let mut found: Vec<_> = town.books(|books| books.recent.iter().cloned().collect());
        if random.one_in(2)
            && let Some(waiting) = town.line.read(query).await.map(|read| ids(&read)).filter(|ids| !ids.is_empty())
        {
            found = waiting;
        }
        if !found.is_empty() {
            let saga = &found[random.below(found.len())];
            operate(&town, saga, VERBS[random.below(VERBS.len())]).await;
        }
    }
}

fn ids(read: &Value) -> Vec<String> {
    let nodes = read["sagas"]["nodes"].as_array().into_iter().flatten();
    nodes.filter_map(|saga| saga["id"].as_str()).map(str::to_owned).collect()
}

/// Goes through what is paused, until nobody waits any more: half of it while it storms, all of it once it has cleared up.
pub(super) async fn settle_incidents(town: Town) {
    let mut random = Random::new(town.seed ^ 0x5e77);
    let query = "{ sagas(where: {saga: \"fulfillment\", state: PAUSED}, first: 200) { nodes { id } } }";
    while !town.is_over() {
        tokio::time::sleep(if town.is_clear() { ROUND / 5 } else { ROUND }).await;
        let Some(found) = town.line.read(query).await else { continue };
        for saga in ids(&found) {
            if (town.is_clear() || random.one_in(2))
                && let Some(standing) = standing(&town, &saga).await
            {
                settle(&town, &saga, &standing, !town.is_clear() && random.one_in(3)).await;
            }
        }
    }
}

/// Sets a saga going again that stands still: whom an operator paused is resumed; money that is not to be had is given up. Nothing else may
/// have stopped: no provider has said no to anything but a capture. `in_vain`: that capture is tried again all the same.
pub(super) async fn settle(town: &Town, saga: &str, standing: &Standing, in_vain: bool) {
    if standing.state != "PAUSED" {
        return;
    }
    if standing.allows("resume") {
        operate(town, saga, "resume").await;
    }
    if !standing.allows("retry") {
        return;
    }
    let is_declined = town
        .books(|books| books.orders.get(&order_of(saga)).is_some_and(|order| order.token == "tok_decline_on_capture"));
    if is_declined && standing.step == "capture_payment" {
        operate(town, saga, if in_vain { "retry" } else { "skip" }).await;
        return;
    }
    town.found(format!("{saga} has stopped, and nobody said no to it: {standing:?}"));
    operate(town, saga, "retry").await;
}

/// The warehouse works by hand for a while, and by itself for longer.
pub(super) async fn by_hand_or_not(town: Town) {
    let mut random = Random::new(town.seed ^ 0x10ca);
    let mut is_manual = false;
    while !town.is_over() {
        tokio::time::sleep(STAFF_ROUND).await;
        let wanted = !town.is_clear() && if is_manual { !random.one_in(3) } else { random.one_in(8) };
        if wanted != is_manual {
            let told = town.line.set_location(if wanted { "MANUAL" } else { "AUTO" }).await;
            if !told.is_done() {
                town.odd("a location's mode", &told);
            }
            is_manual = wanted;
        }
    }
}

/// What waits for staff is shipped, some of it step by step.
pub(super) async fn staff(town: Town) {
    let query = "{ sagas(where: {saga: \"fulfillment\", waitingOn: \"warehouse\"}, first: 200) { nodes { id } } }";
    while !town.is_over() {
        tokio::time::sleep(STAFF_ROUND).await;
        let Some(found) = town.line.read(query).await else { continue };
        let found = ids(&found).into_iter().enumerate();
        stream::iter(found).for_each_concurrent(HANDS, |(n, saga)| ship(&town, saga, n % 3 == 0)).await;
    }
}

async fn ship(town: &Town, saga: String, by_steps: bool) {
    let fulfillment = saga.replacen("sag_", "ful_", 1);
    let reports: &[&str] = if by_steps { &["pick", "pack", "ship"] } else { &["ship"] };
    for what in reports {
        let path = format!("/v1/fulfillments/{fulfillment}/{what}");
        let told = town.line.ask("warehouse", &path, &json!({})).await;
        match (told.status, told.body["code"].as_str()) {
            (200, _) if *what == "ship" => {
                town.books(|books| books.shipped_by_staff.insert(order_of(&saga)));
            }
            (200, _) | (409, Some("not_allowed")) => {}
            _ => town.odd(&path, &told),
        }
    }
}
