//! One call: who calls, with what body. It keeps the contract's order of checks: 401, 403, 413, 415, missing key, malformed JSON.
use super::{
    App,
    edge::Trace,
    idempotency,
    operations::Operation,
    problem::{Code, Problem},
    validate::{
        fault::{Fault, Faults, Place},
        json::{Json, NotTaken},
        query::{self, Query},
    },
};
use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use domain::{LocationCode, OrderId};
use eventstore::{Actor, ActorKind, ApiKey, Claim, Lifetime, Metadata, Role, Shop, Source};
use futures_util::TryStreamExt;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// The largest body that is taken.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// How much of a body that is not taken is read and dropped, so that the answer arrives.
const MAX_DROPPED: usize = 2 * 1024 * 1024;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Tells that an import places the order; it is kept with the event.
const SOURCE: &str = "waybill-source";

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) key: Arc<ApiKey>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    /// Names the route in scopes of idempotency keys.
    pub(crate) route: &'static str,
    key_lifetime: Lifetime,
    path: String,
    trace_id: String,
}

impl Call {
    /// A call without a body: 401 and 403.
    pub(crate) async fn begin(app: &App, request: Request, operation: &Operation) -> Result<Call, Problem> {
        Ok(Call::enter(app, request, operation).await?.0)
    }

    /// A call with a body: 401, 403, 413 and 415.
    pub(crate) async fn with_body(
        app: &App,
        request: Request,
        operation: &Operation,
    ) -> Result<(Call, Bytes), Problem> {
        let (call, body) = Call::enter(app, request, operation).await?;
        let bytes = call.body(body).await?;
        Ok((call, bytes))
    }

    /// A POST: 401, 403, 413, 415, and a missing key. A bad key is a fault among others.
    pub(crate) async fn command(
        app: &App,
        request: Request,
        operation: &Operation,
    ) -> Result<(Call, Bytes, Result<String, Fault>), Problem> {
        let (call, bytes) = Call::with_body(app, request, operation).await?;
        let key = idempotency::read_key(&call.headers)
            .ok_or_else(|| Problem::new(Code::KeyMissing, "every POST needs the header Idempotency-Key"))?;
        Ok((call, bytes, key))
    }

    async fn enter(app: &App, request: Request, operation: &Operation) -> Result<(Call, Body), Problem> {
        let (parts, body) = request.into_parts();
        let key = match authenticate(app, &parts.headers).await {
            Ok(key) if operation.roles.contains(&key.role) => key,
            refused => {
                drop_body(body).await;
                let key = refused?;
                let role = key.role.as_str();
                return Err(Problem::new(Code::Forbidden, format!("a key of role `{role}` may not do that")));
            }
        };
        if let Some(shop) = &key.shop {
            tracing::Span::current().record("shop_id", shop);
        }
        let trace_id = parts.extensions.get::<Trace>().map(|trace| trace.trace_id.clone()).unwrap_or_default();
        let call = Call {
            key,
            query: Query::of(&parts.uri),
            headers: parts.headers,
            route: operation.name,
            key_lifetime: operation.key_lifetime(),
            path: parts.uri.path().to_owned(),
            trace_id,
        };
        Ok((call, body))
    }

