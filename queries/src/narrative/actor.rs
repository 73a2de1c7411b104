//! Who did it, in words.
use domain::{
    Event,
    fulfillment::{DEFINITION, SagaEvent},
    order::OrderEvent,
};
use eventstore::{Actor, ActorKind};
use std::borrow::Cow;

/// Who did what the event says, where `actor` made its append: what a saga does as it begins stands in the append of whoever placed the order.
pub fn author<'a>(event: &Event, actor: &'a Actor) -> Cow<'a, Actor> {
    match event {
        Event::Saga(SagaEvent::SagaStarted(_)) | Event::Order(OrderEvent::StockReserved(_)) => {
            Cow::Owned(Actor { kind: ActorKind::Saga, id: DEFINITION.saga.to_owned(), key: None, on_behalf_of: None })
        }
        _ => Cow::Borrowed(actor),
    }
}

/// For example `shop dev`, `the fulfillment saga` or `support key anna`.
pub fn actor_name(actor: &Actor) -> String {
    let id = &actor.id;
    let name: Cow<'static, str> = match actor.kind {
        ActorKind::Shop => format!("shop {id}").into(),
        ActorKind::Warehouse => staff("warehouse", id),
        ActorKind::Support => staff("support", id),
        ActorKind::Operator => staff("operator", id),
        ActorKind::Saga => format!("the {id} saga").into(),
        ActorKind::Provider => format!("provider {id}").into(),
        ActorKind::System => "Waybill itself".into(),
    };
    match &actor.on_behalf_of {
        Some(other) => format!("{name}, on behalf of {other}"),
        None => name.into_owned(),
    }
}

/// A key that is named like its role says it once.
fn staff(role: &'static str, id: &str) -> Cow<'static, str> {
    if id.is_empty() || id == role { role.into() } else { format!("{role} key {id}").into() }
}

/// For example `shop` or `saga`.
pub fn actor_kind_name(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::Shop => "shop",
        ActorKind::Warehouse => "warehouse",
        ActorKind::Support => "support",
        ActorKind::Operator => "operator",
        ActorKind::Saga => "saga",
        ActorKind::Provider => "provider",
        ActorKind::System => "system",
    }
}

/// How a sentence begins that this one did.
pub(super) fn subject(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::Shop => "The shop",
        ActorKind::Warehouse => "The warehouse",
        ActorKind::Support => "Support",
        ActorKind::Operator => "An operator",
        ActorKind::Provider => "The provider",
        ActorKind::Saga | ActorKind::System => "Waybill",
    }
}
