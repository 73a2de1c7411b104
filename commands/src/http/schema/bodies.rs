//! What is sent.
use super::{ChargeKind, LocationCode, Mode, Money, OnShortage, described};
use utoipa::ToSchema;

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

    /// Why, and what shows that the step needn't be done; both kept apart from the history.
    #[schema(example = json!({"reason": "settled by phone", "evidence": "bank transfer 4711 of 2026-11-24, booked"}))]
    ToSchema Skip {
        #[schema(min_length = 1, max_length = 2000)]
        reason: String,
        #[schema(min_length = 1, max_length = 2000)]
        evidence: String,
    }

    /// Why, and where it was done.
    #[schema(example = json!({"reason": "captured in the provider's console", "reference": "cap_9f1"}))]
    ToSchema MarkDone {
        #[schema(min_length = 1, max_length = 2000)]
        reason: String,
        /// The participant's own reference: of the authorization, the capture, the void; of a parcel its tracking number.
        #[schema(min_length = 1, max_length = 255)]
        reference: String,
        /// Of a parcel: who carries it.
        #[schema(min_length = 1, max_length = 255)]
        carrier: Option<String>,
    }

    /// What is to come back; no lines: everything that has left and is not on its way back already.
    #[schema(example = json!({"reason": "too small", "lines": [{"line_id": "1", "quantity": 1}]}))]
    ToSchema RequestReturn {
        #[schema(min_length = 1, max_length = 2000)]
        reason: String,
        #[schema(min_items = 1, max_items = 500)]
        lines: Option<Vec<LineQuantity>>,
    }

    /// What came; no lines: all that was announced. What did not come now is not awaited any more.
    #[schema(example = json!({"lines": [{"line_id": "1", "quantity": 1}]}))]
    ToSchema ReceiveReturn {
        #[schema(min_items = 1, max_items = 500)]
        lines: Option<Vec<LineQuantity>>,
    }

    /// What was found of every line that came; no lines: all of it is as good as new.
    #[schema(example = json!({"lines": [{"line_id": "1", "restock": 1, "write_off": 0, "refuse": 0}]}))]
    ToSchema InspectReturn {
        #[schema(min_items = 1, max_items = 500)]
        lines: Option<Vec<InspectedLine>>,
    }

    /// The three sum to what came of the line.
    ToSchema InspectedLine {
        #[schema(min_length = 1, max_length = 255)]
        line_id: String,
        /// Refunded, and for sale again.
        #[schema(minimum = 0, maximum = 1000000, default = 0)]
        restock: Option<i64>,
        /// Refunded, and lost.
        #[schema(minimum = 0, maximum = 1000000, default = 0)]
        write_off: Option<i64>,
        /// Not taken back, and not refunded.
        #[schema(minimum = 0, maximum = 1000000, default = 0)]
        refuse: Option<i64>,
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
}
