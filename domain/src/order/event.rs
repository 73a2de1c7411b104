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

/// A shop has placed an order, and it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OrderPlaced {
    /// The shop's own name for the order; unique within the shop.
    pub order_ref: String,
    /// When the customer ordered.
    pub placed_at: DateTime<Utc>,
    /// `placed_at` as the shop gave it; absent when it gave none.
    pub placed_at_given: Option<String>,
    /// When Waybill took it in.
    pub received_at: DateTime<Utc>,
    /// Where the customer ordered, in the shop's own words, for example `web`.
    pub channel: Option<String>,
    /// The shop's own name for the store it was ordered in.
    pub store_ref: Option<String>,
    /// The shop's own name for the customer.
    pub customer_ref: String,
    /// Whose personal data the vault keeps under this order's id; absent when none was given.
    pub person_id: Option<Uuid>,
    /// Where it goes.
    pub ship_to: Destination,
    /// ISO 3166-1 alpha-2.
    pub billing_country: Option<String>,
    /// Of every amount of this order, here and in all its later events.
    pub currency: Currency,
    /// What was ordered, at least one.
    pub lines: Vec<OrderLine>,
    /// What is paid beside the lines, and what lowers the price.
    pub charges: Vec<Charge>,
    /// Charges of kind `tax` are then information only, and not part of `total`.
    pub prices_include_tax: bool,
    /// What is to be paid: the lines and the charges, each with its sign.
    pub total: Amount,
    /// In the shop's own words, for example `standard`.
    pub shipping_method: Option<String>,
    /// What the shop has promised to the customer.
    pub promise: Option<Promise>,
    /// As the shop gave it; 0 when it gave none.
    pub priority: i32,
    /// What to do when stock falls short.
    pub on_shortage: OnShortage,
    /// How it is paid; absent when there is nothing to pay and nothing was said.
    pub payment: Option<PaymentMethod>,
}

/// Where it goes, as far as it names no person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Destination {
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// The beginning of the postal code.
    pub postal_prefix: Option<String>,
    /// The shop's default was used.
    pub default: bool,
}

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OrderLine {
    /// Its name within the order.
    pub line_id: LineId,
    /// What was ordered.
    pub sku: Sku,
    /// Pieces.
    pub quantity: i64,
    /// What is paid for the whole line, net of `discount`.
    pub line_total: Amount,
    /// Information only, never subtracted.
    pub discount: Option<Amount>,
    /// The unit of sale in the shop's own words, for example `12 oz`.
    pub unit: Option<String>,
}

/// What is paid beside the lines, or lowers the price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Charge {
    /// The charge's number within the order, from 1.
    pub charge_id: u32,
    /// What it is for; `discount` and `gift_card` lower the total.
    pub kind: ChargeKind,
    /// As given, without sign: discounts and gift cards count as negative, tax only when prices do not include it.
    pub amount: Amount,
    /// The line it belongs to; absent when it belongs to the whole order.
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

/// What a charge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChargeKind {
    Shipping,
    Tax,
    Fee,
    Discount,
    GiftCard,
}

/// What the shop has promised to the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Promise {
    /// Goods leave by then.
    pub ship_by: Option<DateTime<Utc>>,
    /// Goods arrive by then.
    pub deliver_by: Option<DateTime<Utc>>,
}

/// What to do when stock falls short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OnShortage {
    /// Cancel the whole order.
    #[default]
    Cancel,
}

/// How an order is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PaymentMethod {
    /// For example `card`.
    pub method: String,
    /// The shop's default was used; the token is then the shop's and not in the vault.
    pub default: bool,
}

/// Every line of the order is set aside at its location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StockReserved {
    /// What is set aside for which line.
    pub lines: Vec<Reservation>,
}

/// Goods set aside for a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reservation {
    /// The line of the order.
    pub line_id: LineId,
    /// What is set aside.
    pub sku: Sku,
    /// Where it lies.
    pub location: LocationCode,
    /// Of which lot, where lots are kept apart.
    pub lot: Option<String>,
    /// Pieces.
    pub quantity: i64,
}

/// Not everything was there; nothing is reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReservationRefused {
    /// What was short.
    pub shortages: Vec<Shortage>,
}

/// What was wanted and not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Shortage {
    /// What was short.
    pub sku: Sku,
    /// Where it was wanted.
    pub location: LocationCode,
    /// Pieces wanted.
    pub wanted: i64,
    /// What was free when it was refused; 0 for an SKU never seen.
    pub available: i64,
}

/// What was reserved is free again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StockReleased {
    /// What is free again.
    pub lines: Vec<Reservation>,
}

/// The order is to be cancelled. Whether it is, a later event says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CancelRequested {
    /// The vault's entry of the reason as it was typed, if one was given.
    pub note_id: Option<Uuid>,
}

/// The order's end: nothing was shipped, and what was done is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OrderCancelled {
    /// Why.
    pub reason: CancelReason,
}

/// Why an order ends without a shipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OrderCompleted {}

/// The key under which the customer's data was sealed is destroyed. The order's history stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CustomerErased {
    /// Whose key it was.
    pub person_id: Uuid,
}
