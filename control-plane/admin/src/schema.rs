//! What fields documents have, as their `.proto` files say.
//!
//! Promise: names are those of the JSON form, bookkeeping fields do not exist here, and a wrong field or a
//! value of the wrong type is reported with its path and the nearest known name, all of them at once. Absent: what a
//! field may hold beyond its type (`sluice-model`).

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use serde_json::Value;
use sluice_proto::model::Diagnostic;

use crate::{nearest::did_you_mean, refused::fault};

/// Fields of documents that never appear outside; the build script of `sluice-proto` hides the same ones.
const HIDDEN: [&str; 3] = ["level", "sealed_value", "value_hash"];
const PACKAGE: &str = "sluice.model.v1";
/// Depth to which paths are listed for hints; documents nest no deeper.
const PATH_DEPTH_MAX: usize = 5;

/// The type of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Flag,
    /// An integer, 32 bits wide if `narrow`.
    Whole {
        narrow: bool,
    },
    Real,
    Message(String),
    List(Box<Shape>),
    /// From text to a shape.
    Map(Box<Shape>),
}

/// All messages of the model, by name, with their fields by JSON name.
#[derive(Debug)]
pub(crate) struct Schema {
    messages: BTreeMap<String, BTreeMap<String, Shape>>,
}

impl Schema {
    /// Reads the descriptors that are compiled into `sluice-proto`.
    pub(crate) fn new() -> Self {
        let files = FileDescriptorSet::decode(sluice_proto::DESCRIPTORS).expect("descriptors are written by our build");
        let messages = files
            .file
            .iter()
            .filter(|file| file.package() == PACKAGE)
            .flat_map(|file| &file.message_type)
            .map(|message| (message.name().to_owned(), fields_of(message)))
            .collect();
        Self { messages }
    }

    /// The fields of a message, by JSON name.
    pub(crate) fn fields(&self, message: &str) -> &BTreeMap<String, Shape> {
        self.messages.get(message).expect("shapes name messages of the same package")
    }

    /// Reports every unknown field and every value of the wrong type.
    pub(crate) fn check(&self, shape: &Shape, value: &Value, at: &str, faults: &mut Vec<Diagnostic>) {
        match (shape, value) {
            (Shape::Message(name), Value::Object(object)) => {
                let fields = self.fields(name);
                for (field, value) in object {
                    let at = crate::refused::join(at, field);
                    match fields.get(field) {
                        Some(shape) => self.check(shape, value, &at, faults),
                        None => faults.push(fault(
                            "unknown-field",
                            at,
                            format!("`{field}` is not a field here"),
                            did_you_mean(field, fields.keys().map(String::as_str)),
                        )),
                    }
                }
            }
            (Shape::Map(of), Value::Object(object)) => {
                object.iter().for_each(|(key, value)| self.check(of, value, &format!("{at}[\"{key}\"]"), faults));
            }
            (Shape::List(of), Value::Array(items)) => {
                items.iter().enumerate().for_each(|(n, item)| self.check(of, item, &format!("{at}[{n}]"), faults));
            }
            _ if fits(shape, value) => {}
            _ => faults.push(fault(
                "wrong-type",
                at,
                format!("expected {}, found {}", shape.in_words(), value_in_words(value)),
                "",
            )),
        }
    }

    /// Every path below a message, `{name}` standing for keys, for hints.
    pub(crate) fn paths(&self, message: &str) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        self.collect_paths(&Shape::Message(message.to_owned()), String::new(), 0, &mut paths);
        paths
    }

    fn collect_paths(&self, shape: &Shape, path: String, depth: usize, paths: &mut BTreeSet<String>) {
        if !path.is_empty() {
            paths.insert(path.clone());
        }
        if depth == PATH_DEPTH_MAX {
            return;
        }
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        match shape {
            Shape::Message(name) => {
                for (field, shape) in self.fields(name) {
                    self.collect_paths(shape, below(field), depth + 1, paths);
                }
            }
            Shape::Map(of) | Shape::List(of) => self.collect_paths(of, below("{name}"), depth + 1, paths),
            Shape::Text | Shape::Flag | Shape::Whole { .. } | Shape::Real => {}
        }
    }
}

