//! The contract, asked as a client would.
mod as_of;
mod incidents;
mod indexes;
mod lists;
mod orders;
mod returns;
mod sagas;
mod schema;
mod viewers;

use super::{GraphQl, Request, Viewer};
use crate::given::Given;
use async_graphql::Variables;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a query answers: `{"data", "errors"?}`.
pub(super) async fn ask(graphql: &GraphQl, viewer: Viewer, query: &str, variables: Value) -> Value {
    let request = Request::new(query).variables(Variables::from_json(variables));
    let (response, _) = graphql.execute(request, viewer).await;
    serde_json::to_value(response).unwrap()
}

/// The data of a query that has no errors.
pub(super) async fn data(given: &Given, viewer: Viewer, query: &str) -> Value {
    let answer = ask(&given.graphql(), viewer, query, json!({})).await;
    assert_eq!(answer.get("errors"), None, "{query}");
    answer["data"].clone()
}

/// The code that all errors of a query have.
pub(super) async fn code(given: &Given, viewer: Viewer, query: &str) -> String {
    let answer = ask(&given.graphql(), viewer, query, json!({})).await;
    let codes = answer["errors"].as_array().unwrap().iter().map(|error| error["extensions"]["code"].as_str().unwrap());
    let codes: BTreeSet<&str> = codes.collect();
    assert_eq!(codes.len(), 1, "{query}: {answer}");
    codes.into_iter().collect()
}
