//! How a location works: AUTO or MANUAL.
use super::{
    App, answer,
    call::{self, Call},
    operations::SET_LOCATION,
    problem::Problem,
    validate::{fault::Faults, stock},
};
use crate::{ids::location_stream_id, locations::LocationError};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use domain::location::{self, LocationMode};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct Body {
    location: &'static str,
    mode: LocationMode,
    position: String,
}

impl From<LocationError> for Problem {
    fn from(error: LocationError) -> Problem {
        match error {
            LocationError::History(error) => error.into(),
            LocationError::Append(error) => error.into(),
        }
    }
}

/// Say how a location works.
///
/// `AUTO` picks, packs and ships by itself, `MANUAL` waits for staff. It affects later releases only. `main` is the location there is.
#[utoipa::path(put, path = "/v1/locations/{code}", tag = "stock", operation_id = "setLocation",
    request_body = super::schema::SetLocation,
    params(super::schema::LocationPath, super::schema::ShopQuery, super::schema::WaybillSource),
    responses((status = 200, description = "So it is.", body = super::schema::Location)))]
pub(super) async fn set(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let is_main = request.uri().path().split('/').nth(3) == Some(location::MAIN);
    let (call, bytes) = Call::with_body(&app, request, &SET_LOCATION).await?;
    let json = call::parse(&bytes)?;
    if !is_main {
        return Err(Problem::not_found("there is no such location"));
    }
    let shop = call.meant_shop(&app).await?;

    let faults = Faults::default();
    call.query.only(&["shop"], &faults);
    let source = call.source(&faults);
    let shop = shop.map_err(|fault| faults.push(fault)).ok();
    let mode = stock::location_mode(&json, &faults);
    let (mode, shop) = faults.into_result(mode.zip(shop)).map_err(Problem::invalid)?;

    let location = call::main_location();
    let stream = location_stream_id(&shop.id, &location);
    let metadata = call.metadata(&app, stream.id, source, (app.clock)());
    let position = app.locations.set_mode(&shop.id, &location, mode, metadata).await?;
    answer(StatusCode::OK, &Body { location: location::MAIN, mode, position: position.to_string() })
}
