//! Orders: placed, read, found by ref.
//!
//! The way of a new order is one append and no read before it: what is taken already, the append itself says. What was asked before
//! is answered again from the claim that the first left.
use super::{
    App, Placed, answer,
    call::{self, Call},
    id_in,
    idempotency::Turn,
    operations::{FIND_ORDER, PLACE_ORDER, READ_ORDER},
    prefer,
    problem::{Code, Problem},
    replayed,
    standing::{OrderBody, Standing, Wait, visible},
    validate::{
        fault::{Fault, Faults},
        order::{Placement, Rules, order},
        query, time,
    },
};
use crate::{
    handler::repeats,
    history::{Change, CommitError, History},
    people::person_stream,
    personal::ShopDefaults,
};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use domain::{
    Decider, Event, OrderId,
    order::{Command, Order, OrderPlaced},
};
use eventstore::{
    AppendError, Appended, Claim, Fence, Lifetime, Metadata, Position, Refusal, Shop, Source, TakenClaim,
    append::MAX_PAYLOAD_BYTES,
};
use std::{borrow::Cow, sync::Arc, time::Duration};
use uuid::Uuid;

const NO_SUCH_ORDER: &str = "there is no such order";
/// How often an order is stored for someone new.
const ATTEMPTS: u32 = 3;

fn order_ref_scope(shop: &str) -> String {
    format!("order_ref:{shop}")
}

/// A request to place an order, sound and not yet stored.
struct Asked {
    shop: Arc<Shop>,
    order: OrderId,
    idempotency: Claim,
    reference: Claim,
    order_ref: String,
    wait: Option<Duration>,
}

/// Place an order.
///
/// Answers once it is stored; what becomes of it is told by `GET`, or here with `Prefer: wait=N`.
#[utoipa::path(post, path = "/v1/orders", tag = "orders", operation_id = "placeOrder",
    request_body = super::schema::PlaceOrder,
    params(super::schema::Prefer, super::schema::WaybillSource),
    responses(
        (status = 202, description = "Stored; or, asked again, stored before. With `Prefer: wait`, it has not ended in time.", body = super::schema::Order),
        (status = 200, description = "With `Prefer: wait`: it has ended, and the read model shows it.", body = super::schema::Order)))]
pub(super) async fn place(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (call, bytes, key) = Call::command(&app, request, &PLACE_ORDER).await?;
    let json = call::parse(&bytes)?;
    let shop = call.own_shop(&app).await?;
    let defaults = ShopDefaults::of(&shop).map_err(Problem::internal)?;
    let rules = Rules { zone: time::zone(&shop.time_zone), defaults, received_at: (app.clock)() };

    let faults = Faults::default();
    call.query.only(&[], &faults);
    let source = call.source(&faults);
    let key = key.map_err(|fault| faults.push(fault)).ok();
    let placement = order(&json, &rules, &faults);
    let (placement, key) = faults.into_result(placement.zip(key)).map_err(Problem::invalid)?;

    let order = OrderId(Uuid::now_v7());
    call::note_order(order);
    let idempotency = Claim { holder: order.to_string(), ..call.claim(&app, &shop.id, key, &json) };
    let order_ref = placement.placed.order_ref.clone();
    let asked = Asked {
        reference: Claim {
            scope: order_ref_scope(&shop.id),
            key: order_ref.clone(),
            lifetime: Lifetime::Forever,
            ..idempotency.clone()
        },
        idempotency,
        wait: prefer::wait(&call.headers),
        shop,
        order,
        order_ref,
    };
    store(&app, &call, asked, placement, source).await
}

async fn store(
    app: &App,
    call: &Call,
    asked: Asked,
    placement: Placement,
    source: Source,
) -> Result<Response, Problem> {
    let guard = match app.in_flight.turn(app, &asked.idempotency).await? {
        Turn::First(guard) => guard,
        Turn::Repeat(taken) if repeats(&taken, &asked.idempotency) => return replay(app, &asked, taken).await,
        Turn::Repeat(_) => return Err(Problem::key_reused()),
    };
    let wait = Wait::begin(app, asked.order, asked.wait);
    let Attempt { history, events, metadata, fence, committed } = append(app, call, &asked, placement, source).await?;
    let (command_id, trace_id) = (metadata.command_id, metadata.trace_id);
    drop(guard);
    match committed {
        Ok(appended) => {
            tracing::Span::current().record("position", appended.last.0);
            let placed = history.placed;
            if let Some(follower) = &app.follower {
                follower.placed(Placed { history, command_id, trace_id, fence });
            }
            let standing = match wait {
                Some(wait) => Some(wait.placed(app, asked.order, appended.last).await?),
                None => None,
            };
            placed_answer(&asked, asked.order, placed, standing)
        }
        Err(CommitError::Append(AppendError::Refused(Refusal::ClaimTaken(taken)))) => {
            drop(wait);
            taken_already(app, &asked, taken).await
        }
        Err(CommitError::Append(AppendError::Invalid(_))) if is_too_large(&events) => {
            let message = "is more than an event can hold: with ids and SKUs this long, an order has fewer lines";
            Err(Problem::invalid(vec![Fault::new("/lines".to_owned(), "too_long", message)]))
        }
        Err(error) => Err(error.into()),
    }
}

