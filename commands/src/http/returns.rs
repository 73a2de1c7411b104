//! Goods that come back: asked for by a shop or support, approved by them, received and inspected by the warehouse. What follows (labels,
//! refunds, restocking) is the return's saga.
use super::{
    App, answer,
    call::{self, Call},
    claimed::Claimed,
    id_in,
    operations::{
        APPROVE_RETURN, CANCEL_RETURN, INSPECT_RETURN, Operation, RECEIVE_RETURN, REJECT_RETURN, REQUEST_RETURN,
    },
    problem::Problem,
    replayed,
    sagas::{DryRun, forecast},
    standing::visible,
    validate::{
        self,
        fault::{Faults, Place},
        query::DRY_RUN,
        returned as body,
    },
};
use crate::{
    handler::Handled,
    history::{History, decode},
    personal::Note,
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use domain::{
    Event, OrderId, ReturnId,
    returns::{Command, InspectedLine, LineFault, Rejection, ReturnEvent, ReturnLine},
    saga::Which,
};
use eventstore::Position;
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;

const NONE: &str = "there is no such return";

#[derive(Serialize)]
struct Body {
    return_id: ReturnId,
    order_id: OrderId,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund: Option<String>,
    position: String,
}

impl Body {
    fn of(history: &History, number: u16, position: Position) -> Result<Body, Problem> {
        let state = &history.fulfillment;
        let this = state.returns.one(number).ok_or_else(|| Problem::not_found(NONE))?;
        let digits = state.order.placed.as_ref().map_or(2, |placed| placed.currency.digits);
        Ok(Body {
            return_id: history.order.returned(number),
            order_id: history.order,
            stage: this.stage().name(),
            refund: this.refund().map(|amount| amount.display(digits).to_string()),
            position: position.to_string(),
        })
    }
}

/// What is asked or reported, as its body says it.
enum Asked {
    Request(String, Option<Vec<ReturnLine>>),
    Approve(String),
    Reject(String),
    Cancel(String),
    Receive(Option<Vec<ReturnLine>>),
    Inspect(Option<Vec<InspectedLine>>),
}

impl Asked {
    fn reason(&self) -> Option<&String> {
        match self {
            Asked::Request(reason, _) | Asked::Approve(reason) | Asked::Reject(reason) | Asked::Cancel(reason) => {
                Some(reason)
            }
            Asked::Receive(_) | Asked::Inspect(_) => None,
        }
    }

    fn command(&self, number: u16, note_id: Option<Uuid>) -> Command {
        match self {
            Asked::Request(_, lines) => Command::Request { lines: lines.clone(), note_id },
            Asked::Approve(_) => Command::Approve { number, note_id },
            Asked::Reject(_) => Command::Reject { number, note_id },
            Asked::Cancel(_) => Command::Cancel { number, note_id },
            Asked::Receive(lines) => Command::Receive { number, lines: lines.clone() },
            Asked::Inspect(lines) => Command::Inspect { number, lines: lines.clone() },
        }
    }
}

/// Ask for goods to come back.
///
/// Of a completed order. Without lines: everything that has left and is not on its way back already.
#[utoipa::path(post, path = "/v1/orders/{id}/returns", tag = "returns", operation_id = "requestReturn",
    request_body = super::schema::RequestReturn,
    params(super::schema::OrderPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It waits to be approved.", body = super::schema::Return)))]
pub(super) async fn ask(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &REQUEST_RETURN, |json, faults| {
        body::request(json, faults).map(|(reason, lines)| Asked::Request(reason, lines))
    })
    .await
}

/// Approve a return.
///
/// The customer gets a label to send it back with.
#[utoipa::path(post, path = "/v1/returns/{id}/approve", tag = "returns", operation_id = "approveReturn",
    request_body = super::schema::Reason,
    params(super::schema::ReturnPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "A label is being bought.", body = super::schema::Return)))]
pub(super) async fn approve(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &APPROVE_RETURN, |json, faults| validate::reason(json, faults).map(Asked::Approve)).await
}

/// Reject a return.
#[utoipa::path(post, path = "/v1/returns/{id}/reject", tag = "returns", operation_id = "rejectReturn",
    request_body = super::schema::Reason,
    params(super::schema::ReturnPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It is being closed.", body = super::schema::Return)))]
pub(super) async fn reject(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &REJECT_RETURN, |json, faults| validate::reason(json, faults).map(Asked::Reject)).await
}

/// Cancel a return.
///
/// Possible until goods have come back. Its label is given back.
#[utoipa::path(post, path = "/v1/returns/{id}/cancel", tag = "returns", operation_id = "cancelReturn",
    request_body = super::schema::Reason,
    params(super::schema::ReturnPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It is being closed.", body = super::schema::Return)))]
pub(super) async fn cancel(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &CANCEL_RETURN, |json, faults| validate::reason(json, faults).map(Asked::Cancel)).await
}

/// Report what came back.
///
/// Without lines: all that was announced. From here on the return can't be cancelled.
#[utoipa::path(post, path = "/v1/returns/{id}/receive", tag = "returns", operation_id = "receiveReturn",
    request_body = super::schema::ReceiveReturn,
    params(super::schema::ReturnPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It waits to be inspected.", body = super::schema::Return)))]
pub(super) async fn receive(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &RECEIVE_RETURN, |json, faults| body::received(json, faults).map(Asked::Receive)).await
}

