//! What staff of a MANUAL location report: picked, packed, shipped.
//!
//! Whatever they report is written under the exact versions of all the order's streams: a cancel that came between is seen first.
use super::{
    App, answer,
    call::{self, Call},
    claimed::Claimed,
    id_in,
    operations::{Operation, PACK, PICK, SHIP},
    problem::Problem,
    replayed,
    standing::visible,
    validate::{
        fault::{Faults, Place},
        fulfillment::{self as body, Report, Verb},
        time,
    },
};
use crate::{handler::Handled, history::History};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use domain::{
    Event, FulfillmentId, OrderId,
    shipment::{Command, Line, LineQuantity, PackedParcel, Parcel, Rejection, Released, Stage},
};
use eventstore::Position;
use serde::Serialize;
use std::sync::Arc;

const NONE: &str = "there is no such fulfillment";

#[derive(Serialize)]
struct Body {
    fulfillment_id: FulfillmentId,
    order_id: OrderId,
    stage: &'static str,
    position: String,
}

impl Body {
    fn of(history: &History, position: Position) -> Body {
        Body {
            fulfillment_id: history.order.fulfillment(),
            order_id: history.order,
            stage: history.fulfillment.shipment.stage().map_or("TO_PICK", stage_name),
            position: position.to_string(),
        }
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::ToPick => "TO_PICK",
        Stage::Picking => "PICKING",
        Stage::Picked => "PICKED",
        Stage::Packed => "PACKED",
        Stage::Shipped => "SHIPPED",
        Stage::Cancelled => "CANCELLED",
    }
}

/// Report what was picked.
///
/// Without lines: everything that is left.
#[utoipa::path(post, path = "/v1/fulfillments/{id}/pick", tag = "fulfillments", operation_id = "pickFulfillment",
    request_body = Option<super::schema::Picked>,
    params(super::schema::FulfillmentPath, super::schema::ShopQuery, super::schema::WaybillSource),
    responses((status = 200, description = "Recorded.", body = super::schema::Fulfillment)))]
pub(super) async fn pick(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &PICK, Verb::Pick).await
}

/// Report what was packed.
///
/// Without lines: everything that is left. What is packed counts as picked.
#[utoipa::path(post, path = "/v1/fulfillments/{id}/pack", tag = "fulfillments", operation_id = "packFulfillment",
    request_body = Option<super::schema::Packed>,
    params(super::schema::FulfillmentPath, super::schema::ShopQuery, super::schema::WaybillSource),
    responses((status = 200, description = "Recorded.", body = super::schema::Fulfillment)))]
pub(super) async fn pack(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &PACK, Verb::Pack).await
}

/// Report what has left.
///
/// Without lines: everything that is left. From here on the order can't be cancelled.
#[utoipa::path(post, path = "/v1/fulfillments/{id}/ship", tag = "fulfillments", operation_id = "shipFulfillment",
    request_body = Option<super::schema::Shipped>,
    params(super::schema::FulfillmentPath, super::schema::ShopQuery, super::schema::WaybillSource),
    responses((status = 200, description = "Recorded.", body = super::schema::Fulfillment)))]
pub(super) async fn ship(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    perform(&app, request, &SHIP, Verb::Ship).await
}