/// What was tried, and what came of it.
struct Attempt {
    history: History,
    events: Vec<Event>,
    metadata: Metadata,
    /// Under which its saga began with it.
    fence: Option<Fence>,
    committed: Result<Appended, CommitError>,
}

/// Appends the order; where its saga will be driven in this process, with the saga's first step, which takes the goods. Once more without
/// that when there are not enough (what is short is for the saga to say) or when the slot is lost. Once more for someone new when the person
/// whom the ref stood for is being erased.
async fn append(
    app: &App,
    call: &Call,
    asked: &Asked,
    placement: Placement,
    source: Source,
) -> Result<Attempt, Problem> {
    let Placement { placed, personal } = placement;
    let metadata = call.metadata(app, asked.order.0, source, placed.placed_at);
    let mut fence = app.follower.as_ref().and_then(|follower| follower.fence(asked.order));
    let mut tries = 0;
    loop {
        let (mut placed, mut history) = (placed.clone(), History::new(asked.order, asked.shop.id.clone()));
        let claims = vec![asked.idempotency.clone(), asked.reference.clone()];
        let mut change = Change { claims, fence, ..Change::default() };
        if !personal.is_empty() {
            let person = app.vault.person(&asked.shop.id, &placed.customer_ref).await?;
            change.vault.push(personal.seal(&app.vault, &person, asked.order)?);
            change.unbegun.push(person_stream(person.id));
            placed.person_id = Some(person.id);
        }
        change.timers.push(history.due(placed.received_at));
        let person = placed.person_id;
        let events = events(&history, placed, fence.is_some())?;
        let committed = history.commit(&*app.store, &events, metadata.clone(), change).await;
        tries += 1;
        match (&committed, person) {
            (
                Err(CommitError::Append(AppendError::Refused(Refusal::BelowFloor { .. }) | AppendError::Fenced { .. })),
                _,
            ) if fence.is_some() => fence = None,
            (Err(CommitError::Append(AppendError::Conflict { stream, .. })), Some(person))
                if stream.id == person && tries < ATTEMPTS =>
            {
                app.vault.part(person).await?;
            }
            _ => return Ok(Attempt { history, events, metadata, fence, committed }),
        }
    }
}

/// `is_begun`: with its saga's beginning.
fn events(history: &History, placed: OrderPlaced, is_begun: bool) -> Result<Vec<Event>, Problem> {
    let mut fulfillment = history.fulfillment.clone();
    let placed = Order::decide(&fulfillment.order, Command::Place(Box::new(placed))).map_err(Problem::internal)?;
    let mut events: Vec<Event> = placed.into_iter().map(Event::from).collect();
    if is_begun {
        events.iter().for_each(|event| fulfillment.evolve(event));
        events.extend(fulfillment.begin(history.order).map_err(Problem::internal)?);
    }
    Ok(events)
}

/// Looked at only when the store has refused it.
fn is_too_large(events: &[Event]) -> bool {
    events.iter().any(|event| serde_json::to_vec(event).is_ok_and(|payload| payload.len() > MAX_PAYLOAD_BYTES))
}

/// The key or the ref is taken: is it this very request, come again?
async fn taken_already(app: &App, asked: &Asked, taken: TakenClaim) -> Result<Response, Problem> {
    let of_key = |taken: &TakenClaim| (&taken.scope, &taken.key) == (&asked.idempotency.scope, &asked.idempotency.key);
    let idempotency = match of_key(&taken) {
        true => Some(taken.clone()),
        false => app.store.claim(&asked.idempotency.scope, &asked.idempotency.key).await?,
    };
    match idempotency {
        Some(first) if repeats(&first, &asked.idempotency) => replay(app, asked, first).await,
        Some(_) => Err(Problem::key_reused()),
        None => {
            let detail = format!("order ref `{}` belongs to an order placed before", asked.order_ref);
            Err(Problem::new(Code::OrderRefTaken, detail)
                .with("order_id", taken.holder.as_str().into())
                .with("same_body", repeats(&taken, &asked.reference).into()))
        }
    }
}

/// The first answer once more, with the order as it stands now.
async fn replay(app: &App, asked: &Asked, first: TakenClaim) -> Result<Response, Problem> {
    let order: OrderId = first.holder.parse().map_err(Problem::internal)?;
    call::note_order(order);
    let wait = Wait::begin(app, order, asked.wait);
    let history = History::load(&*app.store, order).await?;
    let history = history.ok_or_else(|| Problem::internal(format!("{order} holds a claim and is not there")))?;
    let standing = match wait {
        Some(wait) => wait.known(app, &history).await?,
        None => Standing::of(&history),
    };
    Ok(replayed(placed_answer(asked, order, history.placed, Some(standing))?))
}

