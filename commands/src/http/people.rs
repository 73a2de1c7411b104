//! A customer erased at an operator's word, and how far that has come.
use super::{
    App, answer,
    call::{self, Call},
    idempotency::Turn,
    operations::{ERASE_CUSTOMER, READ_ERASURE},
    problem::Problem,
    replayed,
    validate::{self, fault::Faults},
};
use crate::{
    handler::repeats,
    people::{ERASURE_TIMER, Erasure, ErasureStatus, PersonHistory, person_stream},
    personal::Note,
};
use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::{OrderId, person::Command};
use eventstore::{AppendError, Claim, Position, Refusal, Shop, Source, TakenClaim, TimerChange, vault::KnownPerson};
use serde::Serialize;
use std::{borrow::Cow, sync::Arc};
use uuid::Uuid;

const NO_SUCH_CUSTOMER: &str = "nothing is kept of such a customer";
/// Persons that one ref stood for, of whom the one meant is looked for.
const KNOWN: usize = 20;
/// How often a request that others overtake is decided.
const ATTEMPTS: u32 = 8;

/// `/v1/shops/{shop}/customers/{ref}/…`
type CustomerPath = Result<Path<(String, String)>, PathRejection>;

#[derive(Serialize)]
struct Body<'a> {
    customer_ref: &'a str,
    status: ErasureStatus,
    open_orders: Vec<OrderId>,
    open_order_count: u64,
    requested_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_at: Option<String>,
    position: String,
}

/// Erase a customer.
///
/// Destroys the key under which the customer's personal data is sealed, once all open orders have ended, and tells payment and shipping to
/// forget. From now on the same ref stands for someone new. Histories, totals and the customer's ref stay.
#[utoipa::path(post, path = "/v1/shops/{shop}/customers/{ref}/erase", tag = "people", operation_id = "eraseCustomer",
    request_body = super::schema::Reason,
    params(super::schema::CustomerPath, super::schema::WaybillSource),
    responses(
        (status = 202, description = "It will be done: at once, or when the open orders have ended.", body = super::schema::Erasure),
        (status = 200, description = "That was asked for before: how far it has come.", body = super::schema::Erasure)))]
pub(super) async fn erase(
    State(app): State<Arc<App>>,
    path: CustomerPath,
    request: Request,
) -> Result<Response, Problem> {
    let (call, bytes, key) = Call::command(&app, request, &ERASE_CUSTOMER).await?;
    let json = call::parse(&bytes)?;
    let (shop, known) = known(&app, &call, path).await?;

    let faults = Faults::default();
    call.query.only(&[], &faults);
    let source = call.source(&faults);
    let key = key.map_err(|fault| faults.push(fault)).ok();
    let reason = validate::reason(&json, &faults);
    let (reason, key) = faults.into_result(reason.zip(key)).map_err(Problem::invalid)?;

    let claim = Claim { holder: known.person.to_string(), ..call.claim(&app, &shop.id, key, &json) };
    let asked = Asked { shop, known, reason, claim, source };
    let guard = match app.in_flight.turn(&app, &asked.claim).await? {
        Turn::First(guard) => guard,
        Turn::Repeat(taken) => return asked.again(&app, &taken).await,
    };
    let outcome = asked.request(&app, &call).await;
    drop(guard);
    outcome
}

/// How far an erasure has come.
#[utoipa::path(get, path = "/v1/shops/{shop}/customers/{ref}/erasure", tag = "people", operation_id = "readErasure",
    params(super::schema::CustomerPath),
    responses((status = 200, description = "Of the one asked for last under this ref.", body = super::schema::Erasure)))]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    path: CustomerPath,
    request: Request,
) -> Result<Response, Problem> {
    let call = Call::begin(&app, request, &READ_ERASURE).await?;
    let (shop, reference) = customer(&app, &call, path).await?;
    let faults = Faults::default();
    call.query.only(&[], &faults);
    faults.into_result(Some(())).map_err(Problem::invalid)?;
    for known in app.vault.persons().known_as(&shop.id, &reference, KNOWN).await? {
        let history = PersonHistory::load(&*app.store, known.person).await?;
        if history.state.requested.is_some() {
            return standing(&app, &known.reference, &history, history.position, StatusCode::OK).await;
        }
    }
    Err(Problem::not_found("no erasure was asked for of such a customer"))
}

