//! The shape of an event as the code reads it: its fields, optional or not, their types, and every word an enum admits. Seen by reading
//! a golden file through a deserializer that notes what it is asked for, so that what `serde` leaves out of a file is seen too.
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value::{MapAccessDeserializer, SeqAccessDeserializer},
};
use serde_json::{Error, Value};
use std::{cell::RefCell, collections::BTreeMap};

/// By path: `lines[].quantity` is an `i64`.
pub(crate) type Shape = BTreeMap<String, String>;

/// Reads a value and notes its shape.
#[derive(Clone, Debug)]
pub(crate) struct Traced<'a> {
    value: &'a Value,
    path: String,
    shape: &'a RefCell<Shape>,
}

impl<'a> Traced<'a> {
    pub(crate) fn new(value: &'a Value, shape: &'a RefCell<Shape>) -> Self {
        Traced { value, path: String::new(), shape }
    }

    fn child(&self, value: &'a Value, step: &str) -> Traced<'a> {
        Traced { value, path: format!("{}{step}", self.path), shape: self.shape }
    }

    fn note(&self, what: &str) {
        let path = if self.path.is_empty() { "." } else { self.path.as_str() };
        let mut shape = self.shape.borrow_mut();
        let noted = shape.entry(path.to_owned()).or_default();
        // An optional field is noted as such first, then as what it is.
        if noted.split(' ').all(|word| word != what) {
            *noted = format!("{noted} {what}").trim().to_owned();
        }
    }
}

macro_rules! plain {
    ($($method:ident)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.note(stringify!($method).trim_start_matches("deserialize_"));
            self.value.$method(visitor)
        })+
    };
}

impl<'de> Deserializer<'de> for Traced<'de> {
    type Error = Error;

    plain! {
        deserialize_any deserialize_bool deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_unit deserialize_identifier
        deserialize_ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("optional");
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.note("unit");
        self.value.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("list");
        let Some(items) = self.value.as_array() else { return self.value.deserialize_seq(visitor) };
        let items = items.iter().map(|item| self.child(item, "[]"));
        SeqAccessDeserializer::new(Items(items)).deserialize_seq(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("map");
        let Some(object) = self.value.as_object() else { return self.value.deserialize_map(visitor) };
        let fields = object.iter().map(|(name, value)| (name.as_str(), self.child(value, "{}")));
        MapAccessDeserializer::new(Fields { fields, value: None }).deserialize_map(visitor)
    }

    /// `fields` are all that the struct knows, whether the value has them or not.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut known = fields.to_vec();
        known.sort_unstable();
        self.note(&format!("{{{}}}", known.join(",")));
        let Some(object) = self.value.as_object() else { return self.value.deserialize_map(visitor) };
        let fields = object.iter().map(|(name, value)| (name.as_str(), self.child(value, &format!(".{name}"))));
        MapAccessDeserializer::new(Fields { fields, value: None }).deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note(&words.join("|"));
        self.value.deserialize_enum(name, words, visitor)
    }
}

struct Items<I>(I);

impl<'de, I: Iterator<Item = Traced<'de>>> SeqAccess<'de> for Items<I> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|item| seed.deserialize(item)).transpose()
    }
}

struct Fields<'de, I> {
    fields: I,
    value: Option<Traced<'de>>,
}

impl<'de, I: Iterator<Item = (&'de str, Traced<'de>)>> MapAccess<'de> for Fields<'de, I> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = self.value.take().ok_or_else(|| Error::custom("a value without its name"))?;
        seed.deserialize(value)
    }
}