/// Position and version are those of the placing, however far the order has come: the same whenever it is asked again.
fn placed_answer(
    asked: &Asked,
    order: OrderId,
    position: Position,
    standing: Option<Standing>,
) -> Result<Response, Problem> {
    let shown = standing.as_ref().is_some_and(|standing| standing.shown);
    let body = OrderBody {
        order_id: order,
        order_ref: &asked.order_ref,
        status: standing.as_ref().map_or("PLACED", |standing| standing.status.name()),
        status_reason: standing.and_then(|standing| standing.status_reason).map(Cow::Owned),
        position,
        version: 1,
    };
    let mut response = answer(if shown { StatusCode::OK } else { StatusCode::ACCEPTED }, &body)?;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::try_from(format!("/v1/orders/{order}")).map_err(Problem::internal)?);
    if let Some(wait) = asked.wait {
        let applied = HeaderValue::try_from(format!("wait={}", wait.as_secs())).map_err(Problem::internal)?;
        headers.insert("preference-applied", applied);
    }
    Ok(response)
}

/// Read an order.
///
/// With `wait` it answers as soon as the order has ended and the read model shows it, and after N seconds at the latest.
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders", operation_id = "readOrder",
    params(super::schema::OrderPath, super::schema::WaitQuery),
    responses(
        (status = 200, description = "The order as it stands.", body = super::schema::Order),
        (status = 202, description = "The server stops before the wait is over: the order as it was last seen.", body = super::schema::Order)))]
pub(super) async fn read(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let id = id_in(request.uri());
    let call = Call::begin(&app, request, &READ_ORDER).await?;
    show(&app, &call, id, &["wait"]).await
}

/// Find an order by the shop's ref.
///
/// A key that is not a shop's looks in every shop, or in `shop`.
#[utoipa::path(get, path = "/v1/orders", tag = "orders", operation_id = "findOrder",
    params(super::schema::FindQuery, super::schema::WaitQuery),
    responses(
        (status = 200, description = "The order as it stands.", body = super::schema::Order),
        (status = 202, description = "The server stops before the wait is over: the order as it was last seen.", body = super::schema::Order)))]
pub(super) async fn find(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    const KNOWN: &[&str] = &["ref", "shop", "wait"];
    let call = Call::begin(&app, request, &FIND_ORDER).await?;
    let reference = call.query.get("ref").filter(|reference| !reference.is_empty() && !reference.contains('\0'));
    let Some(reference) = reference else {
        let faults = Faults::default();
        call.query.only(KNOWN, &faults);
        faults.push(query::fault("ref", "required", "is required, and not empty"));
        return Err(Problem::invalid(faults.into_list()));
    };
    let mut found = Vec::new();
    for shop in shops_to_search(&app, &call).await? {
        if let Some(claim) = app.store.claim(&order_ref_scope(&shop), reference).await? {
            found.push((shop, claim.holder));
        }
    }
    match found.as_slice() {
        [(_, order)] => show(&app, &call, order.parse().ok(), KNOWN).await,
        [] => Err(Problem::not_found(NO_SUCH_ORDER)),
        several => {
            let fault = query::fault("shop", "ambiguous_ref", "more than one shop has an order of this ref: say which");
            let candidates: Vec<_> =
                several.iter().map(|(shop, order)| serde_json::json!({ "shop": shop, "order_id": order })).collect();
            Err(Problem::invalid(vec![fault]).with("candidates", candidates.into()))
        }
    }
}

/// The shops whose orders a caller may mean; bounded.
async fn shops_to_search(app: &App, call: &Call) -> Result<Vec<String>, Problem> {
    const MOST: usize = 1_000;
    let meant = call.query.get("shop").or(call.key.shop.as_deref());
    Ok(match meant {
        Some(shop) if call.may_see(shop) && !shop.contains('\0') => vec![shop.to_owned()],
        Some(_) => vec![],
        None => app.shops.list(MOST).await?,
    })
}

async fn show(app: &Arc<App>, call: &Call, order: Option<OrderId>, known: &[&str]) -> Result<Response, Problem> {
    // Waiting begins before the read, so that nothing falls between; how long is judged after: an unknown order comes first.
    let faults = Faults::default();
    call.query.only(known, &faults);
    let seconds = call.query.number("wait", 0..=prefer::MAX_WAIT_SECONDS, &faults);
    let wait = order.and_then(|order| Wait::begin(app, order, seconds.map(Duration::from_secs)));
    let history = visible(app, call, order, NO_SUCH_ORDER).await?;
    faults.into_result(Some(())).map_err(Problem::invalid)?;
    let mut body = OrderBody::of(&history);
    let Some(wait) = wait else { return answer(StatusCode::OK, &body) };
    let standing = wait.known(app, &history).await?;
    body.status = standing.status.name();
    body.status_reason = standing.status_reason.map(Cow::Owned);
    (body.position, body.version) = (standing.position, standing.version);
    answer(if standing.cut_short { StatusCode::ACCEPTED } else { StatusCode::OK }, &body)
}
