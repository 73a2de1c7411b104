//! Goods found, lost or broken.
use super::{
    App,
    call::{self, Call},
    operations::ADJUST_STOCK,
    problem::{Code, Problem},
    receipts::{problem, recorded},
    validate::{fault::Faults, stock},
};
use crate::{personal::Note, stock::record};
use axum::{
    extract::{Request, State},
    response::Response,
};
use domain::stock::StockAdjusted;
use eventstore::{Claim, Lifetime};
use std::sync::Arc;
use uuid::Uuid;

/// Correct what is on a shelf.
///
/// `delta` is what was found (positive) or is missing (negative). What is reserved can't be taken away so far: 409 `not_allowed`.
/// `ref` is unique for ever: under another key, or once its key is forgotten, it answers 409 with `same_body`.
#[utoipa::path(post, path = "/v1/stock/adjustments", tag = "stock", operation_id = "adjustStock",
    request_body = super::schema::Adjustment,
    params(super::schema::ShopQuery, super::schema::WaybillSource),
    responses((status = 200, description = "Recorded, now or before.", body = super::schema::Recorded)))]
pub(super) async fn adjust(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (call, bytes, key) = Call::command(&app, request, &ADJUST_STOCK).await?;
    let json = call::parse(&bytes)?;
    let shop = call.meant_shop(&app).await?;

    let faults = Faults::default();
    call.query.only(&["shop"], &faults);
    let source = call.source(&faults);
    let shop = shop.map_err(|fault| faults.push(fault)).ok();
    let key = key.map_err(|fault| faults.push(fault)).ok();
    let adjustment = stock::adjustment(&json, &faults);
    let ((adjustment, shop), key) = faults.into_result(adjustment.zip(shop).zip(key)).map_err(Problem::invalid)?;
    let stock::Adjustment { reference: adjustment_ref, location, sku, delta, reason } = adjustment;

    let key = Claim { holder: adjustment_ref.clone(), ..call.claim(&app, &shop.id, key, &json) };
    let reference = Claim {
        scope: format!("adjustment_ref:{}", shop.id),
        key: adjustment_ref.clone(),
        lifetime: Lifetime::Forever,
        ..key.clone()
    };
    let guard = app.in_flight.turn(&app, &key).await?.guard();
    let (note_id, note) = Note::seal(&app.vault, &shop.id, reason).await?;
    let note_id = Some(note_id);
    let adjusted = StockAdjusted { location, sku, lot: None, delta, adjustment_ref: adjustment_ref.clone(), note_id };
    let metadata = call.metadata(&app, Uuid::now_v7(), source, (app.clock)());
    let done = record(&*app.store, &shop.id, vec![adjusted.into()], metadata, (&key, &reference), vec![note]).await;
    drop(guard);
    recorded(&adjustment_ref, done.map_err(|error| problem(error, Code::AdjustmentRefTaken))?)
}