/// Report what was found of it.
///
/// Without lines: all of it is as good as new. What is restocked or written off is refunded, what is refused is not.
#[utoipa::path(post, path = "/v1/returns/{id}/inspect", tag = "returns", operation_id = "inspectReturn",
    request_body = super::schema::InspectReturn,
    params(super::schema::ReturnPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It is being refunded and put away.", body = super::schema::Return)))]
pub(super) async fn inspect(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &INSPECT_RETURN, |json, faults| body::inspected(json, faults).map(Asked::Inspect)).await
}

async fn perform(
    app: &App,
    request: Request,
    operation: &Operation,
    read: impl FnOnce(&validate::json::Json<'_>, &Faults) -> Option<Asked>,
) -> Result<Response, Problem> {
    let is_new = operation.path == REQUEST_RETURN.path;
    let (order, number) = match is_new {
        true => (id_in::<OrderId>(request.uri()), None),
        false => id_in::<ReturnId>(request.uri()).map(|id| (OrderId(id.order), id.number)).unzip(),
    };
    let (call, bytes, key) = Call::command(app, request, operation).await?;
    let json = call::parse(&bytes)?;
    let mut history = visible(app, &call, order, if is_new { "there is no such order" } else { NONE }).await?;
    if number.is_some_and(|number| history.fulfillment.returns.one(number).is_none()) {
        return Err(Problem::not_found(NONE));
    }
    let faults = Faults::default();
    call.query.only(&[DRY_RUN], &faults);
    let is_dry_run = call.query.flag(DRY_RUN, &faults);
    let source = call.source(&faults);
    let key = key.map_err(|fault| faults.push(fault)).ok();
    let asked = read(&json, &faults);
    let (asked, key) = faults.into_result(asked.zip(key)).map_err(Problem::invalid)?;
    let now = (app.clock)();
    if is_dry_run {
        let number = number.unwrap_or_else(|| history.fulfillment.returns.next_number());
        let events = history.fulfillment.returning(asked.command(number, None)).map_err(refusal)?;
        let forecast = forecast(app, &history, Which::Return(number), &events, now).await?;
        let mut then = history.clone();
        events.iter().for_each(|event| then.fulfillment.evolve(event));
        return answer(StatusCode::OK, &DryRun::new(Body::of(&then, number, history.position)?, &forecast));
    }

    let claimed = Claimed::take(app, &call, &history.shop, key, &json).await?;
    let sealed = match asked.reason() {
        Some(reason) => Note::of_order(&app.vault, &history, reason.clone()).await?,
        None => None,
    };
    let (note_id, note) = sealed.unzip();
    let metadata = call.metadata(app, history.order.0, source, now);
    let decide = |history: &History| history.fulfillment.returning(asked.command(number.unwrap_or(0), note_id));
    let position = match claimed.carry_out(app, &mut history, &metadata, Vec::from_iter(note), decide).await? {
        Handled::Written(appended) => appended.last,
        Handled::Unchanged => history.position,
        Handled::Repeated(position, _) => {
            let number = match number {
                Some(number) => number,
                None => asked_for_at(app, &history, position).await?,
            };
            return Ok(replayed(answer(StatusCode::OK, &Body::of(&history, number, position)?)?));
        }
        Handled::Rejected(rejection) => return Err(refusal(rejection)),
    };
    let number = number.unwrap_or_else(|| history.fulfillment.returns.next_number() - 1);
    answer(StatusCode::OK, &Body::of(&history, number, position)?)
}

/// The number of the return that was asked for by what was written at this position.
async fn asked_for_at(app: &App, history: &History, position: Position) -> Result<u16, Problem> {
    let events = app.store.read_streams(history.order.0).await?;
    for recorded in events.iter().filter(|recorded| recorded.position == position) {
        for event in &*decode(recorded)? {
            if let Event::Return(ReturnEvent::ReturnRequested(requested)) = event {
                return Ok(requested.number);
            }
        }
    }
    Err(Problem::internal("a return was asked for at a position where there is none"))
}

fn refusal(rejection: Rejection) -> Problem {
    let Rejection::Lines(lines) = rejection else { return Problem::not_allowed(rejection.to_string(), &[]) };
    let faults = Faults::default();
    let all = Place::Root.field("lines");
    for (n, fault) in lines {
        let place = all.item(n);
        match fault {
            LineFault::Unknown(_) => faults.add(&place.field("line_id"), "unknown_line", "there is no such line"),
            LineFault::Twice(_) => {
                faults.add(&place.field("line_id"), "duplicate_line_id", "this line is named before");
            }
            LineFault::NoQuantity(_) | LineFault::TooMany { .. } => {
                faults.add(&place.field("quantity"), "out_of_range", fault.to_string());
            }
            LineFault::NotAllFound { .. } => faults.add(&place, "sum_mismatch", fault.to_string()),
        }
    }
    let faults = faults.into_result(Some(())).err().unwrap_or_default();
    Problem::invalid(faults)
}
