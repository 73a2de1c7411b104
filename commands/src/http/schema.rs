//! The bodies, parameters and answers as OpenAPI describes them. A test holds them against what is really read.
use super::problem::Code;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

macro_rules! described {
    ($($(#[$attribute:meta])* $derive:ident $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty),+ $(,)? })+) => {
        $(#[derive($derive)]
        $(#[$attribute])*
        #[expect(dead_code, reason = "a description: bodies are read by hand and answers written by others")]
        pub(crate) struct $name { $($(#[$field_attribute])* $field: $type),+ })+
    };
}

described! {
    /// An order as a shop sends it. Unknown fields are refused, at any depth; so is U+0000 in any text.
    #[schema(example = json!({"order_ref": "cj-31198570044", "placed_at": "2017-01-01T11:53:26", "customer": {"ref": "hh-900"}, "currency": "USD",
        "lines": [{"sku": "1095275", "quantity": 1, "line_total": "0.50"}], "charges": [{"kind": "shipping", "amount": "4.90"}], "total": "5.40",
        "payment": {"method": "card", "token": "tok_ok"}}))]
    ToSchema PlaceOrder {
        /// The shop's own name for the order; unique within the shop, for ever.
        #[schema(min_length = 1, max_length = 255)]
        order_ref: String,
        /// RFC 3339; without an offset it is in the shop's time zone. By default when we received it.
        placed_at: Option<String>,
        #[schema(min_length = 1, max_length = 255)]
        channel: Option<String>,
        #[schema(min_length = 1, max_length = 255)]
        store_ref: Option<String>,
        /// Required, unless `customer_ref` stands for it.
        customer: Option<Customer>,
        /// `customer.ref` for short.
        #[schema(min_length = 1, max_length = 255)]
        customer_ref: Option<String>,
        /// Required when the shop has no default and the total is not 0.
        ship_to: Option<Address>,
        billing: Option<Address>,
        /// ISO 4217.
        #[schema(min_length = 3, max_length = 3)]
        currency: String,
        #[schema(min_items = 1, max_items = 500)]
        lines: Vec<OrderLine>,
        #[schema(max_items = 1000)]
        charges: Option<Vec<Charge>>,
        /// Then tax is information only, and no part of the total.
        #[schema(default = false)]
        prices_include_tax: Option<bool>,
        /// Must be what lines and charges come to, if given.
        total: Option<Money>,
        #[schema(min_length = 1, max_length = 255)]
        shipping_method: Option<String>,
        promise: Option<Promise>,
        #[schema(default = 0)]
        priority: Option<i32>,
        on_shortage: Option<OnShortage>,
        /// Required when the shop has no default and the total is not 0.
        payment: Option<Payment>,
        client: Option<Client>,
        /// Any JSON object, of at most 16 KiB.
        #[schema(value_type = Option<Object>)]
        metadata: Option<()>,
    }

    ToSchema Customer {
        /// The shop's own name for the customer. Required, unless `customer_ref` stands for it.
        #[schema(min_length = 1, max_length = 255)]
        r#ref: Option<String>,
        #[schema(min_length = 1, max_length = 1000)]
        name: Option<String>,
        #[schema(min_length = 1, max_length = 1000)]
        email: Option<String>,
        #[schema(min_length = 1, max_length = 1000)]
        phone: Option<String>,
    }

    ToSchema Address {
        #[schema(min_length = 1, max_length = 1000)]
        name: Option<String>,
        #[schema(min_length = 1, max_length = 1000)]
        line1: Option<String>,
        #[schema(min_length = 1, max_length = 1000)]
        line2: Option<String>,
        #[schema(min_length = 1, max_length = 1000)]
        city: Option<String>,
        #[schema(min_length = 1, max_length = 1000)]
        region: Option<String>,
        #[schema(min_length = 1, max_length = 255)]
        postal_code: Option<String>,
        /// ISO 3166-1 alpha-2.
        #[schema(pattern = "^[A-Z]{2}$")]
        country: String,
    }

    ToSchema OrderLine {
        /// Unique within the order; by default the line's number, from 1.
        #[schema(min_length = 1, max_length = 255)]
        line_id: Option<String>,
        #[schema(min_length = 1, max_length = 255)]
        sku: String,
        #[schema(minimum = 1, maximum = 1000000)]
        quantity: i64,
        /// What is paid for the whole line, net of `discount`.
        line_total: Money,
        /// Information, never subtracted.
        discount: Option<Money>,
        #[schema(min_length = 1, max_length = 255)]
        unit: Option<String>,
    }

    ToSchema Charge {
        kind: ChargeKind,
        /// Without sign: `discount` and `gift_card` count as negative.
        amount: Money,
        /// The line it is for, if for one.
        #[schema(min_length = 1, max_length = 255)]
        line_id: Option<String>,
    }

    /// Times as `placed_at` has them.
    ToSchema Promise {
        ship_by: Option<String>,
        deliver_by: Option<String>,
    }

    ToSchema Payment {
        #[schema(min_length = 1, max_length = 255, default = "card")]
        method: Option<String>,
        /// What the payment provider is shown.
        #[schema(min_length = 1, max_length = 1000)]
        token: String,
        #[schema(min_length = 1, max_length = 1000)]
        fingerprint: Option<String>,
    }

    ToSchema Client {
        #[schema(min_length = 1, max_length = 255)]
        ip: Option<String>,
        #[schema(min_length = 1, max_length = 1000)]
        user_agent: Option<String>,
    }

    /// Why; kept apart from the history, under the key of the person that it is about.
    #[schema(example = json!({"reason": "the customer called"}))]
    ToSchema Reason {
        #[schema(min_length = 1, max_length = 2000)]
        reason: String,
    }

    #[schema(example = json!({"mode": "AUTO"}))]
    ToSchema SetLocation {
        mode: Mode,
    }

    #[schema(example = json!({"ref": "delivery-17", "location": "main", "lines": [{"sku": "1095275", "quantity": 40}]}))]
    ToSchema Receipt {
        /// Unique within the shop, for ever.
        #[schema(min_length = 1, max_length = 255)]
        r#ref: String,
        location: LocationCode,
        #[schema(min_items = 1, max_items = 500)]
        lines: Vec<ReceiptLine>,
    }

    ToSchema ReceiptLine {
        #[schema(min_length = 1, max_length = 255)]
        sku: String,
        #[schema(minimum = 1, maximum = 1000000000)]
        quantity: i64,
    }

    #[schema(example = json!({"ref": "count-3", "location": "main", "sku": "1095275", "delta": -2, "reason": "broken"}))]
    ToSchema Adjustment {
        /// Unique within the shop, for ever.
        #[schema(min_length = 1, max_length = 255)]
        r#ref: String,
        location: LocationCode,
        #[schema(min_length = 1, max_length = 255)]
        sku: String,
        /// Not 0.
        #[schema(minimum = -1000000000, maximum = 1000000000)]
        delta: i64,
        #[schema(min_length = 1, max_length = 2000)]
        reason: String,
    }

    ToSchema Picked {
        /// Everything that is left, when absent.
        #[schema(min_items = 1, max_items = 500)]
        lines: Option<Vec<LineQuantity>>,
        /// When it was done; by default now.
        occurred_at: Option<String>,
    }

    ToSchema Packed {
        /// Everything that is left, when absent.
        #[schema(min_items = 1, max_items = 500)]
        lines: Option<Vec<LineQuantity>>,
        #[schema(min_items = 1, max_items = 100)]
        parcels: Option<Vec<PackedParcel>>,
        /// When it was done; by default now.
        occurred_at: Option<String>,
    }

    #[schema(example = json!({"carrier": "UPS", "tracking_number": "1Z999AA10123456784"}))]
    ToSchema Shipped {
        /// Everything that is left, when absent.
        #[schema(min_items = 1, max_items = 500)]
        lines: Option<Vec<LineQuantity>>,
        /// One, when absent.
        #[schema(min_items = 1, max_items = 100)]
        parcels: Option<Vec<Parcel>>,
        /// Of every parcel that says none of its own.
        #[schema(min_length = 1, max_length = 255)]
        carrier: Option<String>,
        /// Of every parcel that says none of its own.
        #[schema(min_length = 1, max_length = 255)]
        tracking_number: Option<String>,
        /// When it was done; by default now.
        occurred_at: Option<String>,
    }

    ToSchema LineQuantity {
        #[schema(min_length = 1, max_length = 255)]
        line_id: String,
        #[schema(minimum = 1, maximum = 1000000)]
        quantity: i64,
    }

    ToSchema PackedParcel {
        #[schema(minimum = 1, maximum = 100000000)]
        weight_grams: Option<i64>,
    }

    ToSchema Parcel {
        #[schema(minimum = 1, maximum = 100000000)]
        weight_grams: Option<i64>,
        #[schema(min_length = 1, max_length = 255)]
        carrier: Option<String>,
        #[schema(min_length = 1, max_length = 255)]
        tracking_number: Option<String>,
    }

    /// An order as it stands. Clients must tolerate new fields and new statuses.
    #[schema(example = json!({"order_id": "ord_019a3f0e6d1c7b50a2b1c3d4e5f60718", "order_ref": "cj-31198570044", "status": "PLACED",
        "status_reason": null, "position": "123", "version": 1}))]
    ToSchema Order {
        #[schema(pattern = "^ord_[0-9a-f]{32}$")]
        order_id: String,
        order_ref: String,
        status: OrderStatus,
        /// For example `out_of_stock`; null when there is nothing to explain.
        #[schema(required = true)]
        status_reason: Option<String>,
        /// Where in the log: of what the command wrote, or, when read, of the order's last event.
        position: Position,
        /// How many events the order's own stream held at `position`.
        version: i32,
    }

    ToSchema Location {
        location: LocationCode,
        mode: Mode,
        position: Position,
    }

    #[schema(example = json!({"ref": "delivery-17", "position": "124"}))]
    ToSchema Recorded {
        r#ref: String,
        position: Position,
    }

    #[schema(example = json!({"fulfillment_id": "ful_019a3f0e6d1c7b50a2b1c3d4e5f60718", "order_id": "ord_019a3f0e6d1c7b50a2b1c3d4e5f60718",
        "stage": "PICKED", "position": "125"}))]
    ToSchema Fulfillment {
        fulfillment_id: String,
        order_id: String,
        stage: FulfillmentStage,
        position: Position,
    }

    #[schema(example = json!({"saga_id": "sag_019a3f0e6d1c7b50a2b1c3d4e5f60718", "order_id": "ord_019a3f0e6d1c7b50a2b1c3d4e5f60718",
        "state": "RUNNING", "step": "capture_payment", "position": "126"}))]
    ToSchema Saga {
        saga_id: String,
        order_id: String,
        state: SagaState,
        step: String,
        position: Position,
    }

    /// RFC 9457. `code` tells what it is; some codes add members of their own.
    #[schema(example = json!({"type": "urn:waybill:problem:invalid", "title": "The request has faults", "status": 422, "detail": "1 fault", "instance": "/v1/orders",
        "code": "invalid", "request_id": "019a3f0e6d1c7b50a2b1c3d4e5f60718",
        "errors": [{"path": "/lines/0/quantity", "code": "out_of_range", "message": "must be from 1 to 1000000"}]}))]
    ToSchema Problem {
        r#type: String,
        title: String,
        status: u16,
        detail: String,
        /// The path that was asked for.
        instance: String,
        code: ProblemCode,
        request_id: String,
        /// Of `invalid`: every fault.
        errors: Option<Vec<Fault>>,
        /// Of `order_ref_taken`: the order that has it. Of `already_shipped`: the order.
        order_id: Option<String>,
        /// Of `order_ref_taken`: whether it was placed with this very body.
        same_body: Option<bool>,
        /// Of `not_allowed`: what can be done instead.
        supported_actions: Option<Vec<String>>,
        /// Of a ref that several shops have: which.
        candidates: Option<Vec<Candidate>>,
    }

    ToSchema Fault {
        /// A JSON Pointer into the body; `/query/NAME` and `/headers/NAME` for parameters.
        path: String,
        /// For example `required`, `unknown_field`, `wrong_type`, `out_of_range`, `total_mismatch`.
        code: String,
        message: String,
    }

    ToSchema Candidate {
        shop: String,
        order_id: String,
    }

    #[into_params(parameter_in = Path)]
    IntoParams OrderPath {
        /// `ord_` and 32 hexadecimal digits.
        id: String,
    }

    #[into_params(parameter_in = Path)]
    IntoParams FulfillmentPath {
        /// `ful_` and 32 hexadecimal digits.
        id: String,
    }

    #[into_params(parameter_in = Path)]
    IntoParams SagaPath {
        /// `sag_` and 32 hexadecimal digits.
        id: String,
    }

    #[into_params(parameter_in = Path)]
    IntoParams LocationPath {
        /// `main`.
        code: String,
    }

    #[into_params(parameter_in = Query)]
    IntoParams ShopQuery {
        /// Whose stock it is; by default the key's shop, or the only shop.
        shop: Option<String>,
    }

    #[into_params(parameter_in = Query)]
    IntoParams WaitQuery {
        /// Seconds to wait for the order's end.
        #[param(minimum = 0, maximum = 60)]
        wait: Option<u64>,
    }

    #[into_params(parameter_in = Query)]
    IntoParams FindQuery {
        /// The shop's own name for the order.
        r#ref: String,
        /// For keys that are not a shop's.
        shop: Option<String>,
    }

    #[into_params(parameter_in = Header)]
    IntoParams Prefer {
        /// RFC 7240: `wait=N`, N up to 60: answer when the order has ended, or after N seconds.
        #[param(rename = "Prefer", example = "wait=10")]
        prefer: Option<String>,
    }

    #[into_params(parameter_in = Header)]
    IntoParams WaybillSource {
        /// `import` when the call comes from an import; it is kept with the events.
        #[param(rename = "Waybill-Source", default = "api")]
        source: Option<String>,
    }
}

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