async fn perform(app: &App, request: Request, operation: &Operation, verb: Verb) -> Result<Response, Problem> {
    let id = id_in::<FulfillmentId>(request.uri()).map(FulfillmentId::order);
    let (call, bytes, key) = Call::command(app, request, operation).await?;
    // Nothing said means everything done.
    let json = if bytes.is_empty() { validate_nothing() } else { call::parse(&bytes)? };
    let mut history = visible(app, &call, id, NONE).await?;
    let of_shop = call.query.get("shop").is_none_or(|shop| shop == history.shop);
    if !of_shop || history.fulfillment.shipment.released.is_none() {
        return Err(Problem::not_found(NONE));
    }
    let shop = app.shops.get(&history.shop).await?;
    let zone = time::zone(shop.as_ref().map_or("UTC", |shop| &shop.time_zone));

    let faults = Faults::default();
    call.query.only(&["shop"], &faults);
    let source = call.source(&faults);
    let key = key.map_err(|fault| faults.push(fault)).ok();
    let report = body::report(verb, &json, zone, &faults);
    let (report, key) = faults.into_result(report.zip(key)).map_err(Problem::invalid)?;

    let claimed = Claimed::take(app, &call, &history.shop, key, &json).await?;
    let occurred_at = report.occurred_at.unwrap_or_else(app.clock);
    let metadata = call.metadata(app, history.order.0, source, occurred_at);
    let decide = |history: &History| decide(history, verb, &report);
    match claimed.carry_out(app, &mut history, &metadata, vec![], decide).await? {
        Handled::Written(appended) => answer(StatusCode::OK, &Body::of(&history, appended.last)),
        Handled::Unchanged => answer(StatusCode::OK, &Body::of(&history, history.position)),
        Handled::Repeated(position, _) => Ok(replayed(answer(StatusCode::OK, &Body::of(&history, position))?)),
        Handled::Rejected(problem) => Err(*problem),
    }
}

fn decide(history: &History, verb: Verb, report: &Report) -> Result<Vec<Event>, Box<Problem>> {
    let released = history.fulfillment.shipment.released.as_ref();
    let released = released.ok_or_else(|| Box::new(Problem::not_found(NONE)))?;
    line_faults(released, verb, report.lines.as_deref())?;
    let parcels = report.parcels.iter();
    let command = match verb {
        Verb::Pick => Command::Pick { lines: report.lines.clone() },
        Verb::Pack => Command::Pack {
            lines: report.lines.clone(),
            parcels: parcels.map(|parcel| PackedParcel { weight_grams: parcel.weight_grams }).collect(),
        },
        Verb::Ship => Command::Ship {
            lines: report.lines.clone(),
            parcels: parcels
                .map(|parcel| Parcel {
                    weight_grams: parcel.weight_grams,
                    carrier: parcel.carrier.clone(),
                    tracking_number: parcel.tracking_number.clone(),
                    label_id: None,
                })
                .collect(),
        },
    };
    history.fulfillment.report(command).map_err(|rejection| {
        let supported = match rejection {
            Rejection::Recalled | Rejection::ShipsByItself | Rejection::OnHold => vec![],
            _ => supported(released),
        };
        Box::new(Problem::not_allowed(rejection.to_string(), &supported))
    })
}

/// What a line still has to be done by a verb.
fn left(line: &Line, verb: Verb) -> i64 {
    line.quantity
        - match verb {
            Verb::Pick => line.picked,
            Verb::Pack => line.packed,
            Verb::Ship => line.shipped,
        }
}

/// The verbs that would do something now.
fn supported(released: &Released) -> Vec<&'static str> {
    let verbs = [("pick", Verb::Pick), ("pack", Verb::Pack), ("ship", Verb::Ship)];
    let does = |verb| released.lines.iter().any(|line| left(line, verb) > 0);
    verbs.into_iter().filter(|(_, verb)| does(*verb)).map(|(name, _)| name).collect()
}

/// Every line that isn't there, or that is reported beyond what is left of it.
fn line_faults(released: &Released, verb: Verb, lines: Option<&[LineQuantity]>) -> Result<(), Box<Problem>> {
    let faults = Faults::default();
    let all = Place::Root.field("lines");
    for (n, LineQuantity { line_id, quantity }) in lines.unwrap_or_default().iter().enumerate() {
        let place = all.item(n);
        match released.lines.iter().find(|line| line.line_id == *line_id) {
            None => faults.add(&place.field("line_id"), "unknown_line", "the fulfillment has no such line"),
            Some(line) if *quantity > left(line, verb) => {
                let message = format!("is more than the {} that are left", left(line, verb));
                faults.add(&place.field("quantity"), "out_of_range", message);
            }
            Some(_) => {}
        }
    }
    faults.into_result(Some(())).map_err(|faults| Box::new(Problem::invalid(faults)))
}

fn validate_nothing() -> super::validate::json::Json<'static> {
    super::validate::json::Json::Object(vec![])
}
