//! Each kind of change, planted: seen, or passed over where it binds nobody.
use super::*;
use serde_json::json;

/// An event that has a field of every kind.
fn schema() -> Value {
    json!({
        "title": "ParcelSent", "description": "It has left.", "type": "object",
        "$defs": {
            "Line": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "quantity": {"type": "integer", "format": "int64"}},
                "required": ["sku", "quantity"]
            },
            "Mode": {"enum": ["AUTO", "MANUAL"], "type": "string"}
        },
        "properties": {
            "id": {"type": "string", "pattern": "^ord_"},
            "at": {"type": "string", "format": "date-time"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
            "mode": {"$ref": "#/$defs/Mode"},
            "spare": {"anyOf": [{"$ref": "#/$defs/Line"}, {"type": "null"}]},
            "note": {"type": ["string", "null"]},
            "count": {"type": "integer", "minimum": 0}
        },
        "required": ["id", "at", "lines", "mode", "count"]
    })
}

fn after(change: impl Fn(&mut Value), additions: Additions) -> Vec<(String, String)> {
    let mut new = schema();
    change(&mut new);
    let changes = changes(&schema(), &new, additions);
    changes.into_iter().map(|change| (change.path, change.what.to_string())).collect()
}

/// The one change that is seen, as `path: what`.
fn seen(change: impl Fn(&mut Value)) -> String {
    let changes = after(change, Additions::Refused);
    let [(path, what)] = changes.as_slice() else { panic!("{changes:?}") };
    format!("{path}: {what}")
}

fn set(pointer: &'static str, value: Value) -> impl Fn(&mut Value) {
    move |schema| *schema.pointer_mut(pointer).unwrap() = value.clone()
}

fn put(pointer: &'static str, name: &'static str, value: Value) -> impl Fn(&mut Value) {
    move |schema| schema.pointer_mut(pointer).unwrap()[name] = value.clone()
}

fn take(pointer: &'static str, name: &'static str) -> impl Fn(&mut Value) {
    move |schema| drop(schema.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name).unwrap())
}

#[test]
fn a_field_that_goes_is_seen_within_arrays_and_behind_references_too() {
    assert_eq!(seen(take("/properties", "note")), ".note: the field is gone, and published readers look for it");
    let in_lines = after(take("/$defs/Line/properties", "sku"), Additions::Optional);
    let paths: Vec<&str> = in_lines.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, [".lines[].sku", ".spare.sku"]);
}

#[test]
fn a_field_that_comes_is_seen_and_an_optional_one_is_taken_where_additions_are() {
    let optional = put("/properties", "carrier", json!({"type": ["string", "null"]}));
    assert_eq!(seen(&optional), ".carrier: the field is new, and published readers pass over it without a word");
    assert_eq!(after(&optional, Additions::Optional), []);
    let required = |schema: &mut Value| {
        optional(schema);
        schema["required"].as_array_mut().unwrap().push("carrier".into());
    };
    let what = "the field is new and required, and what lies in the log has none".to_owned();
    for additions in [Additions::Refused, Additions::Optional] {
        assert_eq!(after(required, additions), [(".carrier".to_owned(), what.clone())]);
    }
}

#[test]
fn a_field_that_becomes_required_or_optional_is_seen() {
    assert_eq!(
        seen(set("/required", json!(["id", "at", "lines", "mode", "count", "note"]))),
        ".note: the field has become required, and what lies in the log may have none"
    );
    assert_eq!(
        seen(set("/required", json!(["id", "at", "lines", "mode"]))),
        ".count: the field has become optional, and published readers count on it"
    );
}

#[test]
fn a_type_that_is_wider_narrower_or_another_is_seen() {
    assert_eq!(
        seen(set("/properties/id/type", json!(["string", "null"]))),
        ".id: null is admitted now, and published readers refuse it"
    );
    assert_eq!(
        seen(set("/properties/note/type", json!("string"))),
        ".note: null is no longer admitted, and the log may hold it"
    );
    let other = after(set("/properties/count/type", json!("number")), Additions::Optional);
    assert_eq!(other.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), [".count", ".count"]);
    assert_eq!(
        seen(set("/properties/spare", json!({"$ref": "#/$defs/Line"}))),
        ".spare: null is no longer admitted, and the log may hold it"
    );
}

