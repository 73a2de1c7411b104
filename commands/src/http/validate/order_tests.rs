//! An order's body, field by field.
use super::{
    fault::Faults,
    json::Json,
    order::{Placement, Rules, order},
    testing::told,
};
use crate::personal::ShopDefaults;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::{
    Amount,
    order::{ChargeKind, OnShortage},
};
use serde_json::{Value, json};

/// The contract's own.
const EXAMPLE: &str = r#"{"order_ref": "cj-31198570044", "placed_at": "2017-01-01T11:53:26", "channel": "web", "store_ref": "st-330",
        "customer": {"ref": "hh-900", "name": "N", "email": "e@example.com", "phone": "1"},
        "ship_to": {"name": "N", "line1": "L", "city": "C", "postal_code": "45202-11", "country": "US"}, "billing": {"country": "US"},
        "currency": "USD",
        "lines": [{"line_id": "1", "sku": "1095275", "quantity": 1, "line_total": "0.50", "discount": "0.00", "unit": "each"}],
        "charges": [{"kind": "shipping", "amount": "4.90"}, {"kind": "tax", "amount": "0.40", "line_id": "1"}], "prices_include_tax": false, "total": "5.80",
        "shipping_method": "standard", "promise": {"ship_by": "2017-01-02T00:00:00Z", "deliver_by": "2017-01-03T00:00:00Z"}, "priority": 0, "on_shortage": "CANCEL",
        "payment": {"method": "card", "token": "tok_ok", "fingerprint": "f"}, "client": {"ip": "127.0.0.1", "user_agent": "u"}, "metadata": {}}"#;

fn rules(defaults: ShopDefaults) -> Rules {
    let received_at = "2026-01-02T03:04:05Z".parse::<DateTime<Utc>>().unwrap();
    Rules { zone: Tz::America__New_York, defaults, received_at }
}

fn read_as(body: &str, defaults: ShopDefaults) -> Result<Placement, Vec<String>> {
    let (json, faults) = (Json::parse(body.as_bytes()).unwrap(), Faults::default());
    let placement = order(&json, &rules(defaults), &faults);
    faults.into_result(placement).map_err(|faults| told(&faults))
}

/// A sound order with these fields besides or instead.
fn with(changes: Value) -> Result<Placement, Vec<String>> {
    let mut body = json!({ "order_ref": "r", "customer_ref": "c", "currency": "USD",
        "lines": [{ "sku": "a", "quantity": 2, "line_total": "10.00" }] });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    read_as(&body.to_string(), ShopDefaults::dev())
}

fn faults(changes: Value) -> Vec<String> {
    with(changes).map_or_else(|faults| faults, |_| vec![])
}

#[test]
fn the_contract_s_own_example_is_an_order() {
    let Placement { placed, personal } = read_as(EXAMPLE, ShopDefaults::default()).unwrap();
    assert_eq!(placed.total, Amount(580));
    assert_eq!(placed.placed_at.to_rfc3339(), "2017-01-01T16:53:26+00:00", "in the shop's zone");
    assert_eq!(placed.placed_at_given.as_deref(), Some("2017-01-01T11:53:26"));
    assert_eq!(placed.received_at.to_rfc3339(), "2026-01-02T03:04:05+00:00");
    assert_eq!(placed.customer_ref, "hh-900");
    assert_eq!((placed.ship_to.postal_prefix.as_deref(), placed.ship_to.default), (Some("452"), false));
    assert_eq!(placed.charges[1].kind, ChargeKind::Tax);
    assert_eq!(placed.on_shortage, OnShortage::Cancel);
    assert_eq!(personal.payment.unwrap().token, "tok_ok");
    assert_eq!(personal.ship_to.unwrap().postal_code.as_deref(), Some("45202-11"));
    assert!(personal.metadata.is_none(), "there is nothing to keep of an empty one");
    let event = serde_json::to_string(&placed).unwrap();
    for secret in ["e@example.com", "tok_ok", "45202", "127.0.0.1"] {
        assert!(!event.contains(secret), "{secret} is personal and stands in the event: {event}");
    }
}

