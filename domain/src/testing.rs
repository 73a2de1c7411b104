//! What the tests of several aggregates build from. Everything here is invented.
use crate::{
    Amount, Currency, OrderId,
    location::{self, LocationMode},
    order::{Charge, ChargeKind, Destination, OnShortage, OrderLine, OrderPlaced, PaymentMethod, Reservation},
    saga::Context,
    shipment::{FulfillmentLine, FulfillmentReleased, Label, LineQuantity},
};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

pub(crate) const ORDER: OrderId = OrderId(Uuid::from_u128(0x019a_aebb_7d20_7c41_9b1f_3f6f_2a51_e00d));

/// 2026-11-23, 09:00 UTC.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_795_424_400)
}

pub(crate) fn usd() -> Currency {
    Currency { code: "USD".to_owned(), digits: 2 }
}

pub(crate) fn context(location_mode: LocationMode) -> Context {
    Context { now: now(), location: location::MAIN.into(), location_mode }
}

/// An order of lines `(sku, quantity, line total)`, numbered from 1, and charges; its total is their sum.
pub(crate) fn placed(lines: &[(&str, i64, i64)], charges: &[(ChargeKind, i64)]) -> OrderPlaced {
    let lines: Vec<_> = (1..).zip(lines).map(|(number, line)| order_line(number, line)).collect();
    let charges: Vec<_> = (1..)
        .zip(charges)
        .map(|(charge_id, (kind, amount))| Charge { charge_id, kind: *kind, amount: Amount(*amount), line_id: None })
        .collect();
    let total = lines.iter().map(|line| line.line_total).chain(charges.iter().map(|charge| charge.signed(false))).sum();
    OrderPlaced {
        order_ref: "cj-31198570044".to_owned(),
        placed_at: now(),
        placed_at_given: None,
        received_at: now(),
        channel: None,
        store_ref: None,
        customer_ref: "hh-900".to_owned(),
        person_id: None,
        ship_to: Destination::default(),
        billing_country: None,
        currency: usd(),
        lines,
        charges,
        prices_include_tax: false,
        total,
        shipping_method: None,
        promise: None,
        priority: 0,
        on_shortage: OnShortage::Cancel,
        payment: (total > Amount::ZERO).then(|| PaymentMethod { method: "card".to_owned(), default: true }),
    }
}

fn order_line(number: u32, (sku, quantity, line_total): &(&str, i64, i64)) -> OrderLine {
    OrderLine {
        line_id: number.to_string().as_str().into(),
        sku: (*sku).into(),
        quantity: *quantity,
        line_total: Amount(*line_total),
        discount: None,
        unit: None,
    }
}

/// Two lines and a shipping charge: 5.40 in all.
pub(crate) fn two_lines() -> OrderPlaced {
    placed(&[("1095275", 1, 50), ("820165", 2, 0)], &[(ChargeKind::Shipping, 490)])
}

/// The reservation of every line at the one location.
pub(crate) fn reservations(order: &OrderPlaced) -> Vec<Reservation> {
    let reserve = |line: &OrderLine| Reservation {
        line_id: line.line_id.clone(),
        sku: line.sku.clone(),
        location: location::MAIN.into(),
        lot: None,
        quantity: line.quantity,
    };
    order.lines.iter().map(reserve).collect()
}

/// A release of lines `(line id, quantity)`.
pub(crate) fn released(mode: LocationMode, lines: &[(&str, i64)]) -> FulfillmentReleased {
    let line = |(line_id, quantity): &(&str, i64)| FulfillmentLine {
        line_id: (*line_id).into(),
        sku: "1095275".into(),
        quantity: *quantity,
    };
    FulfillmentReleased {
        fulfillment_id: ORDER.fulfillment(),
        location: location::MAIN.into(),
        mode,
        lines: lines.iter().map(line).collect(),
        ship_by: None,
        priority: 0,
    }
}

pub(crate) fn quantities(lines: &[(&str, i64)]) -> Vec<LineQuantity> {
    lines.iter().map(|(line_id, quantity)| LineQuantity { line_id: (*line_id).into(), quantity: *quantity }).collect()
}

pub(crate) fn label(key: &str) -> Label {
    Label {
        key: key.to_owned(),
        label_id: "lbl_1".to_owned(),
        carrier: "swift".to_owned(),
        tracking_number: "SW1".to_owned(),
    }
}

/// Given these events, the aggregate decides on a command.
pub(crate) fn given<D: crate::Decider<State = D>>(
    events: &[D::Event],
    command: D::Command,
) -> Result<Vec<D::Event>, D::Rejection> {
    D::decide(&crate::fold::<D>(events), command)
}

/// A small generator (SplitMix64): the same seed, the same numbers.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("an index")]
    }
}
