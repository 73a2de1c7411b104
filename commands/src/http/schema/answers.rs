//! What is answered.
use super::{
    ErasureStatus, FulfillmentStage, LocationCode, Mode, Money, OrderStatus, Position, ProblemCode, SagaState,
    described,
};
use utoipa::ToSchema;

described! {
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
        /// `true` when it was only asked what would be done.
        dry_run: Option<bool>,
        /// Of a dry run, for people.
        would: Option<String>,
        /// Of a dry run, for programs, in order.
        effects: Option<Vec<String>>,
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
        "state": "RUNNING", "step": "capture_payment", "supported_actions": ["pause"], "position": "126", "changed": true}))]
    ToSchema Saga {
        saga_id: String,
        order_id: String,
        state: SagaState,
        step: String,
        /// What it can be asked for now.
        supported_actions: Vec<String>,
        position: Position,
        /// `false` when it was so already, so that nothing was written; a repeat says what the first said.
        changed: bool,
        /// `true` when it was only asked what would be done.
        dry_run: Option<bool>,
        /// Of a dry run, for people: `will void the authorization of 49.00 USD, release 2 SKUs and cancel the order`.
        would: Option<String>,
        /// Of a dry run, for programs, in order: for example `void_authorization`, `release_stock`, `cancel`.
        effects: Option<Vec<String>>,
    }

    #[schema(example = json!({"return_id": "ret_019a3f0e6d1c7b50a2b1c3d4e5f60718_1", "order_id": "ord_019a3f0e6d1c7b50a2b1c3d4e5f60718",
        "stage": "REQUESTED", "position": "131"}))]
    ToSchema Return {
        return_id: String,
        order_id: String,
        /// `REQUESTED`, `APPROVED`, `IN_TRANSIT`, `RECEIVED`, `INSPECTED`, `REFUNDED`, `COMPLETED`, `CLOSING` or `CLOSED`.
        stage: String,
        /// What is or will be given back, once that is known.
        refund: Option<Money>,
        position: Position,
        /// `true` when it was only asked what would be done.
        dry_run: Option<bool>,
        /// Of a dry run, for people.
        would: Option<String>,
        /// Of a dry run, for programs, in order.
        effects: Option<Vec<String>>,
    }

    #[schema(example = json!({"customer_ref": "hh-900", "status": "WAITING", "open_orders": ["ord_019a3f0e6d1c7b50a2b1c3d4e5f60718"],
        "open_order_count": 1, "requested_at": "2026-11-24T02:30:00.000000Z", "position": "127"}))]
    ToSchema Erasure {
        customer_ref: String,
        status: ErasureStatus,
        /// What it waits for, oldest first; at most 100 are named.
        open_orders: Vec<String>,
        open_order_count: u64,
        requested_at: String,
        /// Once it is done.
        erased_at: Option<String>,
        /// Where in the log the request is.
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
        /// Of a ref that is taken: whether it was used with this very body.
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
}