#[test]
fn what_is_left_out_has_its_default_and_that_is_recorded() {
    let Placement { placed, personal } = with(json!({})).unwrap();
    assert_eq!(placed.lines[0].line_id.0, "1");
    assert_eq!((placed.placed_at, placed.placed_at_given), (placed.received_at, None));
    assert!(placed.ship_to.default && placed.payment.unwrap().default);
    assert!(personal.is_empty(), "a shop's defaults are nobody's personal data");
}

#[test]
fn what_is_required_is_named() {
    assert_eq!(
        read_as("{}", ShopDefaults::default()).unwrap_err(),
        [
            "/order_ref required",
            "/customer/ref required",
            "/currency required",
            "/lines required",
            "/ship_to required",
            "/payment required"
        ]
    );
}

#[test]
fn every_fault_at_any_depth_is_told_at_once() {
    let body = r#"{"order_ref": 7, "channel": "", "colour": 1, "customer": {"ref": "c", "nick": "x"}, "currency": "USD",
        "lines": [{"sku": "a", "quantity": 0, "line_total": "1.005"}, {"line_id": "1", "sku": "a", "quantity": "2", "line_total": 5, "size": 3}],
        "charges": [{"kind": "gift", "amount": "-1"}], "prices_include_tax": "no", "placed_at": "soon", "ship_to": {"country": "XX"},
        "payment": {}, "priority": 1.5, "promise": {"ship_by": 1}, "metadata": [], "client": {"ip": 1}, "on_shortage": "BACKORDER"}"#;
    let mut told = read_as(body, ShopDefaults::default()).unwrap_err();
    told.sort();
    let mut expected = [
        "/channel too_short",
        "/charges/0/amount not_a_decimal",
        "/charges/0/kind unknown_value",
        "/client/ip wrong_type",
        "/colour unknown_field",
        "/customer/nick unknown_field",
        "/lines/0/line_total too_many_digits",
        "/lines/0/quantity out_of_range",
        "/lines/1/line_id duplicate_line_id",
        "/lines/1/line_total wrong_type",
        "/lines/1/quantity wrong_type",
        "/lines/1/size unknown_field",
        "/metadata wrong_type",
        "/on_shortage unsupported",
        "/order_ref wrong_type",
        "/payment/token required",
        "/placed_at invalid_timestamp",
        "/prices_include_tax wrong_type",
        "/priority wrong_type",
        "/promise/ship_by wrong_type",
        "/ship_to/country invalid_country",
    ];
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[test]
fn the_total_is_lines_and_charges_and_a_given_one_must_agree() {
    let charges = json!([{ "kind": "shipping", "amount": "4.90" }, { "kind": "discount", "amount": "1" },
        { "kind": "gift_card", "amount": "2.5" }, { "kind": "tax", "amount": "0.40", "line_id": "1" }, { "kind": "fee", "amount": "0.10" }]);
    assert_eq!(with(json!({ "charges": charges, "total": "11.90" })).unwrap().placed.total, Amount(1190));
    assert_eq!(with(json!({ "charges": charges, "prices_include_tax": true })).unwrap().placed.total, Amount(1150));
    assert_eq!(faults(json!({ "charges": charges, "total": "11.91" })), ["/total total_mismatch"]);
    assert_eq!(faults(json!({ "charges": [{ "kind": "discount", "amount": "10.01" }] })), ["/total out_of_range"]);
    assert_eq!(
        faults(json!({ "charges": [{ "kind": "tax", "amount": "1", "line_id": "9" }] })),
        ["/charges/0/line_id unknown_line"]
    );
    assert_eq!(with(json!({ "total": "10" })).unwrap().placed.total, Amount(1000), "\"10\" is \"10.00\"");
    let discounted = json!({ "lines": [{ "sku": "a", "quantity": 1, "line_total": "1.00", "discount": "5.00" }] });
    assert_eq!(with(discounted).unwrap().placed.total, Amount(100), "a line's discount is information");
}