impl Shape {
    pub(crate) fn in_words(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Flag => "true or false",
            Self::Whole { .. } => "a whole number",
            Self::Real => "a number",
            Self::Message(_) | Self::Map(_) => "an object",
            Self::List(_) => "a list",
        }
    }
}

fn fits(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::Text => value.is_string(),
        Shape::Flag => value.is_boolean(),
        Shape::Whole { narrow: true } => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Shape::Whole { narrow: false } => value.is_i64() || value.is_u64(),
        Shape::Real => value.is_number(),
        Shape::Message(_) | Shape::Map(_) | Shape::List(_) => false,
    }
}

fn value_in_words(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn fields_of(message: &DescriptorProto) -> BTreeMap<String, Shape> {
    let visible = message.field.iter().filter(|field| !HIDDEN.contains(&field.name()));
    // Filled in by the compiler of the `.proto` files where they say nothing; the build script of `sluice-proto` uses it too.
    visible.map(|field| (field.json_name().to_owned(), shape_of(message, field))).collect()
}

fn shape_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> Shape {
    let type_name = field.type_name().rsplit('.').next().unwrap_or_default();
    let entry = message.nested_type.iter().find(|nested| {
        nested.name() == type_name && nested.options.as_ref().is_some_and(|options| options.map_entry())
    });
    if let Some(entry) = entry {
        let value = entry.field.iter().find(|field| field.name() == "value").expect("a map entry has a value");
        return Shape::Map(Box::new(plain_shape(value)));
    }
    match field.label() {
        Label::Repeated => Shape::List(Box::new(plain_shape(field))),
        Label::Optional | Label::Required => plain_shape(field),
    }
}

fn plain_shape(field: &FieldDescriptorProto) -> Shape {
    match field.r#type() {
        Type::Bool => Shape::Flag,
        Type::Int32 | Type::Uint32 | Type::Sint32 => Shape::Whole { narrow: true },
        Type::Int64 | Type::Uint64 | Type::Sint64 => Shape::Whole { narrow: false },
        Type::Double | Type::Float => Shape::Real,
        Type::Message => Shape::Message(field.type_name().rsplit('.').next().unwrap_or_default().to_owned()),
        _ => Shape::Text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_wrong_field_is_reported_with_its_path_and_the_nearest_name() {
        let schema = Schema::new();
        let mut faults = Vec::new();
        let stage = json!({"stagename": "prod", "variables": {"a": 1}, "tracingEnabled": true});
        schema.check(&Shape::Message("Stage".into()), &stage, "spec", &mut faults);
        let found: Vec<_> = faults.iter().map(|one| (one.at.as_str(), one.hint.as_str())).collect();
        assert_eq!(found, [("spec.stagename", "did you mean `stageName`"), ("spec.variables[\"a\"]", "")]);
    }

    #[test]
    fn names_are_those_of_aws_also_where_they_are_not_camel_case() {
        let schema = Schema::new();
        assert_eq!(schema.fields("Authorizer")["providerARNs"], Shape::List(Box::new(Shape::Text)));
        let mut faults = Vec::new();
        let old = json!({"name": "pool", "providerArns": ["arn:x"]});
        schema.check(&Shape::Message("Authorizer".into()), &old, "", &mut faults);
        assert_eq!(faults[0].hint, "did you mean `providerARNs`");
    }

    #[test]
    fn bookkeeping_fields_do_not_exist() {
        let schema = Schema::new();
        assert!(!schema.fields("ApiKey").contains_key("sealedValue"));
        assert!(schema.fields("ApiKey").contains_key("customerId"));
        assert_eq!(
            schema.fields("Stage")["methodSettings"],
            Shape::Map(Box::new(Shape::Message("MethodSetting".into())))
        );
    }
}
