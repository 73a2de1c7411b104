//! Shops and their customers: orders with every token there is, some cancelled, some sent back.
use super::{
    desk,
    town::{End, Order, Returned, Town, order_of},
};
use crate::support::{client::order, random::Random};
use serde_json::{Value, json};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Orders and returns that have not ended; beyond that shops wait.
const UNDER_WAY: usize = 4_000;
const WAIT: Duration = Duration::from_secs(20);
const BEFORE_ANOTHER_LOOK: Duration = Duration::from_millis(300);

/// With each its share.
const TOKENS: [(&str, usize); 9] = [
    ("tok_ok", 70),
    ("tok_decline", 8),
    ("tok_decline_on_capture", 4),
    ("tok_slow_300", 5),
    ("tok_slow_6500", 2),
    ("tok_hang_after_acting", 3),
    ("tok_flaky_1", 4),
    ("tok_flaky_2", 3),
    ("tok_flaky_4", 1),
];

fn token(random: &mut Random) -> &'static str {
    let mut left = random.below(TOKENS.iter().map(|(_, share)| share).sum());
    for (token, share) in TOKENS {
        if left < share {
            return token;
        }
        left -= share;
    }
    TOKENS[0].0
}

pub(super) fn dollars(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

pub(super) fn cents(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.')?;
    Some(whole.parse::<i64>().ok()? * 100 + part.parse::<i64>().ok().filter(|_| part.len() == 2)?)
}

/// So many orders a second until it clears up; returns when each and what came back of it has ended, or nobody waits any more.
pub(super) async fn trade(town: Town, rate: u32) {
    let (mut turn, mut lives) = (tokio::time::interval(Duration::from_secs(1) / rate), JoinSet::new());
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut number = 0;
    while !town.is_clear() {
        turn.tick().await;
        let place = room.clone().acquire_owned().await.unwrap();
        number += 1;
        let town = town.clone();
        lives.spawn(async move {
            town.open.fetch_add(1, Ordering::Relaxed);
            live(&town, number).await;
            town.open.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
        while let Some(lived) = lives.try_join_next() {
            lived.unwrap();
        }
    }
    while let Some(lived) = lives.join_next().await {
        lived.unwrap();
    }
}

/// One order's.
async fn live(town: &Town, number: u64) {
    let mut random = Random::new(town.seed ^ (number << 20));
    let (token, is_scarce) = (token(&mut random), random.one_in(40));
    let (quantity, total) = (1 + random.below(3) as i64, 100 + random.below(20_000) as i64);
    let mut body = order(if is_scarce { &town.scarce } else { &town.sku }, quantity, token);
    body["lines"][0]["line_total"] = json!(dollars(total));
    body["customer"]["ref"] = json!(format!("c-{}", number % 500));
    let told = town.line.ask("shop", "/v1/orders", &body).await;
    let Some(id) = told.body["order_id"].as_str().filter(|_| told.is_done()).map(str::to_owned) else {
        return town.odd("an order is not taken", &told);
    };
    let placed = Order {
        token,
        cents: total,
        is_scarce,
        cancelled: false,
        placed_at: Instant::now(),
        end: None,
        returned: None,
    };
    town.books(|books| {
        books.orders.insert(id.clone(), placed);
        books.begins(id.replacen("ord_", "sag_", 1));
    });
    if random.one_in(10) {
        tokio::time::sleep(random.millis(0, 1_500)).await;
        cancel(town, &id).await;
    }
    let Some(end) = ended(town, &id).await else { return };
    if end == End::Completed && random.one_in(8) && !town.is_clear() {
        send_back(town, &id, quantity, &mut random).await;
    }
}

async fn cancel(town: &Town, id: &str) {
    let told = town.line.ask("shop", &format!("/v1/orders/{id}/cancel"), &json!({"reason": "no longer"})).await;
    match (told.status, told.body["code"].as_str()) {
        (200 | 202, _) => town.books(|books| books.orders.get_mut(id).unwrap().cancelled = true),
        (409, Some("already_shipped")) => {}
        _ => town.odd(&format!("the cancel of {id}"), &told),
    }
}

async fn ended(town: &Town, id: &str) -> Option<End> {
    while !town.is_over() {
        let Some(told) = town.line.look(id, WAIT).await else {
            tokio::time::sleep(BEFORE_ANOTHER_LOOK).await;
            continue;
        };
        let end = match told.body["status"].as_str() {
            Some("COMPLETED") => End::Completed,
            Some("CANCELLED") => End::Cancelled,
            Some(_) => continue,
            None => {
                town.odd(&format!("a look at {id}"), &told);
                return None;
            }
        };
        town.books(|books| books.ends(id, end));
        return Some(end);
    }
    None
}

/// A return, by all who take part in it.
async fn send_back(town: &Town, id: &str, quantity: i64, random: &mut Random) {
    let reason = json!({"reason": "too small"});
    let told = town.line.ask("shop", &format!("/v1/orders/{id}/returns"), &reason).await;
    let Some(id) = told.body["return_id"].as_str().filter(|_| told.is_done()).map(str::to_owned) else {
        return town.odd(&format!("a return of {id}"), &told);
    };
    let order = order_of(&id);
    let note = |returned: Returned| town.books(|books| books.orders.get_mut(&order).unwrap().returned = Some(returned));
    note(Returned::default());
    town.books(|books| books.begins(id.clone()));
    let mut returned = Returned::default();
    if random.one_in(6) {
        until_done(town, "support", &id, "reject", &reason).await;
    } else if until_done(town, "support", &id, "approve", &reason).await.is_some() {
        if random.one_in(6) {
            tokio::time::sleep(random.millis(0, 300)).await;
            until_done(town, "shop", &id, "cancel", &reason).await;
        } else if until_done(town, "warehouse", &id, "receive", &json!({})).await.is_some() {
            returned.received = true;
            note(returned);
            let found = ["restock", "write_off", "refuse"][random.below(3)];
            let found = json!({"lines": [{"line_id": "1", found: quantity}]});
            if let Some(told) = until_done(town, "warehouse", &id, "inspect", &found).await {
                match told["refund"].as_str().and_then(cents) {
                    Some(refund) => returned.refund_cents = refund,
                    None => town.found(format!("{id} is inspected without a refund: {told}")),
                }
                note(returned);
            }
        }
    }
    while !town.is_over() && !has_ended(town, &id).await {
        tokio::time::sleep(BEFORE_ANOTHER_LOOK).await;
    }
}

/// Asks until it is so; `None`: the return has ended instead, or is about to.
async fn until_done(town: &Town, role: &str, id: &str, verb: &str, body: &Value) -> Option<Value> {
    while !town.is_over() {
        let told = town.line.ask(role, &format!("/v1/returns/{id}/{verb}"), body).await;
        match (told.status, told.body["code"].as_str()) {
            (200, _) => return Some(told.body),
            (409, Some("not_allowed")) => {}
            _ => town.odd(&format!("{verb} of {id}"), &told),
        }
        if has_ended(town, id).await {
            return None;
        }
        tokio::time::sleep(BEFORE_ANOTHER_LOOK).await;
    }
    None
}

/// Once it has cleared up, a return that stands still is set going again.
async fn has_ended(town: &Town, id: &str) -> bool {
    match desk::standing(town, id).await {
        Some(standing) => {
            if town.is_clear() {
                desk::settle(town, id, &standing, false).await;
            }
            false
        }
        None => true,
    }
}
