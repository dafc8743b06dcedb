//! A place in the file: a value, the path to it, and where to report what is wrong with it.
//!
//! Promise: reading a field of the wrong type reports it and reads as absent, so that callers state only what they
//! want. References (`$ref`) are followed within the file; cycles and foreign files are problems.

use std::{collections::BTreeMap, fmt::Write as _, rc::Rc};

use serde_json::{Map, Value};
use sluice_model::Diagnostics;

use crate::problems::Problems;

/// References that lead to references; more than this is a cycle.
const REFERENCE_HOPS_MAX: usize = 16;

/// Which of the two shapes a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Swagger2,
    OpenApi3,
}

/// A whole file.
pub(crate) struct Document<'p> {
    root: Value,
    pub(crate) dialect: Dialect,
    pub(crate) problems: &'p Problems,
}

impl<'p> Document<'p> {
    /// The file with its dialect, or `None` with the problem reported.
    pub(crate) fn new(root: Value, problems: &'p Problems) -> Option<Self> {
        let version = |key| root.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let dialect = match (version("openapi"), version("swagger")) {
            (Some(version), _) if version == "3" || version.starts_with("3.0") || version.starts_with("3.1") => {
                Dialect::OpenApi3
            }
            (None, Some(version)) if version == "2" || version.starts_with("2.0") => Dialect::Swagger2,
            (Some(found), _) | (None, Some(found)) => {
                let message = format!("expected OpenAPI 3.0 or 3.1, or Swagger 2.0, found version {found}");
                problems.error("version-unknown", "openapi".to_owned(), message, "convert the file to OpenAPI 3.0");
                return None;
            }
            (None, None) => {
                let message = "expected `openapi: 3.0.x`, `openapi: 3.1.x` or `swagger: \"2.0\"`, found neither";
                problems.error("version-unknown", String::new(), message, "is this an API description?");
                return None;
            }
        };
        Some(Self { root, dialect, problems })
    }

    pub(crate) fn root(&self) -> Node<'_> {
        Node { value: &self.root, at: At(None), document: self }
    }
}

/// The way from the root to a value, shared between the nodes below it.
#[derive(Clone)]
struct At<'d>(Option<Rc<Link<'d>>>);

struct Link<'d> {
    parent: At<'d>,
    step: Step<'d>,
}

enum Step<'d> {
    Key(&'d str),
    Index(usize),
}

impl<'d> At<'d> {
    fn then(&self, step: Step<'d>) -> Self {
        Self(Some(Rc::new(Link { parent: self.clone(), step })))
    }

    fn write(&self, out: &mut String) {
        let Some(link) = &self.0 else { return };
        link.parent.write(out);
        match link.step {
            Step::Key(key) => write_key(out, key),
            Step::Index(index) => write_index(out, index),
        }
    }
}

/// Appends one place in a list to a path: `[index]`.
pub(crate) fn write_index(out: &mut String, index: usize) {
    write!(out, "[{index}]").expect("a String takes all that is written");
}

/// Appends one key to a path: `.key`, or `["key"]` where it is no plain word.
pub(crate) fn write_key(out: &mut String, key: &str) {
    let is_word = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if !is_word || key.as_bytes()[0].is_ascii_digit() {
        write!(out, "[{}]", Value::from(key)).expect("a String takes all that is written");
        return;
    }
    if !out.is_empty() {
        out.push('.');
    }
    out.push_str(key);
}

/// A value of the file, and where it stands.
#[derive(Clone)]
pub(crate) struct Node<'d> {
    pub(crate) value: &'d Value,
    at: At<'d>,
    pub(crate) document: &'d Document<'d>,
}

impl<'d> Node<'d> {
    /// The path as diagnostics write it: `paths["/pets"].get.responses`.
    pub(crate) fn at(&self) -> String {
        let mut out = String::new();
        self.at.write(&mut out);
        out
    }

    pub(crate) fn error(&self, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.document.problems.error(code, self.at(), message, hint);
    }

    pub(crate) fn warn(&self, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.document.problems.warn(code, self.at(), message, hint);
    }

    /// Reports what is wrong with the document made of this node, as the model's own checks found it.
    pub(crate) fn absorb(&self, found: Diagnostics) {
        if !found.is_empty() {
            self.document.problems.absorb(&self.at(), found);
        }
    }

    /// Reports that this value is of another type than it should be.
    pub(crate) fn wrong_type(&self, expected: &str) {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.error("wrong-type", format!("expected {expected}, found {found}"), "");
    }

    fn below(&self, value: &'d Value, step: Step<'d>) -> Self {
        Node { value, at: self.at.then(step), document: self.document }
    }

