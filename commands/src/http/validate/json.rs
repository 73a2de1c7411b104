//! A request's JSON as it was sent: borrowed from the body, names twice given and all, so that every fault can be told.
//!
//! Text that is JSON but more than we take (nested too deep, a number too large, half a surrogate pair) is told from text that is none.
use super::fault::Fault;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;
use std::{borrow::Cow, fmt};

/// Names are in the order given; a name may stand twice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

#[derive(Debug)]
pub(crate) enum NotTaken {
    /// It is no JSON in UTF-8.
    Malformed(String),
    /// It is JSON, but not such as is taken here.
    Fault(Fault),
}

impl<'a> Json<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Json<'a>, NotTaken> {
        let text = std::str::from_utf8(body).map_err(|error| NotTaken::Malformed(format!("not UTF-8: {error}")))?;
        serde_json::from_str(text).map_err(|error| {
            // Skipping looks at form alone: neither depth nor size nor surrogates trouble it.
            match serde_json::from_str::<IgnoredAny>(text) {
                Err(_) => NotTaken::Malformed(error.to_string()),
                Ok(_) => {
                    let told = error.to_string();
                    let code = match () {
                        () if told.starts_with("recursion limit") => "too_deep",
                        () if told.starts_with("number out of range") => "out_of_range",
                        () => "invalid_character",
                    };
                    NotTaken::Fault(Fault::new(String::new(), code, told))
                }
            }
        })
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::Text(_) => "a string",
            Json::List(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    /// The same bytes for the same JSON, whatever the order of names and the white space.
    pub(crate) fn canonical(&self, out: &mut Vec<u8>) {
        fn text(out: &mut Vec<u8>, text: &str) {
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        match self {
            Json::Null => out.push(b'n'),
            Json::Bool(value) => out.extend_from_slice(if *value { b"bt" } else { b"bf" }),
            Json::Number(number) => {
                out.push(b'd');
                text(out, &number.to_string());
            }
            Json::Text(value) => {
                out.push(b's');
                text(out, value);
            }
            Json::List(items) => {
                out.push(b'[');
                items.iter().for_each(|item| item.canonical(out));
                out.push(b']');
            }
            Json::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by(|(a, _), (b, _)| a.cmp(b));
                out.push(b'{');
                for (name, value) in fields {
                    text(out, name);
                    value.canonical(out);
                }
                out.push(b'}');
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Json<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Json<'de>, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
                Ok(Json::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
                Ok(Json::Number(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
                Ok(Json::Number(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
                Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
                Ok(Json::Text(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
                Ok(Json::Text(Cow::Owned(value.to_owned())))
            }
            fn visit_string<E>(self, value: String) -> Result<Json<'de>, E> {
                Ok(Json::Text(Cow::Owned(value)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    fields.push((name, map.next_value()?));
                }
                Ok(Json::Object(fields))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A field's name; borrowed unless it has escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(number) => number.serialize(serializer),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => serializer.collect_seq(items),
            Json::Object(fields) => serializer.collect_map(fields.iter().map(|(name, value)| (name, value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Json::parse(text.as_bytes()).unwrap().canonical(&mut out);
        out
    }

    fn fault(text: &str) -> &'static str {
        match Json::parse(text.as_bytes()) {
            Err(NotTaken::Fault(fault)) => fault.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_order_of_names_and_white_space_make_no_other_body() {
        assert_eq!(canonical(r#"{"a":1,"b":[true,null]}"#), canonical("{ \"b\": [ true, null ],\n \"\\u0061\": 1 }"));
        assert_ne!(canonical(r#"{"a":"1"}"#), canonical(r#"{"a":1}"#));
        assert_ne!(canonical(r#"[["a"],"b"]"#), canonical(r#"[["a","b"]]"#));
        assert_ne!(canonical(r#"{"a":18446744073709551615}"#), canonical(r#"{"a":18446744073709551614}"#));
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for body in
            [b"".as_slice(), b"{", b"{\"a\":}", b"{} {}", b"\"\xff\"", b"nul", b"\xef\xbb\xbf{}", b"'a'", b"[1,]"]
        {
            assert!(matches!(Json::parse(body), Err(NotTaken::Malformed(_))), "{body:?}");
        }
    }

    #[test]
    fn json_that_is_more_than_we_take_is_a_fault_and_overflows_no_stack() {
        assert_eq!(fault(&format!("{}{}", "[".repeat(200_000), "]".repeat(200_000))), "too_deep");
        assert_eq!(fault(r#"{"quantity":1e999}"#), "out_of_range");
        assert_eq!(fault(r#""\ud800""#), "invalid_character");
    }

    #[test]
    fn json_is_written_as_it_was_read() {
        let text = r#"{"b":[1,-2,0.5,"x\n",null,true],"a":{}}"#;
        assert_eq!(serde_json::to_string(&Json::parse(text.as_bytes()).unwrap()).unwrap(), text);
    }
}
