//! An order cancelled by its shop or by support, unless its goods have left.
use super::{
    App, answer,
    call::{self, Call},
    claimed::Claimed,
    id_in,
    operations::CANCEL_ORDER,
    problem::{Code, Problem},
    replayed,
    sagas::{DryRun, forecast},
    standing::{OrderBody, visible},
    validate::{self, fault::Faults, query::DRY_RUN},
};
use crate::{handler::Handled, history::History, personal::Note};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use domain::{order::Rejection, saga::Which};
use std::sync::Arc;

/// Cancel an order.
///
/// Whatever was done for it is undone: goods recalled and released, money let go. Cancelled again, it answers 200.
#[utoipa::path(post, path = "/v1/orders/{id}/cancel", tag = "orders", operation_id = "cancelOrder",
    request_body = super::schema::Reason,
    params(super::schema::OrderPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses(
        (status = 202, description = "It will be cancelled: status `CANCELLING`.", body = super::schema::Order),
        (status = 200, description = "That was asked for before: the order as it stands.", body = super::schema::Order)))]
pub(super) async fn cancel(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let id = id_in(request.uri());
    let (call, bytes, key) = Call::command(&app, request, &CANCEL_ORDER).await?;
    let json = call::parse(&bytes)?;
    let mut history = visible(&app, &call, id, "there is no such order").await?;

    let faults = Faults::default();
    call.query.only(&[DRY_RUN], &faults);
    let is_dry_run = call.query.flag(DRY_RUN, &faults);
    let source = call.source(&faults);
    let key = key.map_err(|fault| faults.push(fault)).ok();
    let reason = validate::reason(&json, &faults);
    let (reason, key) = faults.into_result(reason.zip(key)).map_err(Problem::invalid)?;

    if is_dry_run {
        let events = history.fulfillment.request_cancel(None).map_err(|rejection| refusal(&history, rejection))?;
        let forecast = forecast(&app, &history, Which::Fulfillment, &events, (app.clock)()).await?;
        return answer(StatusCode::OK, &DryRun::new(OrderBody::of(&history), &forecast));
    }

    let claimed = Claimed::take(&app, &call, &history.shop, key, &json).await?;
    let (note_id, note) = Note::of_order(&app.vault, &history, reason).await?.unzip();
    let metadata = call.metadata(&app, history.order.0, source, (app.clock)());
    let decide = |history: &History| history.fulfillment.request_cancel(note_id);
    match claimed.carry_out(&app, &mut history, &metadata, Vec::from_iter(note), decide).await? {
        Handled::Written(_) => answer(StatusCode::ACCEPTED, &OrderBody::of(&history)),
        Handled::Unchanged => answer(StatusCode::OK, &OrderBody::of(&history)),
        Handled::Repeated(position, version) => {
            let body = OrderBody { position, version: version.0, ..OrderBody::of(&history) };
            Ok(replayed(answer(StatusCode::OK, &body)?))
        }
        Handled::Rejected(rejection) => Err(refusal(&history, rejection)),
    }
}

fn refusal(history: &History, rejection: Rejection) -> Problem {
    match rejection {
        Rejection::AlreadyShipped => {
            let detail = "the goods have left; what comes back is a return";
            Problem::new(Code::AlreadyShipped, detail).with("order_id", history.order.to_string().into())
        }
        rejection => Problem::internal(rejection),
    }
}
