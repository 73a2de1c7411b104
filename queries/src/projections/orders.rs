//! An order's row: what was placed, and where it stands.
use super::history::History;
use chrono::{DateTime, Utc};
use domain::{
    fulfillment::Fulfillment,
    order::{OrderPlaced, Outcome, Stock},
    saga::SagaState,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What never changes after the placement.
#[derive(Debug)]
pub(crate) struct PlacedRow {
    pub(crate) placed_at: DateTime<Utc>,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) shop: String,
    pub(crate) order_ref: String,
    pub(crate) customer_ref: String,
    pub(crate) currency: String,
    pub(crate) digits: i16,
    pub(crate) total: i64,
    /// JSON of [`Line`]s.
    pub(crate) lines: String,
    /// JSON of [`Charge`]s.
    pub(crate) charges: String,
    /// Each once.
    pub(crate) skus: Vec<String>,
}

/// What moves as the order goes on. Amounts in minor units.
#[derive(Debug)]
pub(crate) struct OrderRow {
    pub(crate) order_id: Uuid,
    pub(crate) status: &'static str,
    pub(crate) status_reason: Option<String>,
    pub(crate) fulfillment_status: &'static str,
    pub(crate) authorized: i64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    /// JSON of [`Progress`], one a line.
    pub(crate) progress: String,
    pub(crate) customer_erased_at: Option<DateTime<Utc>>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) version: i32,
    pub(crate) position: i64,
    /// It goes on by itself: its row lies where an update is cheap.
    pub(crate) in_motion: bool,
}

/// A line as it lies in `orders.lines`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) sku: String,
    pub(crate) quantity: i64,
    /// Minor units.
    pub(crate) line_total: i64,
}

/// A charge as it lies in `orders.charges`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) kind: String,
    /// Minor units, without sign, as given.
    pub(crate) amount: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line_id: Option<String>,
}

/// Of one line: how many units are reserved now, were shipped, and will never be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress(pub(crate) i64, pub(crate) i64, pub(crate) i64);

impl PlacedRow {
    pub(crate) fn of(history: &History, placed: &OrderPlaced) -> Result<PlacedRow, serde_json::Error> {
        let line = |line: &domain::order::OrderLine| Line {
            id: line.line_id.0.clone(),
            sku: line.sku.0.clone(),
            quantity: line.quantity,
            line_total: line.line_total.0,
        };
        let charge = |charge: &domain::order::Charge| Charge {
            kind: kind_name(charge.kind).to_owned(),
            amount: charge.amount.0,
            line_id: charge.line_id.as_ref().map(|id| id.0.clone()),
        };
        let skus: BTreeSet<&str> = placed.lines.iter().map(|line| line.sku.0.as_str()).collect();
        Ok(PlacedRow {
            placed_at: placed.placed_at,
            received_at: placed.received_at,
            shop: history.shop.clone(),
            order_ref: placed.order_ref.clone(),
            customer_ref: placed.customer_ref.clone(),
            currency: placed.currency.code.clone(),
            digits: i16::from(placed.currency.digits),
            total: placed.total.0,
            lines: serde_json::to_string(&placed.lines.iter().map(line).collect::<Vec<_>>())?,
            charges: serde_json::to_string(&placed.charges.iter().map(charge).collect::<Vec<_>>())?,
            skus: skus.into_iter().map(str::to_owned).collect(),
        })
    }
}

impl OrderRow {
    pub(crate) fn of(history: &History, placed: &OrderPlaced) -> Result<OrderRow, serde_json::Error> {
        let state = &history.fulfillment;
        let progress = progress(state, placed);
        Ok(OrderRow {
            order_id: history.order_id.0,
            status: state.status().name(),
            status_reason: state.status_reason().map(str::to_owned),
            fulfillment_status: fulfillment_status(placed, &progress),
            authorized: state.payment.authorized().0,
            captured: state.payment.captured().0,
            refunded: state.payment.refunded().0,
            progress: serde_json::to_string(&progress)?,
            customer_erased_at: history.customer_erased_at,
            updated_at: history.updated_at,
            version: history.version.0,
            position: history.position.0,
            in_motion: state.saga_state() == SagaState::Running,
        })
    }
}

fn progress(state: &Fulfillment, placed: &OrderPlaced) -> Vec<Progress> {
    let released = state.shipment.released.as_ref();
    let cancelled = matches!(state.order.outcome, Some(Outcome::Cancelled(_)));
    let reservations = match &state.order.stock {
        Stock::Reserved(reservations) => &reservations[..],
        Stock::Unreserved | Stock::Refused | Stock::Released => &[],
    };
    // All three lists are in the order of the lines as a rule: the look-up finds its line at once.
    let of_line = |(n, line): (usize, &domain::order::OrderLine)| {
        let shipped = released.map_or(0, |released| {
            let at = |n: usize| released.lines.get(n).filter(|other| other.line_id == line.line_id);
            at(n).or_else(|| released.lines.iter().find(|other| other.line_id == line.line_id)).map_or(0, |l| l.shipped)
        });
        let reserved: i64 = match reservations.get(n) {
            Some(reservation) if reservations.len() == placed.lines.len() && reservation.line_id == line.line_id => {
                reservation.quantity
            }
            _ => reservations.iter().filter(|other| other.line_id == line.line_id).map(|other| other.quantity).sum(),
        };
        // What has left is no longer reserved.
        Progress((reserved - shipped).max(0), shipped, if cancelled { line.quantity - shipped } else { 0 })
    };
    placed.lines.iter().enumerate().map(of_line).collect()
}

fn fulfillment_status(placed: &OrderPlaced, progress: &[Progress]) -> &'static str {
    let shipped = |(line, progress): (&domain::order::OrderLine, &Progress)| progress.1 >= line.quantity;
    match () {
        () if placed.lines.iter().zip(progress).all(shipped) => "FULFILLED",
        () if progress.iter().any(|progress| progress.1 > 0) => "PARTIAL",
        () => "UNFULFILLED",
    }
}

fn kind_name(kind: domain::order::ChargeKind) -> &'static str {
    use domain::order::ChargeKind;
    match kind {
        ChargeKind::Shipping => "shipping",
        ChargeKind::Tax => "tax",
        ChargeKind::Fee => "fee",
        ChargeKind::Discount => "discount",
        ChargeKind::GiftCard => "gift_card",
    }
}
