//! Who sees what.
use super::{code, data};
use crate::{
    given::{Given, placed, shop},
    graphql::Viewer,
};
use eventstore::Role;
use serde_json::json;

#[tokio::test]
async fn for_a_shop_the_things_of_others_do_not_exist() {
    let given = Given::new().await;
    given.receive("mine", "a", 5).await;
    given.receive("theirs", "b", 5).await;
    let mine = given.completed("mine", placed("my-ref", &[("a", 1)])).await;
    let theirs = given.completed("theirs", placed("their-ref", &[("b", 1)])).await;
    given.project().await;

    let lists = "{ orders { totalCount nodes { id shop } } fulfillments { totalCount nodes { id } } sagas { totalCount nodes { id } }
        stock { totalCount nodes { sku } } }";
    let found = data(&given, shop("mine"), lists).await;
    assert_eq!(found["orders"], json!({"totalCount": 1, "nodes": [{"id": mine.to_string(), "shop": "mine"}]}));
    assert_eq!(found["fulfillments"], json!({"totalCount": 1, "nodes": [{"id": mine.fulfillment().to_string()}]}));
    assert_eq!(found["sagas"], json!({"totalCount": 1, "nodes": [{"id": mine.saga().to_string()}]}));
    assert_eq!(found["stock"], json!({"totalCount": 1, "nodes": [{"sku": "a"}]}));

    let (order, fulfillment, saga) = (theirs, theirs.fulfillment(), theirs.saga());
    let query = format!(
        r#"{{ byId: order(id: "{order}") {{ id }} byRef: order(ref: "their-ref") {{ id }} named: order(ref: "their-ref", shop: "theirs") {{ id }}
            o: node(id: "{order}") {{ id }} f: node(id: "{fulfillment}") {{ id }} s: node(id: "{saga}") {{ id }}
            orders(where: {{shop: "theirs"}}) {{ totalCount }} stock(shop: "theirs") {{ totalCount nodes {{ sku }} }} }}"#
    );
    assert_eq!(
        data(&given, shop("mine"), &query).await,
        json!({"byId": null, "byRef": null, "named": null, "o": null, "f": null, "s": null,
            "orders": {"totalCount": 0}, "stock": {"totalCount": 0, "nodes": []}})
    );
}

#[tokio::test]
async fn staff_see_all_shops() {
    let given = Given::new().await;
    given.completed("one", placed("r-1", &[("a", 1)])).await;
    given.completed("two", placed("r-2", &[("a", 1)])).await;
    given.project().await;
    for role in [Role::Warehouse, Role::Support, Role::Operator] {
        let found = data(&given, Viewer { role, shop: None }, "{ orders { totalCount } sagas { totalCount } }").await;
        assert_eq!(found, json!({"orders": {"totalCount": 2}, "sagas": {"totalCount": 2}}), "{role:?}");
    }
}

#[tokio::test]
async fn a_shop_s_key_without_a_shop_is_refused() {
    let given = Given::new().await;
    let viewer = Viewer { role: Role::Shop, shop: None };
    assert_eq!(code(&given, viewer, "{ orders { totalCount } }").await, "FORBIDDEN");
}