#[test]
fn sums_never_overflow() {
    let line = json!({ "sku": "a", "quantity": 1, "line_total": "92233720368547758.07" });
    assert_eq!(
        faults(json!({ "lines": [line, line] })),
        ["/lines/0/line_total out_of_range", "/lines/1/line_total out_of_range"]
    );
    let line = json!({ "sku": "a", "quantity": 1, "line_total": "10000000000000.00" });
    let charge = json!({ "kind": "fee", "amount": "10000000000000.00" });
    assert!(with(json!({ "lines": vec![line; 500], "charges": vec![charge; 1000] })).is_ok());
}

#[test]
fn an_order_of_nothing_needs_neither_address_nor_payment() {
    let body = r#"{"order_ref":"r","customer_ref":"c","currency":"USD","lines":[{"sku":"a","quantity":1,"line_total":"0.00"}]}"#;
    let placed = read_as(body, ShopDefaults::default()).unwrap().placed;
    assert_eq!((placed.payment, placed.ship_to), (None, domain::order::Destination::default()));
    let placed = read_as(body, ShopDefaults::dev()).unwrap().placed;
    assert!(placed.payment.is_none() && placed.ship_to.default, "the goods go somewhere; there is nothing to pay");
}

#[test]
fn the_customer_is_named_either_way_but_not_two_ways() {
    assert_eq!(with(json!({ "customer": { "ref": "c" } })).unwrap().placed.customer_ref, "c");
    assert_eq!(faults(json!({ "customer": { "ref": "d" } })), ["/customer_ref customer_mismatch"]);
    assert_eq!(with(json!({ "customer": { "name": "N" } })).unwrap().placed.customer_ref, "c");
    let body = r#"{"order_ref":"r","customer":{"name":"N"},"currency":"USD","lines":[{"sku":"a","quantity":1,"line_total":"0"}]}"#;
    assert_eq!(read_as(body, ShopDefaults::dev()).unwrap_err(), ["/customer/ref required"]);
}

#[test]
fn limits_are_those_of_the_contract() {
    let line = json!({ "sku": "a", "quantity": 1, "line_total": "1" });
    assert!(with(json!({ "lines": vec![line.clone(); 500] })).is_ok());
    assert_eq!(faults(json!({ "lines": vec![line; 501] })), ["/lines too_long"]);
    assert_eq!(faults(json!({ "lines": [] })), ["/lines too_short"]);
    for (quantity, sound) in [(0, false), (1, true), (1_000_000, true), (1_000_001, false), (-1, false)] {
        let lines = json!({ "lines": [{ "sku": "a", "quantity": quantity, "line_total": "1" }] });
        assert_eq!(with(lines).is_ok(), sound, "{quantity}");
    }
    for quantity in ["1.0", "1e2", "\"1\"", "null", "true", "99999999999999999999"] {
        let body = format!(
            r#"{{"order_ref":"r","customer_ref":"c","currency":"USD","lines":[{{"sku":"a","quantity":{quantity},"line_total":"1"}}]}}"#
        );
        let told = read_as(&body, ShopDefaults::dev()).unwrap_err();
        assert!(told[0].starts_with("/lines/0/quantity"), "{quantity}: {told:?}");
    }
    assert!(with(json!({ "order_ref": "é".repeat(255) })).is_ok(), "characters are counted, not bytes");
    assert_eq!(faults(json!({ "order_ref": "x".repeat(256) })), ["/order_ref too_long"]);
    assert_eq!(faults(json!({ "order_ref": "" })), ["/order_ref too_short"]);
    assert!(with(json!({ "metadata": { "a": "x".repeat(16 * 1024 - 8) } })).is_ok());
    assert_eq!(faults(json!({ "metadata": { "a": "x".repeat(16 * 1024 - 7) } })), ["/metadata too_long"]);
}