#[test]
fn a_word_more_or_less_is_seen() {
    assert_eq!(
        seen(set("/$defs/Mode/enum", json!(["AUTO", "MANUAL", "SHARED"]))),
        r#".mode: "SHARED" is admitted now, and published readers refuse it"#
    );
    assert_eq!(
        seen(set("/$defs/Mode/enum", json!(["AUTO"]))),
        r#".mode: "MANUAL" is no longer admitted, and the log may hold it"#
    );
    assert_eq!(seen(take("/$defs/Mode", "enum")), ".mode: any word is admitted now, and published readers refuse it");
    assert_eq!(
        seen(put("/properties/note", "enum", json!(["a", null]))),
        ".note: a word that is not listed is no longer admitted, and the log may hold it"
    );
}

#[test]
fn a_format_a_pattern_or_a_bound_that_comes_goes_or_changes_is_seen() {
    assert_eq!(
        seen(take("/properties/at", "format")),
        r#".at: `format` was "date-time" and is absent: one refuses what the other admits"#
    );
    assert_eq!(
        seen(set("/properties/id/pattern", json!("^o_"))),
        r#".id: `pattern` was "^ord_" and is "^o_": one refuses what the other admits"#
    );
    assert_eq!(
        seen(put("/properties/note", "maxLength", json!(10))),
        ".note: `maxLength` was absent and is 10: one refuses what the other admits"
    );
    assert_eq!(
        seen(take("/properties/lines", "items")),
        r##".lines: `items` was {"$ref":"#/$defs/Line"} and is absent: one refuses what the other admits"##
    );
}

#[test]
fn a_schema_that_closes_or_says_what_is_not_known_here_is_seen() {
    assert_eq!(
        seen(put("", "additionalProperties", json!(false))),
        ".: `additionalProperties` was absent and is false: one refuses what the other admits"
    );
    let what = seen(put("/properties/note", "not", json!({"const": "x"})));
    assert!(what.starts_with(".note: `not` was absent and is"), "{what}");
    let what = seen(put("/properties/id", "anyOf", json!([{"minLength": 1}, {"maxLength": 9}])));
    assert!(what.starts_with(".id: `anyOf` was absent and is"), "{what}");
}

#[test]
fn words_for_people_and_the_names_of_parts_may_change() {
    let mut text = schema().to_string();
    text = text.replace("It has left.", "It is away.").replace("ParcelSent", "ParcelLeft").replace("Line", "Item");
    let mut new: Value = serde_json::from_str(&text).unwrap();
    new["examples"] = json!([{}]);
    new["$defs"]["Unused"] = json!({"type": "string"});
    assert_eq!(changes(&schema(), &new, Additions::Refused), []);
}

#[test]
fn the_same_said_in_another_way_is_the_same() {
    let same = |schema: &mut Value| {
        schema["$defs"]["Mode"] = json!({"oneOf": [
            {"const": "MANUAL", "type": "string", "description": "By hand."}, {"const": "AUTO", "type": "string"}
        ]});
        schema["properties"]["lines"]["items"] = schema["$defs"]["Line"].clone();
        schema["properties"]["note"] =
            json!({"anyOf": [{"type": "null"}, {"type": "string", "description": "Typed."}]});
    };
    assert_eq!(after(same, Additions::Refused), []);
}

#[test]
fn a_schema_that_contains_itself_is_no_endless_loop() {
    let own = json!({"$ref": "#"});
    assert_eq!(changes(&own, &own, Additions::Refused)[0].what, What::TooDeep);
    let nested = json!({"type": "object", "properties": {"child": {"$ref": "#"}}});
    assert!(changes(&nested, &nested, Additions::Refused).iter().any(|change| change.what == What::TooDeep));
}
