//! A schema as JSON text, its references to components rewritten to AWS's form for models.
//!
//! Promise: all else is written as it stands in the file, in its order. Values that are data (`example`, `default`,
//! `enum`, `const`) are not searched, and a property may be named `$ref`, `default` or whatever it likes.

use serde_json::Value;

use crate::node::Node;

/// Keywords whose value is data.
const DATA: [&str; 5] = ["example", "examples", "default", "enum", "const"];
/// Keywords whose value maps names to schemas.
const NAMED: [&str; 6] =
    ["properties", "patternProperties", "definitions", "$defs", "dependentSchemas", "dependencies"];
/// Where the two dialects keep their schemas.
const COMPONENTS: [&str; 2] = ["#/components/schemas/", "#/definitions/"];

/// The component that a reference names, and what follows below it (`/properties/id`, mostly empty).
pub(crate) fn component(target: &str) -> Option<(&str, &str)> {
    let rest = COMPONENTS.iter().find_map(|prefix| target.strip_prefix(prefix))?;
    Some(rest.split_at(rest.find('/').unwrap_or(rest.len())))
}

/// The text of `schema`; `model_url` gives the address of a component's model.
pub(crate) fn text<'d>(schema: &Node<'d>, model_url: &dyn Fn(&str) -> Option<String>) -> String {
    let mut writer = Writer { out: String::new(), schema, model_url };
    writer.schema(schema.value);
    writer.out
}

struct Writer<'w, 'd> {
    out: String,
    schema: &'w Node<'d>,
    model_url: &'w dyn Fn(&str) -> Option<String>,
}

impl Writer<'_, '_> {
    fn schema(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => self.list('{', '}', fields, |this, (key, value)| {
                this.key(key);
                match value {
                    Value::String(target) if key == "$ref" => this.reference(target),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) if key == "$ref" => {
                        let message = format!("expected a string as `$ref`, found {value}");
                        this.schema.error("wrong-type", message, "it names a schema: \"#/components/schemas/NAME\"");
                        this.data(value);
                    }
                    Value::Object(_) if NAMED.contains(&key.as_str()) => this.names(value),
                    _ if DATA.contains(&key.as_str()) => this.data(value),
                    _ => this.schema(value),
                }
            }),
            Value::Array(items) => self.list('[', ']', items, Self::schema),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => self.data(value),
        }
    }

    fn names(&mut self, value: &Value) {
        self.list('{', '}', value.as_object().into_iter().flatten(), |this, (name, schema)| {
            this.key(name);
            this.schema(schema);
        });
    }

    fn list<T>(&mut self, open: char, close: char, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.out.push(open);
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            write(self, item);
        }
        self.out.push(close);
    }

    fn key(&mut self, key: &str) {
        self.string(key);
        self.out.push(':');
    }

    fn reference(&mut self, target: &str) {
        let Some((name, rest)) = component(target) else {
            // `#` alone and the like: a reference within this schema, which keeps its meaning.
            if !target.starts_with('#') {
                let message = format!("`{target}` is in another file");
                self.schema.error("reference-foreign", message, "bundle the files into one before importing");
            }
            return self.string(target);
        };
        let name = name.replace("~1", "/").replace("~0", "~");
        match (self.model_url)(&name) {
            Some(url) if rest.is_empty() => self.string(&url),
            Some(url) => self.string(&format!("{url}#{rest}")),
            None => {
                let message = format!("`{target}` does not exist in this file");
                self.schema.error("reference-missing", message, "add it, or correct it");
                self.string(target);
            }
        }
    }

    fn string(&mut self, text: &str) {
        if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
            self.out.push('"');
            self.out.push_str(text);
            self.out.push('"');
        } else {
            self.out.push_str(&Value::from(text).to_string());
        }
    }

    fn data(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.string(text),
            other => self.out.push_str(&other.to_string()),
        }
    }
}
