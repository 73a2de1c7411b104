//! The GraphQL schema of the outer contract: queries only. Commands go over REST; nothing here changes anything.
//!
//! A request is answered from one snapshot of the rows, so that all of it reflects one position, and that one is told. A shop sees
//! what is its own, and nothing else exists for it; staff see all shops.
mod as_of;
mod connection;
mod error;
mod fulfillment;
mod incidents;
mod loaders;
mod node;
mod order;
mod orders;
mod returned;
mod saga;
mod scalars;
mod snapshot;
mod stock;
#[cfg(test)]
mod tests;
mod timeline;
mod viewer;

pub use async_graphql::{Request, Response};
pub use error::{coded, response as error_response};
pub use viewer::Viewer;

use as_of::{Archive, AsOf};
use async_graphql::{
    Context, EmptyMutation, EmptySubscription, ID, Object, Result, SDLExportOptions, Schema, dataloader::DataLoader,
};
use connection::{Cost, cost};
use eventstore::{EventStore, Position};
use fulfillment::{FulfillmentConnection, FulfillmentWhere};
use incidents::IncidentGroup;
use loaders::Loaders;
use node::Node;
use order::Order;
use orders::{OrderConnection, OrderOrder, OrderWhere};
use returned::{ReturnConnection, ReturnWhere};
use saga::{SagaConnection, SagaWhere};
use snapshot::Snapshot;
use sqlx::PgPool;
use std::sync::Arc;
use stock::StockConnection;
use tracing::error;

/// How deep a query may go; what GraphiQL asks to know the schema needs 15.
const MAX_DEPTH: usize = 20;
/// How many fields an answer may hold at most, lists counted as full as they were asked for.
const MAX_COST: Cost = 200_000;

type Queries = Schema<Query, EmptyMutation, EmptySubscription>;

/// The schema and where its answers come from.
#[derive(Clone)]
pub struct GraphQl {
    schema: Queries,
    pool: PgPool,
    store: Arc<dyn EventStore>,
}

impl std::fmt::Debug for GraphQl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GraphQl").finish_non_exhaustive()
    }
}

impl GraphQl {
    /// The present is read from the pool's database, the past and the timelines from the store.
    pub fn new(pool: PgPool, store: Arc<dyn EventStore>) -> GraphQl {
        let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
            .register_output_type::<Node>()
            .limit_depth(MAX_DEPTH)
            .limit_complexity(MAX_COST)
            .finish();
        GraphQl { schema, pool, store }
    }

    /// The schema in its own language, as it is kept in `queries/schema.graphql`.
    pub fn sdl(&self) -> String {
        self.schema.sdl_with_options(SDLExportOptions::new().prefer_single_line_descriptions().use_space_ident())
    }

    /// Answers one request; errors stand in the response. The position is what the answer reflects: that of the rows, or the earliest
    /// that the request asked for as of. Without a database there is none to tell: `None`.
    pub async fn execute(&self, request: Request, viewer: Viewer) -> (Response, Option<Position>) {
        let snapshot = match Snapshot::open(&self.pool).await {
            Ok(snapshot) => Arc::new(snapshot),
            Err(cause) => {
                error!(error = %cause, "the read model can't be read");
                return (error_response(error::unavailable()), None);
            }
        };
        let loaders = DataLoader::new(Loaders::new(snapshot.clone(), self.store.clone()), tokio::spawn);
        let archive = Arc::new(Archive::new(self.store.clone()));
        let request = request.data(viewer).data(snapshot.clone()).data(loaders).data(archive.clone());
        let response = self.schema.execute(request).await;
        (error::with_codes(response), Some(archive.asked().unwrap_or(snapshot.position())))
    }
}

struct Query;

/// What can be asked. Everything in one request reflects one position of the log, but for what is asked for as of another.
#[Object]
impl Query {
    /// Anything by its id: `ord_…`, `ful_…`, `sag_…` or `ret_…`, which is the return and not its saga. Null when there is no such thing, or it is another shop's.
    async fn node(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Node>> {
        node::by_id(ctx, &id).await
    }

    /// One order, by its id or by the shop's own ref. A ref that several shops use is refused with the code AMBIGUOUS_REF and the
    /// candidates: then name the shop too. `asOf` answers it, and all that hangs on it, as it was then: null when it was not placed
    /// yet. A position that the log has not reached is refused with the code POSITION_NOT_REACHED.
    #[graphql(complexity = "as_of::cost(as_of, child_complexity)")]
    async fn order(
        &self,
        ctx: &Context<'_>,
        id: Option<ID>,
        #[graphql(name = "ref")] order_ref: Option<String>,
        shop: Option<ID>,
        as_of: Option<AsOf>,
    ) -> Result<Option<Order>> {
        orders::one(ctx, id, order_ref, shop, as_of).await
    }

    /// Orders, the newest first unless said otherwise.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<OrderWhere>,
        #[graphql(default_with = "Some(OrderOrder::PlacedAtDesc)")] order_by: Option<OrderOrder>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<OrderConnection> {
        let order_by = order_by.unwrap_or(OrderOrder::PlacedAtDesc);
        orders::list(ctx, filter, order_by, connection::Arguments { first, after, last, before }).await
    }

    /// Goods released to a warehouse, the oldest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn fulfillments(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<FulfillmentWhere>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<FulfillmentConnection> {
        fulfillment::list(ctx, filter, connection::Arguments { first, after, last, before }).await
    }

    /// Goods that come back, the oldest order's first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn returns(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<ReturnWhere>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<ReturnConnection> {
        returned::list(ctx, filter, connection::Arguments { first, after, last, before }).await
    }

    /// What lies where, by SKU.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn stock(
        &self,
        ctx: &Context<'_>,
        shop: Option<ID>,
        sku: Option<String>,
        location: Option<String>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<StockConnection> {
        stock::list(ctx, shop, sku, location, connection::Arguments { first, after, last, before }).await
    }

    /// The processes that carry orders out and take back what is returned of them, the oldest order's first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn sagas(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "where")] filter: Option<SagaWhere>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<SagaConnection> {
        saga::list(ctx, filter, connection::Arguments { first, after, last, before }).await
    }

    /// Sagas that need a person, by what they stopped at and why, the largest group first; at most 100 groups.
    #[graphql(complexity = "incidents::cost(child_complexity)")]
    async fn incidents(&self, ctx: &Context<'_>, shop: Option<ID>) -> Result<Vec<IncidentGroup>> {
        incidents::groups(ctx, shop).await
    }
}
