//! Goods in.
use super::{
    App, answer,
    call::{self, Call},
    operations::RECEIVE_STOCK,
    problem::{Code, Problem},
    replayed,
    validate::{fault::Faults, stock},
};
use crate::stock::{Recorded, StockError, record};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use domain::stock::StockReceived;
use eventstore::{Claim, Lifetime};
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;

#[derive(Serialize)]
pub(super) struct Body<'a> {
    pub(super) r#ref: &'a str,
    pub(super) position: String,
}

/// What a refused stock command is over HTTP; `taken` is the code when its ref was used before.
pub(super) fn problem(error: StockError, taken: Code) -> Problem {
    match error {
        StockError::KeyReused => Problem::key_reused(),
        StockError::RefTaken { same_body } => Problem::new(taken, "this ref was used before; a ref is unique for ever")
            .with("same_body", same_body.into()),
        StockError::History(error) => error.into(),
        StockError::Append(error) => error.into(),
    }
}

pub(super) fn recorded(reference: &str, recorded: Recorded) -> Result<Response, Problem> {
    let response = answer(StatusCode::OK, &Body { r#ref: reference, position: recorded.position.to_string() })?;
    Ok(if recorded.repeated { replayed(response) } else { response })
}

/// Record goods that came in.
///
/// `ref` is unique for ever: the same receipt again is harmless, however much later; under another key, or once its key is forgotten, it
/// answers 409 with `same_body`.
#[utoipa::path(post, path = "/v1/stock/receipts", tag = "stock", operation_id = "receiveStock",
    request_body = super::schema::Receipt,
    params(super::schema::ShopQuery, super::schema::WaybillSource),
    responses((status = 200, description = "Recorded, now or before.", body = super::schema::Recorded)))]
pub(super) async fn receive(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (call, bytes, key) = Call::command(&app, request, &RECEIVE_STOCK).await?;
    let json = call::parse(&bytes)?;
    let shop = call.meant_shop(&app).await?;

    let faults = Faults::default();
    call.query.only(&["shop"], &faults);
    let source = call.source(&faults);
    let shop = shop.map_err(|fault| faults.push(fault)).ok();
    let key = key.map_err(|fault| faults.push(fault)).ok();
    let receipt = stock::receipt(&json, &faults);
    let ((receipt, shop), key) = faults.into_result(receipt.zip(shop).zip(key)).map_err(Problem::invalid)?;

    let key = Claim { holder: receipt.reference.clone(), ..call.claim(&app, &shop.id, key, &json) };
    let reference = Claim {
        scope: format!("receipt_ref:{}", shop.id),
        key: receipt.reference.clone(),
        lifetime: Lifetime::Forever,
        ..key.clone()
    };
    let guard = app.in_flight.turn(&app, &key).await?.guard();
    let received = receipt.lines.into_iter().map(|(sku, quantity)| {
        let (location, receipt_ref) = (receipt.location.clone(), receipt.reference.clone());
        StockReceived { location, sku, lot: None, quantity, receipt_ref }.into()
    });
    let metadata = call.metadata(&app, Uuid::now_v7(), source, (app.clock)());
    let done = record(&*app.store, &shop.id, received.collect(), metadata, (&key, &reference), vec![]).await;
    drop(guard);
    recorded(&receipt.reference, done.map_err(|error| problem(error, Code::ReceiptRefTaken))?)
}
