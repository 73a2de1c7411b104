//! Whatever has an id of its own.
use super::{fulfillment, fulfillment::Fulfillment, order, order::Order, saga, saga::Saga};
use async_graphql::{Context, ID, Interface, Result};

/// Something with an id that is unique among all things.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID"))]
pub(super) enum Node {
    Order(Order),
    Fulfillment(Fulfillment),
    Saga(Saga),
}

/// What has this id, if it exists for the viewer.
pub(super) async fn by_id(ctx: &Context<'_>, id: &str) -> Result<Option<Node>> {
    if let Ok(id) = id.parse() {
        return Ok(order::by_id(ctx, id).await?.map(Node::Order));
    }
    if let Ok(id) = id.parse() {
        return Ok(fulfillment::by_id(ctx, id).await?.map(Node::Fulfillment));
    }
    if let Ok(id) = id.parse() {
        return Ok(saga::by_id(ctx, id).await?.map(Node::Saga));
    }
    Ok(None)
}
