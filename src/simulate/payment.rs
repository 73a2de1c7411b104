//! The payment provider's paths.
//!
//! `POST /v1/authorizations`, `/v1/captures`, `/v1/voids`, `/v1/refunds`, `/v1/erasures`: each with an `Idempotency-Key`, bodies as
//! in the port.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use sagas::participants::payment::{
    Authorization, AuthorizeRequest, Capture, CaptureRequest, PaymentOutcome, PaymentSimulator, Refund, RefundRequest,
    VoidRequest, Voided,
};
use sagas::participants::{ForgetRequest, Forgotten};

use super::ledger;
use super::problem::{Problem, key, parse};

type Answer<T> = Result<Json<T>, Problem>;

pub(super) fn routes(simulator: PaymentSimulator) -> Router {
    Router::new()
        .route("/v1/authorizations", post(authorize))
        .route("/v1/captures", post(capture))
        .route("/v1/voids", post(void))
        .route("/v1/erasures", post(forget))
        .route("/v1/refunds", post(refund))
        .route("/v1/operations/{key}", get(operation))
        .route("/ledger", get(ledger::read::<PaymentSimulator>))
        .route("/control", get(ledger::state::<PaymentSimulator>).post(ledger::control::<PaymentSimulator>))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(simulator)
}

async fn authorize(
    State(simulator): State<PaymentSimulator>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Authorization> {
    let request = AuthorizeRequest { key: key(&headers)?, ..parse(&body)? };
    Ok(Json(simulator.authorize(&request).await?))
}

async fn capture(State(simulator): State<PaymentSimulator>, headers: HeaderMap, body: Bytes) -> Answer<Capture> {
    let request = CaptureRequest { key: key(&headers)?, ..parse(&body)? };
    Ok(Json(simulator.capture(&request).await?))
}

async fn void(State(simulator): State<PaymentSimulator>, headers: HeaderMap, body: Bytes) -> Answer<Voided> {
    let request = VoidRequest { key: key(&headers)?, ..parse(&body)? };
    Ok(Json(simulator.void(&request).await?))
}

async fn refund(State(simulator): State<PaymentSimulator>, headers: HeaderMap, body: Bytes) -> Answer<Refund> {
    let request = RefundRequest { key: key(&headers)?, ..parse(&body)? };
    Ok(Json(simulator.refund(&request).await?))
}

async fn forget(State(simulator): State<PaymentSimulator>, headers: HeaderMap, body: Bytes) -> Answer<Forgotten> {
    let request = ForgetRequest { key: key(&headers)?, ..parse(&body)? };
    Ok(Json(simulator.forget(&request).await?))
}

async fn operation(State(simulator): State<PaymentSimulator>, Path(key): Path<String>) -> Answer<PaymentOutcome> {
    let outcome = simulator.query(&key).await?;
    outcome.map(Json).ok_or_else(|| Problem::not_found("nothing is known of this key"))
}
