//! The order's own events, in words.
use super::{Count, actor::subject, in_currency, money};
use domain::{
    Amount, LocationCode,
    fulfillment::Fulfillment,
    order::{CancelReason, OrderEvent, OrderPlaced, Reservation, Shortage},
};
use eventstore::Actor;
use std::{collections::BTreeSet, fmt::Write};

/// More shortages than these are counted, not listed.
const LISTED_SHORTAGES: usize = 3;

pub(super) fn sentence(event: &OrderEvent, actor: &Actor, before: &Fulfillment) -> String {
    match event {
        OrderEvent::OrderPlaced(event) => placed(event, actor),
        OrderEvent::StockReserved(event) => match event.lines.len() {
            1 => format!("The line was set aside at {}", locations(&event.lines)),
            n => format!("All {} were set aside at {}", Count(n, "line"), locations(&event.lines)),
        },
        OrderEvent::ReservationRefused(event) => shortages(&event.shortages),
        OrderEvent::StockReleased(event) => {
            let lines = Count(event.lines.len(), "line");
            format!("What was set aside is free for others again: {lines} at {}", locations(&event.lines))
        }
        OrderEvent::CancelRequested(_) => format!("{} asked to cancel the order", subject(actor.kind)),
        OrderEvent::OrderCancelled(event) => format!("The order was cancelled: {}", because(event.reason)),
        OrderEvent::CustomerErased(_) => "The customer's personal data was erased".to_owned(),
        OrderEvent::OrderCompleted(_) => match &before.order.placed {
            Some(placed) if placed.total > Amount::ZERO => match before.payment.captured() {
                Amount::ZERO => "The order is complete: everything has left, and no payment was taken by us".to_owned(),
                captured => {
                    format!("The order is complete: everything has left, and {} was paid", money(captured, before))
                }
            },
            _ => "The order is complete: everything has left, and there was nothing to pay".to_owned(),
        },
    }
}

fn placed(event: &OrderPlaced, actor: &Actor) -> String {
    let lines = Count(event.lines.len(), "line");
    format!("{} placed the order: {lines}, {}", subject(actor.kind), in_currency(event.total, &event.currency))
}

pub(super) fn because(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::OutOfStock => "there was not enough stock",
        CancelReason::PaymentDeclined => "the payment was declined",
        CancelReason::Fraud => "fraud was suspected",
        CancelReason::Requested => "a cancel was asked for",
        CancelReason::Undeliverable => "no carrier takes it to that address",
    }
}

fn locations(lines: &[Reservation]) -> String {
    let locations: BTreeSet<&LocationCode> = lines.iter().map(|line| &line.location).collect();
    let names: Vec<&str> = locations.iter().map(|location| location.0.as_str()).collect();
    names.join(", ")
}

fn shortages(shortages: &[Shortage]) -> String {
    let mut text = String::from("Not enough stock of ");
    for (n, shortage) in shortages.iter().take(LISTED_SHORTAGES).enumerate() {
        let Shortage { sku, location, wanted, available } = shortage;
        let joint = if n == 0 { "" } else { "; of " };
        // Writing to a String never fails.
        let _ = write!(text, "{joint}{sku} at {location}: {wanted} wanted, {available} free");
    }
    if let Some(more @ 1..) = shortages.len().checked_sub(LISTED_SHORTAGES) {
        let _ = write!(text, "; and of {}", Count(more, "more SKU"));
    }
    text
}
