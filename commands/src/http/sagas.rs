//! What operators may ask of a saga: so far, that it tries again.
use super::{
    App, answer,
    call::{self, Call},
    id_in,
    idempotency::Turn,
    operations::RETRY_SAGA,
    problem::Problem,
    replayed,
    standing::visible,
    validate::{self, fault::Faults},
};
use crate::{
    handler::{Handled, handle},
    history::{Change, History},
    personal::Note,
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use domain::{Event, OrderId, SagaId};
use eventstore::Position;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct Body {
    saga_id: SagaId,
    order_id: OrderId,
    state: &'static str,
    step: &'static str,
    position: String,
}

impl Body {
    fn of(history: &History, position: Position) -> Body {
        Body {
            saga_id: history.order.saga(),
            order_id: history.order,
            state: history.fulfillment.saga_state().name(),
            step: history.fulfillment.step().name(),
            position: position.to_string(),
        }
    }
}

/// Let a paused saga try again.
///
/// After a definite no of a participant the step is tried under a new key; else under the same.
#[utoipa::path(post, path = "/v1/sagas/{id}/retry", tag = "sagas", operation_id = "retrySaga",
    request_body = super::schema::Reason,
    params(super::schema::SagaPath, super::schema::WaybillSource),
    responses((status = 200, description = "It goes on.", body = super::schema::Saga)))]
pub(super) async fn retry(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let id = id_in::<SagaId>(request.uri()).map(SagaId::order);
    let (call, bytes, key) = Call::command(&app, request, &RETRY_SAGA).await?;
    let json = call::parse(&bytes)?;
    let mut history = visible(&app, &call, id, "there is no such saga").await?;

    let faults = Faults::default();
    call.query.only(&[], &faults);
    let source = call.source(&faults);
    let key = key.map_err(|fault| faults.push(fault)).ok();
    let reason = validate::reason(&json, &faults);
    let (reason, key) = faults.into_result(reason.zip(key)).map_err(Problem::invalid)?;

    let claim = call.claim(&app, &history.shop, key, &json);
    let guard = match app.in_flight.turn(&app, &claim).await? {
        Turn::First(guard) => Some(guard),
        Turn::Repeat(_) => None,
    };
    let (note_id, note) = Note::seal(&app.vault, &history.shop, reason).await?;
    let now = (app.clock)();
    let metadata = call.metadata(&app, history.order.0, source, now);
    let timer = history.due(now);
    let change = || Change { vault: vec![note.clone()], timers: vec![timer.clone()], ..Change::default() };
    let decide = |history: &History| -> Result<Vec<Event>, &'static str> {
        let event = history.fulfillment.request_retry(Some(note_id));
        event.map(|event| vec![event]).ok_or(history.fulfillment.saga_state().name())
    };
    let handled = handle(&*app.store, &mut history, &metadata, &claim, change, decide).await?;
    drop(guard);
    if let Handled::Written(appended) = &handled {
        app.changed(history.order, appended.last);
    }
    match handled {
        Handled::Written(appended) => answer(StatusCode::OK, &Body::of(&history, appended.last)),
        Handled::Unchanged => answer(StatusCode::OK, &Body::of(&history, history.position)),
        Handled::Repeated(position, _) => Ok(replayed(answer(StatusCode::OK, &Body::of(&history, position))?)),
        Handled::Rejected(state) => {
            Err(Problem::not_allowed(format!("the saga is {state}; only a PAUSED one waits to be tried again"), &[]))
        }
    }
}
