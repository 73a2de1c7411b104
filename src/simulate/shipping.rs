//! The carrier's paths.
//!
//! `POST /v1/labels`, `/v1/voids` and `/v1/erasures` with an `Idempotency-Key`, bodies as in the port; `GET
//! /v1/rates?country=…&parcels=…` and `GET /v1/labels/{id}`.

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use sagas::participants::shipping::{
    Label, LabelRequest, LabelVoided, Rate, RateRequest, ShippingOutcome, ShippingSimulator, Tracking, VoidLabelRequest,
};
use sagas::participants::{ForgetRequest, Forgotten};

use super::ledger;
use super::problem::{Problem, key, parse};

type Answer<T> = Result<Json<T>, Problem>;

pub(super) fn routes(simulator: ShippingSimulator) -> Router {
    Router::new()
        .route("/v1/labels", post(label))
        .route("/v1/labels/{id}", get(track))
        .route("/v1/voids", post(void))
        .route("/v1/erasures", post(forget))
        .route("/v1/rates", get(rates))
        .route("/v1/operations/{key}", get(operation))
        .route("/ledger", get(ledger::read::<ShippingSimulator>))
        .route("/control", get(ledger::state::<ShippingSimulator>).post(ledger::control::<ShippingSimulator>))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(simulator)
}

async fn rates(
    State(simulator): State<ShippingSimulator>,
    request: Result<Query<RateRequest>, QueryRejection>,
) -> Answer<Vec<Rate>> {
    let Query(request) = request.map_err(|error| Problem::malformed(error.body_text()))?;
    Ok(Json(simulator.rate(&request).await?))
}

async fn label(State(simulator): State<ShippingSimulator>, headers: HeaderMap, body: Bytes) -> Answer<Label> {
    let request = LabelRequest { key: key(&headers)?, ..parse(&body)? };
    Ok(Json(simulator.label(&request).await?))
}

async fn void(State(simulator): State<ShippingSimulator>, headers: HeaderMap, body: Bytes) -> Answer<LabelVoided> {
    let request = VoidLabelRequest { key: key(&headers)?, ..parse(&body)? };
    Ok(Json(simulator.void_label(&request).await?))
}

async fn track(State(simulator): State<ShippingSimulator>, Path(id): Path<String>) -> Answer<Tracking> {
    let tracking = simulator.track(&id).await?;
    tracking.map(Json).ok_or_else(|| Problem::not_found("there is no such label"))
}

async fn forget(State(simulator): State<ShippingSimulator>, headers: HeaderMap, body: Bytes) -> Answer<Forgotten> {
    let request = ForgetRequest { key: key(&headers)?, ..parse(&body)? };
    Ok(Json(simulator.forget(&request).await?))
}

async fn operation(State(simulator): State<ShippingSimulator>, Path(key): Path<String>) -> Answer<ShippingOutcome> {
    let outcome = simulator.query(&key).await?;
    outcome.map(Json).ok_or_else(|| Problem::not_found("nothing is known of this key"))
}