/// The shop and the ref of the path; else there is no such customer.
async fn customer(app: &App, call: &Call, path: CustomerPath) -> Result<(Arc<Shop>, String), Problem> {
    let unknown = || Problem::not_found(NO_SUCH_CUSTOMER);
    let Path((shop, reference)) = path.map_err(|_| unknown())?;
    if reference.is_empty() || reference.contains('\0') || shop.contains('\0') || !call.may_see(&shop) {
        return Err(unknown());
    }
    let shop = app.shops.get(&shop).await?.ok_or_else(unknown)?;
    tracing::Span::current().record("shop_id", &shop.id);
    Ok((shop, reference))
}

/// Whom the ref stands for now; else the last whom it stood for.
async fn known(app: &App, call: &Call, path: CustomerPath) -> Result<(Arc<Shop>, KnownPerson), Problem> {
    let (shop, reference) = customer(app, call, path).await?;
    let mut all = app.vault.persons().known_as(&shop.id, &reference, KNOWN).await?;
    let meant = all.iter().position(|known| !known.parted).unwrap_or(0);
    if all.is_empty() {
        return Err(Problem::not_found(NO_SUCH_CUSTOMER));
    }
    Ok((shop, all.swap_remove(meant)))
}

/// A request to erase, sound and not yet stored.
struct Asked {
    shop: Arc<Shop>,
    known: KnownPerson,
    reason: String,
    claim: Claim,
    source: Source,
}

impl Asked {
    async fn request(&self, app: &App, call: &Call) -> Result<Response, Problem> {
        let person = self.known.person;
        for _ in 0..ATTEMPTS {
            let history = PersonHistory::load(&*app.store, person).await?;
            if history.state.requested.is_some() {
                return match app.store.claim(&self.claim.scope, &self.claim.key).await? {
                    Some(taken) => self.again(app, &taken).await,
                    None => standing(app, &self.known.reference, &history, history.position, StatusCode::OK).await,
                };
            }
            let (note_id, note) = Note::about(&app.vault, person, self.reason.clone()).await?.unzip();
            let command = Command::RequestErasure { customer_ref: self.known.reference.clone(), note_id };
            let now = (app.clock)();
            let metadata = call.metadata(app, person, self.source, now);
            let append = history.decide(&self.shop.id, metadata, command);
            let append = append.map_err(|error| match error {
                Ok(rejection) => Problem::internal(rejection),
                Err(error) => error.into(),
            })?;
            let Some(mut append) = append else { continue };
            append.claims.push(self.claim.clone());
            append.vault.extend(note);
            let (stream, name) = (person_stream(person), Cow::Borrowed(ERASURE_TIMER));
            append.timers.push(TimerChange::Set { stream, name, due_at: now, set_at: now });
            match app.store.append(append).await {
                Ok(appended) => {
                    tracing::Span::current().record("position", appended.last.0);
                    // If this is cut short, whoever meets the ref, or erases the person, does it.
                    app.vault.part(person).await?;
                    let history = PersonHistory::load(&*app.store, person).await?;
                    return standing(app, &self.known.reference, &history, appended.last, StatusCode::ACCEPTED).await;
                }
                Err(AppendError::Refused(Refusal::ClaimTaken(taken))) => return self.again(app, &taken).await,
                Err(AppendError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable("others were faster, again and again; try again", "an erasure was overtaken"))
    }

    /// The key was used before: by this very request?
    async fn again(&self, app: &App, taken: &TakenClaim) -> Result<Response, Problem> {
        if !repeats(taken, &self.claim) {
            return Err(Problem::key_reused());
        }
        let person: Uuid = taken.holder.parse().map_err(Problem::internal)?;
        let history = PersonHistory::load(&*app.store, person).await?;
        Ok(replayed(standing(app, &self.known.reference, &history, taken.position, StatusCode::OK).await?))
    }
}

async fn standing(
    app: &App,
    reference: &str,
    history: &PersonHistory,
    position: Position,
    status: StatusCode,
) -> Result<Response, Problem> {
    let erasure = Erasure::of(&app.vault, history).await?;
    let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let body = Body {
        customer_ref: reference,
        status: erasure.status,
        open_orders: erasure.open_orders,
        open_order_count: erasure.open_order_count,
        requested_at: history.requested_at.map(instant),
        erased_at: history.erased_at.map(instant),
        position: position.to_string(),
    };
    answer(status, &body)
}