#[test]
fn u_0000_is_refused_wherever_it_stands() {
    assert_eq!(faults(json!({ "order_ref": "a\u{0}b" })), ["/order_ref invalid_character"]);
    assert_eq!(
        faults(json!({ "metadata": { "a": { "b": ["x\u{0}"] } }, "customer": { "ref": "c", "name": "\u{0}" } })),
        ["/customer/name invalid_character", "/metadata/a/b/0 invalid_character"]
    );
    assert_eq!(faults(json!({ "metadata": { "k\u{0}": 1 } })), ["/metadata/k\u{0} invalid_character"]);
}

#[test]
fn a_name_given_twice_is_a_fault() {
    let body = r#"{"order_ref":"r","order_ref":"s","customer_ref":"c","currency":"USD","metadata":{"a":1,"a":1},
        "lines":[{"sku":"a","quantity":1,"line_total":"1","sku":"b"}]}"#;
    let mut told = read_as(body, ShopDefaults::dev()).unwrap_err();
    told.sort();
    assert_eq!(told, ["/lines/0/sku duplicate_field", "/metadata/a duplicate_field", "/order_ref duplicate_field"]);
}

#[test]
fn a_currency_has_its_own_digits() {
    let lines = |total: &str| json!([{ "sku": "a", "quantity": 1, "line_total": total }]);
    assert_eq!(with(json!({ "currency": "JPY", "lines": lines("500") })).unwrap().placed.total, Amount(500));
    assert_eq!(faults(json!({ "currency": "JPY", "lines": lines("5.0") })), ["/lines/0/line_total too_many_digits"]);
    assert_eq!(with(json!({ "currency": "KWD", "lines": lines("1.234") })).unwrap().placed.total, Amount(1234));
    assert_eq!(
        faults(json!({ "currency": "ZZZ", "lines": lines("x") })),
        ["/currency unknown_currency", "/lines/0/line_total not_a_decimal"]
    );
}

/// Every place in it, as a pointer.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    let mut inside = |name: &str, value: &Value| {
        let place = format!("{at}/{name}");
        all.push(place.clone());
        places(value, &place, all);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| inside(name, value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, value)| inside(&n.to_string(), value)),
        _ => {}
    }
}

#[test]
fn a_value_of_another_type_is_a_fault_at_its_own_place_wherever_it_stands() {
    let example: Value = serde_json::from_str(EXAMPLE).unwrap();
    let mut all = vec![];
    places(&example, "", &mut all);
    assert!(all.len() > 40);
    let values = [json!(true), json!(7), json!(1.5), json!("x"), json!([]), json!({})];
    for place in all {
        for value in &values {
            let mut body = example.clone();
            let here = body.pointer_mut(&place).unwrap();
            if std::mem::discriminant(here) == std::mem::discriminant(value) {
                continue;
            }
            *here = value.clone();
            let told = read_as(&body.to_string(), ShopDefaults::dev()).unwrap_err();
            assert!(told.contains(&format!("{place} wrong_type")), "{place} as {value}: {told:?}");
        }
    }
}

#[test]
fn null_leaves_out_what_may_be_left_out_and_is_a_wrong_type_where_something_must_stand() {
    let read = |body: &Value| read_as(&body.to_string(), ShopDefaults::dev()).map(|placement| format!("{placement:?}"));
    let example: Value = serde_json::from_str(EXAMPLE).unwrap();
    let mut all = vec![];
    places(&example, "", &mut all);
    for place in all {
        let (parent, name) = place.rsplit_once('/').unwrap();
        let (mut without, mut null) = (example.clone(), example.clone());
        let Value::Object(fields) = without.pointer_mut(parent).unwrap() else { continue };
        fields.remove(name);
        *null.pointer_mut(&place).unwrap() = Value::Null;
        match (read(&without), read(&null)) {
            (Err(left_out), null) if left_out.contains(&format!("{place} required")) => {
                assert!(null.unwrap_err().contains(&format!("{place} wrong_type")), "{place}");
            }
            (left_out, null) => assert_eq!(null, left_out, "{place}"),
        }
    }
}