    /// The field `key`; absent and null are the same, also of the object that would hold it.
    pub(crate) fn field(&self, key: &'d str) -> Option<Self> {
        if self.value.is_null() {
            return None;
        }
        let value = self.object()?.get(key)?;
        (!value.is_null()).then(|| self.below(value, Step::Key(key)))
    }

    /// The field `key` with its reference followed.
    pub(crate) fn resolved_field(&self, key: &'d str) -> Option<Self> {
        self.field(key)?.resolved()
    }

    /// The object itself.
    pub(crate) fn object(&self) -> Option<&'d Map<String, Value>> {
        let object = self.value.as_object();
        if object.is_none() {
            self.wrong_type("an object");
        }
        object
    }

    /// Every field of an object, in the order of the file.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'d str, Self)> {
        let this = self.clone();
        self.object()
            .into_iter()
            .flatten()
            .map(move |(key, value)| (key.as_str(), this.below(value, Step::Key(key.as_str()))))
    }

    /// Every field of the object under `key`; none when it is absent.
    pub(crate) fn entries_of(&self, key: &'d str) -> Vec<(&'d str, Self)> {
        self.field(key).map(|node| node.entries().collect()).unwrap_or_default()
    }

    /// Every element of the list under `key`; none when it is absent.
    pub(crate) fn items_of(&self, key: &'d str) -> Vec<Self> {
        let Some(node) = self.field(key) else { return Vec::new() };
        let Some(items) = node.value.as_array() else {
            node.wrong_type("a list");
            return Vec::new();
        };
        items.iter().enumerate().map(|(index, value)| node.below(value, Step::Index(index))).collect()
    }

    /// The value as text. Numbers and booleans count: YAML authors write `statusCode: 200`.
    pub(crate) fn as_text(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(self.value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                self.wrong_type("a string");
                None
            }
        }
    }

    pub(crate) fn text(&self, key: &'d str) -> Option<String> {
        self.field(key)?.as_text()
    }

    pub(crate) fn texts(&self, key: &'d str) -> Vec<String> {
        self.items_of(key).iter().filter_map(Self::as_text).collect()
    }

    pub(crate) fn text_map(&self, key: &'d str) -> BTreeMap<String, String> {
        self.entries_of(key).into_iter().filter_map(|(name, node)| Some((name.to_owned(), node.as_text()?))).collect()
    }

    pub(crate) fn flag(&self, key: &'d str) -> Option<bool> {
        let node = self.field(key)?;
        match node.value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" || text == "false" => Some(text == "true"),
            _ => {
                node.wrong_type("true or false");
                None
            }
        }
    }

    pub(crate) fn whole(&self, key: &'d str) -> Option<i32> {
        let node = self.field(key)?;
        let number = match node.value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        };
        let number = number.and_then(|number| i32::try_from(number).ok());
        if number.is_none() {
            node.wrong_type("a whole number");
        }
        number
    }

    /// This node, or what its `$ref` leads to: an object, or null; else `None` with the problem reported.
    pub(crate) fn resolved(&self) -> Option<Self> {
        let mut node = self.clone();
        for _ in 0..REFERENCE_HOPS_MAX {
            let Some(reference) = node.field("$ref") else {
                return (node.value.is_null() || node.object().is_some()).then_some(node);
            };
            let Value::String(target) = reference.value else {
                reference.wrong_type("a string");
                return None;
            };
            node = node.follow(target)?;
        }
        self.error("reference-cycle", "this reference leads back to itself", "point it at a definition");
        None
    }

    fn follow(&self, target: &'d str) -> Option<Self> {
        let Some(pointer) = target.strip_prefix('#') else {
            let message = format!("`{target}` is in another file");
            self.error("reference-foreign", message, "bundle the files into one before importing");
            return None;
        };
        let found = self.document.at_pointer(pointer);
        if found.is_none() {
            self.error("reference-missing", format!("`{target}` does not exist in this file"), "add it, or correct it");
        }
        found
    }
}

impl<'p> Document<'p> {
    /// What a JSON pointer (RFC 6901, percent-encoded as in a URI fragment) leads to.
    fn at_pointer<'d>(&'d self, pointer: &str) -> Option<Node<'d>> {
        let mut node = self.root();
        for part in pointer.split('/').skip(1) {
            let name = percent_decoded(part).replace("~1", "/").replace("~0", "~");
            node = match node.value {
                Value::Object(object) => {
                    let (key, value) = object.get_key_value(&name)?;
                    node.below(value, Step::Key(key))
                }
                Value::Array(items) => {
                    let index = name.parse().ok()?;
                    node.below(items.get(index)?, Step::Index(index))
                }
                _ => return None,
            };
        }
        Some(node)
    }
}

fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}
