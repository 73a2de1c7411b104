//! The table of routes: who may call each, and what can go wrong there. Authentication, routing, metrics and OpenAPI all read it.
use super::problem::Code;
use axum::http::Method;
use eventstore::{Lifetime, Role};

#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// Names the route in the scope of idempotency keys. Never changed.
    pub(crate) name: &'static str,
    pub(crate) roles: &'static [Role],
    /// What else than [`ALWAYS`] and, for a command, [`OF_COMMANDS`] it may answer.
    pub(crate) problems: &'static [Code],
}

/// What every operation may answer.
pub(crate) const ALWAYS: &[Code] =
    &[Code::Unauthenticated, Code::Forbidden, Code::Invalid, Code::Unavailable, Code::Internal];
/// What whatever takes a body may answer.
pub(crate) const OF_BODIES: &[Code] =
    &[Code::MalformedJson, Code::BodyTooLarge, Code::UnsupportedMediaType, Code::Timeout];
/// What every POST may answer.
pub(crate) const OF_COMMANDS: &[Code] = &[Code::KeyMissing, Code::KeyInFlight, Code::KeyReused];

const READERS: &[Role] = &[Role::Shop, Role::Support, Role::Operator];
const WAREHOUSE: &[Role] = &[Role::Warehouse];

macro_rules! operations {
    ($($name:ident = $method:ident $path:literal $route:literal $roles:expr, [$($problem:ident),*];)+) => {
        $(pub(crate) static $name: Operation = Operation {
            method: Method::$method, path: $path, name: $route, roles: $roles, problems: &[$(Code::$problem),*],
        };)+
        pub(crate) static OPERATIONS: &[&Operation] = &[$(&$name),+];
    };
}

operations! {
    PLACE_ORDER = POST "/v1/orders" "orders" &[Role::Shop], [OrderRefTaken];
    FIND_ORDER = GET "/v1/orders" "orders" READERS, [NotFound];
    READ_ORDER = GET "/v1/orders/{id}" "order" READERS, [NotFound];
    CANCEL_ORDER = POST "/v1/orders/{id}/cancel" "cancel" READERS, [NotFound, AlreadyShipped];
    SET_LOCATION = PUT "/v1/locations/{code}" "location" WAREHOUSE, [NotFound];
    RECEIVE_STOCK = POST "/v1/stock/receipts" "receipts" WAREHOUSE, [ReceiptRefTaken];
    ADJUST_STOCK = POST "/v1/stock/adjustments" "adjustments" WAREHOUSE, [AdjustmentRefTaken, NotAllowed];
    PICK = POST "/v1/fulfillments/{id}/pick" "pick" WAREHOUSE, [NotFound, NotAllowed];
    PACK = POST "/v1/fulfillments/{id}/pack" "pack" WAREHOUSE, [NotFound, NotAllowed];
    SHIP = POST "/v1/fulfillments/{id}/ship" "ship" WAREHOUSE, [NotFound, NotAllowed];
    REQUEST_RETURN = POST "/v1/orders/{id}/returns" "returns" READERS, [NotFound, NotAllowed];
    APPROVE_RETURN = POST "/v1/returns/{id}/approve" "approve-return" READERS, [NotFound, NotAllowed];
    REJECT_RETURN = POST "/v1/returns/{id}/reject" "reject-return" READERS, [NotFound, NotAllowed];
    CANCEL_RETURN = POST "/v1/returns/{id}/cancel" "cancel-return" READERS, [NotFound, NotAllowed];
    RECEIVE_RETURN = POST "/v1/returns/{id}/receive" "receive-return" WAREHOUSE, [NotFound, NotAllowed];
    INSPECT_RETURN = POST "/v1/returns/{id}/inspect" "inspect-return" WAREHOUSE, [NotFound, NotAllowed];
    ERASE_CUSTOMER = POST "/v1/shops/{shop}/customers/{ref}/erase" "erase" &[Role::Operator], [NotFound];
    READ_ERASURE = GET "/v1/shops/{shop}/customers/{ref}/erasure" "erasure" &[Role::Support, Role::Operator], [NotFound];
    RETRY_SAGA = POST "/v1/sagas/{id}/retry" "retry" &[Role::Operator], [NotFound, NotAllowed];
    SKIP_SAGA = POST "/v1/sagas/{id}/skip" "skip" &[Role::Operator], [NotFound, NotAllowed];
    MARK_DONE_SAGA = POST "/v1/sagas/{id}/mark-done" "mark-done" &[Role::Operator], [NotFound, NotAllowed];
    COMPENSATE_SAGA = POST "/v1/sagas/{id}/compensate" "compensate" &[Role::Operator], [NotFound, NotAllowed, AlreadyShipped];
    PAUSE_SAGA = POST "/v1/sagas/{id}/pause" "pause" &[Role::Operator], [NotFound, NotAllowed];
    RESUME_SAGA = POST "/v1/sagas/{id}/resume" "resume" &[Role::Operator], [NotFound, NotAllowed];
}

impl Operation {
    /// How long the keys of its requests are remembered. For a day where the same request again, later than that, does no harm: it finds
    /// done what it asks for, or its ref taken, or is refused. An order's key lives as long as the order; and so do those of staff's
    /// reports, since "two of line 1 were picked" said twice would count twice, and of what an operator said of a step: later, another may have
    /// stopped. An erasure's lives for ever: later on, the same ref stands
    /// for someone else.
    pub(crate) fn key_lifetime(&self) -> Lifetime {
        match self.name {
            "orders" | "pick" | "pack" | "ship" | "erase" | "skip" | "mark-done" | "compensate" | "returns" => {
                Lifetime::Forever
            }
            _ => Lifetime::Day,
        }
    }

    pub(crate) fn codes(&self) -> impl Iterator<Item = Code> {
        let has_body = self.method != Method::GET;
        let is_command = self.method == Method::POST;
        let of = |holds, codes: &'static [Code]| if holds { codes } else { &[] };
        let shared = ALWAYS.iter().chain(of(has_body, OF_BODIES)).chain(of(is_command, OF_COMMANDS));
        shared.chain(self.problems).copied()
    }
}

/// A route's pattern for a metric's label; never a path as it was asked for.
pub(crate) fn route_label(pattern: Option<&str>) -> &'static str {
    let known = pattern.and_then(|pattern| OPERATIONS.iter().map(|o| o.path).find(|path| *path == pattern));
    known.unwrap_or(if pattern == Some("/openapi.json") { "/openapi.json" } else { "other" })
}
