//! What operators may ask of a saga: to try again, to pass a step over, to take it as done, to undo everything, to stop, to go on.
//!
//! Which of them it can be asked for now, and what comes of it, is the saga's to say (`domain::saga::operator`). With `?dry_run=true` that is
//! all that happens: the answer tells what would be done.
use super::{
    App, answer,
    call::{self, Call},
    claimed::Claimed,
    id_in,
    operations::{COMPENSATE_SAGA, MARK_DONE_SAGA, Operation, PAUSE_SAGA, RESUME_SAGA, RETRY_SAGA, SKIP_SAGA},
    problem::{Code, Problem},
    replayed,
    standing::visible,
    validate::{
        self,
        fault::Faults,
        query::DRY_RUN,
        saga::{self as body, Asked},
    },
};
use crate::{handler::Handled, history::History, personal::Note};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use chrono::{DateTime, Utc};
use domain::{
    Event, OrderId,
    fulfillment::Forecast,
    saga::{
        AnySaga, Context, Effect, SagaRef, Which,
        operator::{Notes, Refused, Verb},
    },
};
use eventstore::{Position, VaultEntry};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct Body {
    /// `sag_…`, or `ret_…_N` of a return.
    saga_id: String,
    order_id: OrderId,
    state: &'static str,
    step: &'static str,
    supported_actions: Vec<&'static str>,
    position: String,
    /// Something was written for this request, now or when it came first.
    changed: bool,
}

impl Body {
    fn of(history: &History, which: Which, position: Position, changed: bool) -> Result<Body, Problem> {
        let saga = one(history, which)?;
        Ok(Body {
            saga_id: SagaRef { order: history.order, which }.to_string(),
            order_id: history.order,
            state: saga.state().name(),
            step: saga.at().0,
            supported_actions: names(&saga.supported()),
            position: position.to_string(),
            changed,
        })
    }
}

fn one(history: &History, which: Which) -> Result<AnySaga<'_>, Problem> {
    history.fulfillment.one(history.order, which).ok_or_else(|| Problem::not_found(NONE))
}

/// What would be done, beside how things stand.
#[derive(Serialize)]
pub(super) struct DryRun<B> {
    #[serde(flatten)]
    now: B,
    dry_run: bool,
    would: String,
    effects: Vec<&'static str>,
}

impl<B> DryRun<B> {
    pub(super) fn new(now: B, forecast: &Forecast) -> DryRun<B> {
        let effects = forecast.effects.iter().map(Effect::code).collect();
        DryRun { now, dry_run: true, would: forecast.sentence(), effects }
    }
}

const NONE: &str = "there is no such saga";

fn names(verbs: &[Verb]) -> Vec<&'static str> {
    verbs.iter().map(|verb| verb.name()).collect()
}

/// Let a paused saga try again.
///
/// After a definite no of a participant the step is tried under a new key; else under the same.
#[utoipa::path(post, path = "/v1/sagas/{id}/retry", tag = "sagas", operation_id = "retrySaga",
    request_body = super::schema::Reason,
    params(super::schema::SagaPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It goes on.", body = super::schema::Saga)))]
pub(super) async fn retry(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &RETRY_SAGA, Verb::Retry).await
}

/// Pass over the step that has stopped.
///
/// On evidence that it needn't be done, or undone. Only where nothing that comes later needs it: a capture, the voiding of an authorization
/// or of a label.
#[utoipa::path(post, path = "/v1/sagas/{id}/skip", tag = "sagas", operation_id = "skipSagaStep",
    request_body = super::schema::Skip,
    params(super::schema::SagaPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It goes on behind that step.", body = super::schema::Saga)))]
pub(super) async fn skip(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &SKIP_SAGA, Verb::Skip).await
}

/// Say that the step that has stopped was done elsewhere.
///
/// With the participant's own reference of what it did; it stands in the history like an answer of the participant's.
#[utoipa::path(post, path = "/v1/sagas/{id}/mark-done", tag = "sagas", operation_id = "markSagaStepDone",
    request_body = super::schema::MarkDone,
    params(super::schema::SagaPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It goes on behind that step.", body = super::schema::Saga)))]
pub(super) async fn mark_done(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &MARK_DONE_SAGA, Verb::MarkDone).await
}

/// Undo whatever was done, and cancel the order.
///
/// Possible until the goods have left.
#[utoipa::path(post, path = "/v1/sagas/{id}/compensate", tag = "sagas", operation_id = "compensateSaga",
    request_body = super::schema::Reason,
    params(super::schema::SagaPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It is being undone.", body = super::schema::Saga)))]
pub(super) async fn compensate(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &COMPENSATE_SAGA, Verb::Compensate).await
}

