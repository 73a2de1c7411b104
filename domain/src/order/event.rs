//! What can happen to an order. Amounts are in minor units of `OrderPlaced::currency`. No personal data: the vault keeps that.
use crate::{Amount, Currency, LineId, LocationCode, Sku, event::events};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// The order's own stream.
    #[expect(clippy::large_enum_variant, reason = "events are few and short-lived; a box would cost an allocation each")]
    OrderEvent in Order {
        OrderPlaced = 1,
        StockReserved = 1,
        ReservationRefused = 1,
        StockReleased = 1,
        CancelRequested = 1,
        OrderCancelled = 1,
        OrderCompleted = 1,
        CustomerErased = 1,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The shop's own name for the order; unique within the shop.
    pub order_ref: String,
    pub placed_at: DateTime<Utc>,
    /// `placed_at` as the shop gave it; absent when it gave none.
    pub placed_at_given: Option<String>,
    pub received_at: DateTime<Utc>,
    pub channel: Option<String>,
    pub store_ref: Option<String>,
    pub customer_ref: String,
    /// Whose personal data the vault keeps under this order's id; absent when none was given.
    pub person_id: Option<Uuid>,
    pub ship_to: Destination,
    pub billing_country: Option<String>,
    pub currency: Currency,
    pub lines: Vec<OrderLine>,
    pub charges: Vec<Charge>,
    pub prices_include_tax: bool,
    pub total: Amount,
    pub shipping_method: Option<String>,
    pub promise: Option<Promise>,
    pub priority: i32,
    pub on_shortage: OnShortage,
    /// How it is paid; absent when there is nothing to pay and nothing was said.
    pub payment: Option<PaymentMethod>,
}

/// Where it goes, as far as it names no person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    pub postal_prefix: Option<String>,
    /// The shop's default was used.
    pub default: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    pub line_id: LineId,
    pub sku: Sku,
    pub quantity: i64,
    /// What is paid for the whole line, net of `discount`.
    pub line_total: Amount,
    /// Information only, never subtracted.
    pub discount: Option<Amount>,
    pub unit: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The charge's number within the order, from 1.
    pub charge_id: u32,
    pub kind: ChargeKind,
    /// As given, without sign; see [`Charge::signed`].
    pub amount: Amount,
    pub line_id: Option<LineId>,
}

impl Charge {
    /// What it adds to the order's total: discounts and gift cards count as negative, tax only when prices do not include it.
    pub fn signed(&self, prices_include_tax: bool) -> Amount {
        match self.kind {
            ChargeKind::Discount | ChargeKind::GiftCard => Amount(-self.amount.0),
            ChargeKind::Tax if prices_include_tax => Amount::ZERO,
            ChargeKind::Shipping | ChargeKind::Tax | ChargeKind::Fee => self.amount,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeKind {
    Shipping,
    Tax,
    Fee,
    Discount,
    GiftCard,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    pub ship_by: Option<DateTime<Utc>>,
    pub deliver_by: Option<DateTime<Utc>>,
}

/// What to do when stock falls short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OnShortage {
    /// Cancel the whole order.
    #[default]
    Cancel,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentMethod {
    /// For example `card`.
    pub method: String,
    /// The shop's default was used; the token is then the shop's and not in the vault.
    pub default: bool,
}

/// Every line of the order is set aside at its location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReserved {
    pub lines: Vec<Reservation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    pub line_id: LineId,
    pub sku: Sku,
    pub location: LocationCode,
    pub lot: Option<String>,
    pub quantity: i64,
}

/// Not everything was there; nothing is reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationRefused {
    pub shortages: Vec<Shortage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    pub sku: Sku,
    pub location: LocationCode,
    pub wanted: i64,
    /// What was free when it was refused; 0 for an SKU never seen.
    pub available: i64,
}

/// What was reserved is free again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReleased {
    pub lines: Vec<Reservation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    /// The vault's entry of the reason as it was typed, if one was given.
    pub note_id: Option<Uuid>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    pub reason: CancelReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    OutOfStock,
    PaymentDeclined,
    Fraud,
    Requested,
    /// The carrier takes it under no terms.
    Undeliverable,
}

impl CancelReason {
    pub const fn code(self) -> &'static str {
        match self {
            CancelReason::OutOfStock => "out_of_stock",
            CancelReason::PaymentDeclined => "payment_declined",
            CancelReason::Fraud => "fraud",
            CancelReason::Requested => "requested",
            CancelReason::Undeliverable => "undeliverable",
        }
    }
}

/// Shipped, and paid for if there was anything to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCompleted {}

/// The key under which the customer's data was sealed is destroyed. The order's history stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerErased {
    pub person_id: Uuid,
}