    async fn body(&self, body: Body) -> Result<Bytes, Problem> {
        let bytes = tokio::time::timeout(BODY_TIMEOUT, read_body(&self.headers, body)).await;
        let bytes = bytes.map_err(|_| Problem::new(Code::Timeout, "the body took too long to arrive"))??;
        let of =
            |name| self.headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok()).unwrap_or("");
        let media_type = of(header::CONTENT_TYPE).split(';').next().unwrap_or("").trim();
        // An empty body needs no type; whether it may be empty is for its reader to say.
        let untyped = bytes.is_empty() && media_type.is_empty();
        if !untyped && !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(Code::UnsupportedMediaType, "the body must be application/json"));
        }
        let encoding = of(header::CONTENT_ENCODING);
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            return Err(Problem::new(Code::UnsupportedMediaType, "the body must not be compressed"));
        }
        Ok(bytes)
    }

    /// The claim of this request on its key. The fingerprint is of path and body: the same whatever the body's white space and the
    /// order of its names. Who holds it is said when it is made.
    pub(crate) fn claim(&self, app: &App, shop: &str, key: String, json: &Json<'_>) -> Claim {
        let mut canonical = Vec::with_capacity(1024);
        canonical.extend_from_slice(self.path.as_bytes());
        canonical.push(0);
        json.canonical(&mut canonical);
        Claim {
            scope: format!("idem:{shop}:{}", self.route),
            key,
            holder: String::new(),
            fingerprint: Some(app.vault.fingerprint(&canonical)),
            lifetime: self.key_lifetime,
        }
    }

    /// Whether a key of this role and shop may see what is this shop's.
    pub(crate) fn may_see(&self, shop: &str) -> bool {
        self.key.shop.as_deref().is_none_or(|own| own == shop)
    }

    /// The shop of a shop's key.
    pub(crate) async fn own_shop(&self, app: &App) -> Result<Arc<Shop>, Problem> {
        let id = self.key.shop.as_deref().unwrap_or_default();
        app.shops.get(id).await?.ok_or_else(|| Problem::internal(format!("the key's shop `{id}` is not there")))
    }

    /// The shop that staff mean: `?shop=`, or the key's own, or the only one there is.
    pub(crate) async fn meant_shop(&self, app: &App) -> Result<Result<Arc<Shop>, Fault>, Problem> {
        let unknown = || query::fault("shop", "unknown_shop", "there is no such shop");
        let meant = match (self.query.get("shop"), self.key.shop.as_deref()) {
            (Some(shop), _) => shop.to_owned(),
            (None, Some(own)) => own.to_owned(),
            (None, None) => match app.shops.list(2).await?.as_slice() {
                [only] => only.clone(),
                [] => return Ok(Err(unknown())),
                _ => return Ok(Err(query::fault("shop", "required", "is required: there is more than one shop"))),
            },
        };
        if !self.may_see(&meant) || meant.contains('\0') {
            return Ok(Err(unknown()));
        }
        let shop = app.shops.get(&meant).await?.ok_or_else(unknown);
        if let Ok(shop) = &shop {
            tracing::Span::current().record("shop_id", &shop.id);
        }
        Ok(shop)
    }

    /// Where the call comes from: `Waybill-Source: import`, or else the API.
    pub(crate) fn source(&self, faults: &Faults) -> Source {
        match self.headers.get(SOURCE).map(header::HeaderValue::as_bytes) {
            None | Some(b"api") => Source::Api,
            Some(b"import") => Source::Import,
            Some(_) => {
                let headers = Place::Root.field("headers");
                faults.add(&headers.field(SOURCE), "unknown_value", "must be `api` or `import`");
                Source::Api
            }
        }
    }

    pub(crate) fn metadata(
        &self,
        app: &App,
        correlation: Uuid,
        source: Source,
        occurred_at: DateTime<Utc>,
    ) -> Metadata {
        let kind = match self.key.role {
            Role::Shop => ActorKind::Shop,
            Role::Warehouse => ActorKind::Warehouse,
            Role::Support => ActorKind::Support,
            Role::Operator => ActorKind::Operator,
        };
        let id = match (self.key.role, &self.key.shop) {
            (Role::Shop, Some(shop)) => shop.clone(),
            _ => self.key.name.clone(),
        };
        Metadata {
            command_id: Uuid::now_v7(),
            causation_id: None,
            correlation_id: correlation,
            actor: Actor { kind, id, key: Some(self.key.id.to_string()), on_behalf_of: None },
            source,
            reason_code: None,
            occurred_at,
            trace_id: Some(self.trace_id.clone()),
            app_version: app.app_version.clone(),
        }
    }
}

/// The body's JSON; `Err` with 400 when it is none.
pub(crate) fn parse(bytes: &Bytes) -> Result<Json<'_>, Problem> {
    Json::parse(bytes).map_err(|error| match error {
        NotTaken::Malformed(why) => Problem::new(Code::MalformedJson, why),
        NotTaken::Fault(fault) => Problem::invalid(vec![fault]),
    })
}

/// The caller's key, or 401.
pub(crate) async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Arc<ApiKey>, Problem> {
    let refused = |detail: &'static str| Problem::new(Code::Unauthenticated, detail);
    let given = headers.get(header::AUTHORIZATION).ok_or_else(|| refused("send `Authorization: Bearer KEY`"))?;
    let bearer = given.to_str().ok().and_then(|text| text.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key.trim());
    let bearer = bearer.ok_or_else(|| refused("send `Authorization: Bearer KEY`"))?;
    app.keys.authenticate(bearer).await?.ok_or_else(|| refused("this key is unknown or revoked"))
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("a body may have at most {MAX_BODY} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let mut stream = body.into_data_stream();
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        drop_rest(stream, 0).await;
        return Err(too_large());
    }
    // Most bodies come in one piece, which is then taken as it is.
    let Some(first) = next(&mut stream).await? else { return Ok(Bytes::new()) };
    let Some(second) = next(&mut stream).await? else {
        return if first.len() > MAX_BODY { Err(too_large()) } else { Ok(first) };
    };
    let mut all = BytesMut::with_capacity(first.len() + second.len());
    all.extend_from_slice(&first);
    all.extend_from_slice(&second);
    while let Some(piece) = next(&mut stream).await? {
        all.extend_from_slice(&piece);
        if all.len() > MAX_BODY {
            drop_rest(stream, all.len()).await;
            return Err(too_large());
        }
    }
    if all.len() > MAX_BODY { Err(too_large()) } else { Ok(all.freeze()) }
}

async fn next(stream: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    let piece = stream.try_next().await;
    piece.map_err(|error| Problem::new(Code::MalformedJson, format!("the body broke off: {error}")))
}

async fn drop_rest(mut stream: BodyDataStream, mut dropped: usize) {
    while dropped < MAX_DROPPED {
        match stream.try_next().await {
            Ok(Some(piece)) => dropped += piece.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

async fn drop_body(body: Body) {
    let _ = tokio::time::timeout(BODY_TIMEOUT, drop_rest(body.into_data_stream(), 0)).await;
}

/// Notes in a request's span whose order it is about.
pub(crate) fn note_order(order: OrderId) {
    tracing::Span::current().record("order_id", tracing::field::display(order));
}

/// The one location there is.
pub(crate) fn main_location() -> LocationCode {
    LocationCode::from(domain::location::MAIN)
}
