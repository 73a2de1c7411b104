//! Whatever has an id of its own.
use super::{
    fulfillment::{self, Fulfillment},
    order::{self, Order},
    returned::{self, Return},
    saga::{self, Saga},
};
use crate::projections::sagas::SagaKey;
use async_graphql::{Context, ID, Interface, Result};
use domain::{SagaId, saga::Which};

/// Something with an id that is unique among all things, but that a return and its saga share theirs.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID"))]
pub(super) enum Node {
    Order(Order),
    Fulfillment(Fulfillment),
    Saga(Saga),
    Return(Return),
}

/// What has this id, if it exists for the viewer.
pub(super) async fn by_id(ctx: &Context<'_>, id: &str) -> Result<Option<Node>> {
    if let Ok(id) = id.parse() {
        return Ok(order::by_id(ctx, id).await?.map(Node::Order));
    }
    if let Ok(id) = id.parse() {
        return Ok(fulfillment::by_id(ctx, id).await?.map(Node::Fulfillment));
    }
    if let Ok(id) = id.parse::<SagaId>() {
        let key = SagaKey::of(id.order(), Which::Fulfillment);
        return Ok(saga::by_key(ctx, key).await?.map(Node::Saga));
    }
    if let Ok(id) = id.parse() {
        return Ok(returned::by_id(ctx, id).await?.map(Node::Return));
    }
    Ok(None)
}
