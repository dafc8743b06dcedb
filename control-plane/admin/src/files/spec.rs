//! The JSON of a spec: read field by field, every unknown or wrong one reported.

use serde_json::{Map, Value};
use sluice_proto::model::Diagnostic;

use crate::{
    nearest::did_you_mean,
    noun::Noun,
    plan::checked,
    refused::{Refused, fault, join},
    schema::{Schema, Shape},
};

/// A spec, or an object within one, with what is wrong with it.
#[derive(Debug)]
pub(super) struct Spec<'a> {
    schema: &'a Schema,
    fields: Map<String, Value>,
    pub(super) at: String,
    pub(super) faults: Vec<Diagnostic>,
    /// Fields that were taken, for hints.
    taken: Vec<&'static str>,
}

impl<'a> Spec<'a> {
    /// # Errors
    /// `Invalid` when the text is not a JSON object.
    pub(super) fn parse(schema: &'a Schema, text: &str) -> Result<Self, Refused> {
        let text = if text.trim().is_empty() { "{}" } else { text };
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Self::of(schema, fields, "spec")),
            Ok(_) => Err(Refused::invalid("spec", "expected an object", "")),
            Err(error) => Err(Refused::invalid("spec", format!("expected JSON: {error}"), "")),
        }
    }

    pub(super) fn of(schema: &'a Schema, fields: Map<String, Value>, at: impl Into<String>) -> Self {
        Self { schema, fields, at: at.into(), faults: Vec::new(), taken: Vec::new() }
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, field: &'static str) -> Option<Value> {
        self.taken.push(field);
        self.fields.shift_remove(field)
    }

    /// Takes an object of objects out: `{name: {...}}`.
    pub(super) fn take_objects(&mut self, field: &'static str) -> Vec<(String, Spec<'a>)> {
        let at = join(&self.at, field);
        let Some(value) = self.take(field) else { return Vec::new() };
        let Value::Object(objects) = value else {
            self.faults.push(fault("wrong-type", at, "expected an object by name", ""));
            return Vec::new();
        };
        let mut found = Vec::with_capacity(objects.len());
        for (name, value) in objects {
            let at = format!("{at}[\"{name}\"]");
            match value {
                Value::Object(fields) => found.push((name, Spec::of(self.schema, fields, at))),
                Value::Null => found.push((name, Spec::of(self.schema, Map::new(), at))),
                _ => self.faults.push(fault("wrong-type", at, "expected an object", "")),
            }
        }
        found
    }

    /// The names below a field that is still there.
    pub(super) fn names_of(&self, field: &str) -> Vec<String> {
        match self.fields.get(field) {
            Some(Value::Object(objects)) => objects.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Takes text out.
    pub(super) fn take_text(&mut self, field: &'static str) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => Some(text),
            _ => {
                self.faults.push(fault("wrong-type", join(&self.at, field), "expected text", ""));
                None
            }
        }
    }

    /// Takes true or false out; absent is false.
    pub(super) fn take_flag(&mut self, field: &'static str) -> bool {
        match self.take(field) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.faults.push(fault("wrong-type", join(&self.at, field), "expected true or false", ""));
                false
            }
        }
    }

    /// Takes a list of texts out; none when absent.
    pub(super) fn take_texts(&mut self, field: &'static str) -> Option<Vec<String>> {
        let value = self.take(field)?;
        match serde_json::from_value(value) {
            Ok(texts) => Some(texts),
            Err(_) => {
                self.faults.push(fault("wrong-type", join(&self.at, field), "expected a list of texts", ""));
                None
            }
        }
    }

    /// What is left as a document. `not_here` are fields of the document that files do not hold, each with the reason.
    pub(super) fn document<N: Noun>(&mut self, not_here: &[(&str, &str)]) -> Option<N> {
        let before = self.faults.len();
        for (field, reason) in not_here {
            if self.fields.shift_remove(*field).is_some() {
                self.faults.push(fault("not-here", join(&self.at, field), *reason, "leave it out"));
            }
        }
        let known = self.schema.fields(N::MESSAGE);
        let unknown: Vec<String> = self.fields.keys().filter(|field| !known.contains_key(*field)).cloned().collect();
        for field in unknown {
            let names = known.keys().map(String::as_str).chain(self.taken.iter().copied());
            let hint = did_you_mean(&field, names);
            let message = format!("`{field}` is not a field here");
            self.faults.push(fault("unknown-field", join(&self.at, &field), message, hint));
            self.fields.shift_remove(&field);
        }
        let value = Value::Object(std::mem::take(&mut self.fields));
        self.schema.check(&Shape::Message(N::MESSAGE.to_owned()), &value, &self.at, &mut self.faults);
        match serde_json::from_value(value) {
            Ok(document) => {
                self.check(&document, not_here);
                Some(document)
            }
            Err(_) if self.faults.len() > before => None,
            Err(error) => {
                self.faults.push(fault("invalid", self.at.clone(), error.to_string(), ""));
                None
            }
        }
    }

    /// Reports the values that the model refuses, beside what else is wrong with the file. Fields that stand elsewhere
    /// are checked where the document is whole.
    fn check<N: Noun>(&mut self, document: &N, not_here: &[(&str, &str)]) {
        let Err(refused) = checked(document) else { return };
        for one in refused.diagnostics.into_iter().filter(|one| one.severity != "warning") {
            let field = one.at.split(['.', '[']).next().unwrap_or_default();
            if not_here.iter().all(|(elsewhere, _)| *elsewhere != field) {
                self.faults.push(Diagnostic { at: join(&self.at, &one.at), ..one });
            }
        }
    }

    /// Refuses what is left: for objects that are not documents.
    pub(super) fn nothing_left(&mut self) {
        for field in self.fields.keys() {
            let hint = did_you_mean(field, self.taken.iter().copied());
            self.faults.push(fault(
                "unknown-field",
                join(&self.at, field),
                format!("`{field}` is not a field here"),
                hint,
            ));
        }
    }
}
