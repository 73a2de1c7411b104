//! The schema as it is kept in the repository is the schema.
use crate::graphql::GraphQl;
use eventstore::MemoryEventStore;
use sqlx::postgres::PgPoolOptions;
use std::{fs, path::Path, sync::Arc};

fn sdl() -> String {
    let pool = PgPoolOptions::new().connect_lazy("postgres://nowhere").unwrap();
    GraphQl::new(pool, Arc::new(MemoryEventStore::default())).sdl()
}

/// `UPDATE_SCHEMA=1 cargo test -p queries schema` writes it anew.
#[tokio::test]
async fn the_schema_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, sdl()).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == sdl(), "queries/schema.graphql is not current: UPDATE_SCHEMA=1 cargo test -p queries schema");
}

/// What the outer contract promises, less what is left to later, stands in it word for word.
#[tokio::test]
async fn the_schema_keeps_the_outer_contract() {
    let sdl = sdl();
    let flat: Vec<&str> = sdl.lines().map(str::trim).collect();
    let promised = [
        "node(id: ID!): Node",
        "order(id: ID, ref: String, shop: ID, asOf: AsOf): Order",
        "input AsOf @oneOf {",
        "orders(where: OrderWhere, orderBy: OrderOrder = PLACED_AT_DESC, first: Int, after: String, last: Int, before: String): OrderConnection!",
        "fulfillments(where: FulfillmentWhere, first: Int, after: String, last: Int, before: String): FulfillmentConnection!",
        "stock(shop: ID, sku: String, location: String, first: Int, after: String, last: Int, before: String): StockConnection!",
        "sagas(where: SagaWhere, first: Int, after: String, last: Int, before: String): SagaConnection!",
        "timeline(first: Int, after: String, last: Int, before: String): TimelineConnection!",
        "scalar Decimal",
        "scalar Position",
        "type Order implements Node {",
        "type Fulfillment implements Node {",
        "type Saga implements Node {",
        "type Return implements Node {",
        "returns: [Return!]!",
        "returns(where: ReturnWhere, first: Int, after: String, last: Int, before: String): ReturnConnection!",
        "return: Return",
        "statusIn: [OrderStatus!]",
        "placedAt: TimeRange",
        "waitingLongerThanSeconds: Int",
        "statusReason: String",
        "payment: Payment",
        "fulfillments: [Fulfillment!]!",
        "saga: Saga",
        "remainingSteps: [String!]!",
        "onHand: Int!",
        "trackingNumber: String",
        "totalCount: Int!",
        "actorKind: String!",
        "orderId: ID!",
    ];
    for line in promised {
        assert!(flat.contains(&line), "{line} is not in the schema");
    }
    for absent in ["Subscription", "Mutation"] {
        assert!(!sdl.contains(absent), "{absent} is not built yet");
    }
}
