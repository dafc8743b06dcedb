//! JSON to a tree of values in which every key of an object stands once.
//!
//! Promise: all keys that stand twice are told, each with its path; of the two the reader would have kept one without a
//! word, and what the other said would be lost.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::node::{write_index, write_key};

/// The tree of `text`, and the paths of the keys that stand twice.
///
/// # Errors
/// When the text is no JSON.
pub(crate) fn read(text: &str) -> Result<(Value, Vec<String>), serde_json::Error> {
    let repeated = RefCell::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Place { parent: None, step: Step::Root, repeated: &repeated }.deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, repeated.into_inner()))
}

/// Where a value stands; the places above it are on the stack, whose depth the parser bounds.
#[derive(Clone, Copy)]
struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Step<'p>,
    repeated: &'p RefCell<Vec<String>>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> Place<'p> {
    fn below(&'p self, step: Step<'p>) -> Self {
        Place { parent: Some(self), step, repeated: self.repeated }
    }

    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        match self.step {
            Step::Root => {}
            Step::Key(key) => write_key(out, key),
            Step::Index(index) => write_index(out, index),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value of JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.below(Step::Index(list.len())))? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            let place = self.below(Step::Key(&key));
            let value = fields.next_value_seed(place)?;
            if object.contains_key(&key) {
                let mut at = String::new();
                place.write(&mut at);
                self.repeated.borrow_mut().push(at);
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_that_of_serde_json() {
        for text in [r#"{"a": [1, -2, 3.5, 18446744073709551615, null, true, "é\n", {}], "": {"b": []}}"#, "1", "[]"] {
            assert_eq!(read(text).unwrap(), (serde_json::from_str(text).unwrap(), Vec::new()));
        }
        for text in ["", "{", "[1,]", r#"{"a": 1} x"#] {
            let theirs = serde_json::from_str::<Value>(text).unwrap_err().to_string();
            assert_eq!(read(text).unwrap_err().to_string(), theirs);
        }
        let deep = "[".repeat(1_000);
        assert!(read(&deep).unwrap_err().to_string().contains("recursion"));
    }

    #[test]
    fn each_key_that_stands_twice_is_told_with_its_path() {
        let (_, repeated) =
            read(r#"{"a": [{"/b": 1, "/b": 2}], "c": {"d": {}, "d": {"e": 1, "e": 1}}, "a": 1}"#).unwrap();
        assert_eq!(repeated, [r#"a[0]["/b"]"#, "c.d.e", "c.d", "a"]);
    }
}