/// Stop a saga where it stands.
///
/// Nothing more is begun, and the warehouse may not ship, until it is resumed. What is under way at a participant is finished.
#[utoipa::path(post, path = "/v1/sagas/{id}/pause", tag = "sagas", operation_id = "pauseSaga",
    request_body = super::schema::Reason,
    params(super::schema::SagaPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It is paused.", body = super::schema::Saga)))]
pub(super) async fn pause(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &PAUSE_SAGA, Verb::Pause).await
}

/// Let a saga that an operator paused go on.
#[utoipa::path(post, path = "/v1/sagas/{id}/resume", tag = "sagas", operation_id = "resumeSaga",
    request_body = super::schema::Reason,
    params(super::schema::SagaPath, super::schema::DryRunQuery, super::schema::WaybillSource),
    responses((status = 200, description = "It goes on.", body = super::schema::Saga)))]
pub(super) async fn resume(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &RESUME_SAGA, Verb::Resume).await
}

async fn perform(app: &App, request: Request, operation: &Operation, verb: Verb) -> Result<Response, Problem> {
    let id = id_in::<SagaRef>(request.uri());
    let (call, bytes, key) = Call::command(app, request, operation).await?;
    let json = call::parse(&bytes)?;
    let mut history = visible(app, &call, id.map(|id| id.order), NONE).await?;
    let which = id.map_or(Which::Fulfillment, |id| id.which);
    one(&history, which)?;

    let faults = Faults::default();
    call.query.only(&[DRY_RUN], &faults);
    let is_dry_run = call.query.flag(DRY_RUN, &faults);
    let source = call.source(&faults);
    let key = key.map_err(|fault| faults.push(fault)).ok();
    let asked = body::asked(verb, validate::root(&json, &faults));
    let (asked, key) = faults.into_result(asked.zip(key)).map_err(Problem::invalid)?;
    let now = (app.clock)();
    if is_dry_run {
        return dry_run(app, &history, which, &asked, now).await;
    }

    let claimed = Claimed::take(app, &call, &history.shop, key, &json).await?;
    let (notes, vault) = seal(app, &history.shop, &asked).await?;
    let metadata = call.metadata(app, history.order.0, source, now);
    let decide = |history: &History| match history.fulfillment.one(history.order, which) {
        Some(saga) => saga.operate(asked.command.clone(), notes, now),
        None => Err(Refused::NotAllowed(NONE.to_owned())),
    };
    match claimed.carry_out(app, &mut history, &metadata, vault, decide).await? {
        Handled::Written(appended) => answer(StatusCode::OK, &Body::of(&history, which, appended.last, true)?),
        Handled::Unchanged => answer(StatusCode::OK, &Body::of(&history, which, history.position, false)?),
        Handled::Repeated(position, _) => {
            Ok(replayed(answer(StatusCode::OK, &Body::of(&history, which, position, true)?)?))
        }
        Handled::Rejected(refused) => Err(refusal(&history, which, refused)),
    }
}

/// The reason, and the evidence if there is any, for the vault.
async fn seal(app: &App, shop: &str, asked: &Asked) -> Result<(Notes, Vec<VaultEntry>), Problem> {
    let (reason, note) = Note::seal(&app.vault, shop, asked.reason.clone()).await?;
    let (mut notes, mut vault) = (Notes { reason: Some(reason), evidence: None }, vec![note]);
    if let Some(evidence) = &asked.evidence {
        let (evidence, note) = Note::seal(&app.vault, shop, evidence.clone()).await?;
        notes.evidence = Some(evidence);
        vault.push(note);
    }
    Ok((notes, vault))
}

fn refusal(history: &History, which: Which, refused: Refused) -> Problem {
    match refused {
        Refused::AlreadyShipped => {
            Problem::new(Code::AlreadyShipped, refused.to_string()).with("order_id", history.order.to_string().into())
        }
        Refused::NotAllowed(why) => {
            let supported = history.fulfillment.one(history.order, which).map(|saga| saga.supported());
            Problem::not_allowed(why, &names(&supported.unwrap_or_default()))
        }
    }
}

async fn dry_run(
    app: &App,
    history: &History,
    which: Which,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Response, Problem> {
    let events = one(history, which)?.operate(asked.command.clone(), Notes::default(), now);
    let events = events.map_err(|refused| refusal(history, which, refused))?;
    let forecast = forecast(app, history, which, &events, now).await?;
    answer(StatusCode::OK, &DryRun::new(Body::of(history, which, history.position, false)?, &forecast))
}

/// What comes of these events, should they be written now.
pub(super) async fn forecast(
    app: &App,
    history: &History,
    which: Which,
    events: &[Event],
    now: DateTime<Utc>,
) -> Result<Forecast, Problem> {
    let location = call::main_location();
    let location_mode = app.locations.mode(&history.shop, &location).await?;
    let context = Context { now, location, location_mode };
    history.fulfillment.forecast(history.order, which, events, &context).map_err(Problem::internal)
}
