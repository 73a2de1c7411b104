//! The bodies, parameters and answers as OpenAPI describes them. A test holds them against what is really read.
mod answers;
mod bodies;
mod parameters;

pub(crate) use answers::{Erasure, Fulfillment, Location, Order, Problem, Recorded, Return, Saga};
pub(crate) use bodies::{
    Adjustment, InspectReturn, MarkDone, Packed, Picked, PlaceOrder, Reason, Receipt, ReceiveReturn, RequestReturn,
    SetLocation, Shipped, Skip,
};
pub(crate) use parameters::{
    CustomerPath, DryRunQuery, FindQuery, FulfillmentPath, LocationPath, OrderPath, Prefer, ReturnPath, SagaPath,
    ShopQuery, WaitQuery, WaybillSource,
};

use super::problem::Code;
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! described {
    ($($(#[$attribute:meta])* $derive:ident $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty),+ $(,)? })+) => {
        $(#[derive($derive)]
        $(#[$attribute])*
        #[expect(dead_code, reason = "a description: bodies are read by hand and answers written by others")]
        pub(crate) struct $name { $($(#[$field_attribute])* $field: $type),+ })+
    };
}
pub(crate) use described;

/// A decimal of at most the currency's digits, without sign or exponent.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^[0-9]+(\.[0-9]+)?$", example = "10.90")]
#[expect(dead_code, reason = "a description")]
pub(crate) struct Money(String);

/// A place in the log; opaque, compared only within one log.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[0-9]+$", example = "123")]
#[expect(dead_code, reason = "a description")]
pub(crate) struct Position(String);

macro_rules! words {
    ($($(#[$attribute:meta])* $name:ident { $($variant:ident = $word:literal),+ })+) => {
        $(#[derive(Serialize, ToSchema)]
        $(#[$attribute])*
        #[expect(dead_code, reason = "a description")]
        pub(crate) enum $name { $(#[serde(rename = $word)] $variant),+ })+
    };
}

words! {
    ChargeKind { Shipping = "shipping", Tax = "tax", Fee = "fee", Discount = "discount", GiftCard = "gift_card" }
    /// What to do when stock falls short: cancel the whole order.
    OnShortage { Cancel = "CANCEL" }
    Mode { Auto = "AUTO", Manual = "MANUAL" }
    LocationCode { Main = "main" }
    OrderStatus {
        Placed = "PLACED", OnHold = "ON_HOLD", Backordered = "BACKORDERED", Allocated = "ALLOCATED", Authorized = "AUTHORIZED",
        Released = "RELEASED", PartiallyShipped = "PARTIALLY_SHIPPED", Shipped = "SHIPPED", Completed = "COMPLETED",
        Cancelling = "CANCELLING", Cancelled = "CANCELLED"
    }
    FulfillmentStage {
        ToPick = "TO_PICK", Picking = "PICKING", Picked = "PICKED", Packed = "PACKED", Shipped = "SHIPPED", Cancelled = "CANCELLED"
    }
    ErasureStatus { Waiting = "WAITING", Erasing = "ERASING", Erased = "ERASED" }
    SagaState {
        Running = "RUNNING", Waiting = "WAITING", Paused = "PAUSED", Compensating = "COMPENSATING", Completed = "COMPLETED",
        Compensated = "COMPENSATED"
    }
}

/// What went wrong, to branch on. Clients must tolerate new ones.
#[derive(ToSchema)]
#[schema(value_type = String)]
#[expect(dead_code, reason = "a description")]
pub(crate) struct ProblemCode(Code);
