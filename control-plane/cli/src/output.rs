//! What a command prints: tables for people, JSON or YAML for scripts. Errors and progress go to stderr.
//!
//! A closed pipe is no error: who stopped reading has seen enough. Anything else that keeps stdout from being written is: the
//! command ends with status 1, since a script would take half an answer for the whole.

use std::{
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    sync::OnceLock,
};

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use sluice_proto::model::{Diagnostic, Revision};

use crate::{
    counted::counted,
    failure::{Exit, Failure, diagnostic_text},
    freshness::Stale,
    table::{self, Column},
};

/// Warnings that people are shown; a page of them hides what matters.
const WARNINGS_SHOWN: usize = 12;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
}

/// Why stdout could not be written, first of all. One per process, as stdout is.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// The way out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

/// Something that a command changed.
pub(crate) struct Changed<'a> {
    /// `created`, `deleted`, ...
    pub(crate) verb: &'a str,
    /// `api abc123 (pets)`.
    pub(crate) what: String,
    /// The document as it is now, or what names the deleted one.
    pub(crate) document: Value,
    pub(crate) revision: Option<Revision>,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Whether a person is there to see a bar move.
    pub(crate) fn shows_progress(self) -> bool {
        self.format == Format::Table && std::io::stderr().is_terminal()
    }

    /// One page of a list.
    pub(crate) fn list(self, columns: &[Column], items: &[Value], next_token: Option<&str>, stale: Option<&Stale>) {
        self.mark(stale);
        if self.format == Format::Table {
            self.text(&table::lines(columns, items));
            if let Some(token) = next_token {
                self.note(&format!("there is more: --next-token {token}, or --all"));
            }
        } else {
            self.value(&marked(json!({"items": items, "nextToken": next_token}), stale));
        }
    }

    /// One thing.
    pub(crate) fn one(self, value: &Value, stale: Option<&Stale>) {
        self.mark(stale);
        if self.format == Format::Table {
            self.text(&table::fields(value));
        } else {
            self.value(&marked(value.clone(), stale));
        }
    }

    /// Tells people that what follows is stale.
    pub(crate) fn mark(self, stale: Option<&Stale>) {
        if let Some(stale) = stale {
            self.note(&stale.to_string());
        }
    }

    /// What was changed, with its revision.
    pub(crate) fn changed(self, changed: Changed<'_>) {
        let number = changed.revision.as_ref().map(|revision| revision.number);
        if self.format == Format::Table {
            let at = number.map(|number| format!(" at revision {number}")).unwrap_or_default();
            self.text(&format!("{} {}{at}", changed.verb, changed.what));
        } else {
            self.value(&with_revision(changed.document, changed.revision.as_ref()));
        }
    }

    /// For scripts `value`, for people `text`.
    pub(crate) fn either(self, value: &Value, text: &str) {
        if self.format == Format::Table {
            self.text(text);
        } else {
            self.value(value);
        }
    }

    /// A value for scripts, whatever the format.
    pub(crate) fn value(self, value: &Value) {
        match self.format {
            Format::Yaml => self.text(yaml(value).trim_end()),
            Format::Table | Format::Json => self.text(&format!("{value:#}")),
        }
    }

    /// A line, or lines, on stdout.
    pub(crate) fn text(self, text: &str) {
        self.bytes(format!("{text}\n").as_bytes());
    }

    /// Bytes as they are, on stdout.
    pub(crate) fn bytes(self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        if let Some(failure) = failure_of(written) {
            let _ = UNWRITTEN.set(failure);
        }
    }

    /// What stands on stdout is not all there is to say.
    pub(crate) fn unwritten(self) -> Option<Failure> {
        UNWRITTEN.get().map(|problem| unwritten(problem, "what the command was to change is changed all the same"))
    }

    /// The same after something was made that only this answer shows: what it is, and how to see it now.
    pub(crate) fn unwritten_but(self, made: &str) -> Result<(), Failure> {
        UNWRITTEN.get().map_or(Ok(()), |problem| Err(unwritten(problem, made)))
    }

    /// A remark for people, on stderr.
    pub(crate) fn note(self, text: &str) {
        if self.format == Format::Table {
            drop(writeln!(std::io::stderr().lock(), "{text}"));
        }
    }

    /// Warnings, for people; scripts find them in the answer.
    pub(crate) fn warnings(self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics.iter().take(WARNINGS_SHOWN) {
            self.note(&diagnostic_text(diagnostic));
        }
        if let Some(more) = diagnostics.len().checked_sub(WARNINGS_SHOWN).filter(|more| *more > 0) {
            self.note(&format!("and {}; -o json lists all", counted(more, "more warning")));
        }
    }

    /// Why the command failed, on stderr.
    pub(crate) fn failure(self, failure: &Failure) {
        let text = match self.format {
            Format::Json => failure.to_json().to_string(),
            Format::Table | Format::Yaml => failure.to_text(),
        };
        drop(writeln!(std::io::stderr().lock(), "{text}"));
    }
}

fn unwritten(problem: &str, done: &str) -> Failure {
    let message = format!("the output could not be written: {problem}; {done}");
    Failure::new(Exit::Failed, "output-not-written", message)
}

/// What a write to stdout failed with, unless who reads it has gone.
fn failure_of(written: io::Result<()>) -> Option<String> {
    written.err().filter(|error| error.kind() != ErrorKind::BrokenPipe).map(|error| error.to_string())
}

/// A value as YAML.
pub(crate) fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).expect("a JSON value is representable in YAML")
}

/// A revision as scripts see it.
pub(crate) fn revision_json(revision: &Revision) -> Value {
    json!({"generation": revision.generation, "number": revision.number})
}

/// A stale answer as scripts see it.
pub(crate) fn marked(mut value: Value, stale: Option<&Stale>) -> Value {
    if let (Value::Object(fields), Some(stale)) = (&mut value, stale) {
        fields.insert("stale".to_owned(), stale.to_json());
    }
    value
}

fn with_revision(document: Value, revision: Option<&Revision>) -> Value {
    let mut fields = match document {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    if let Some(revision) = revision {
        fields.insert("revision".to_owned(), revision_json(revision));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_carries_its_revision() {
        let revision = Revision { generation: "g".into(), number: 7 };
        let shown = with_revision(json!({"id": "abc"}), Some(&revision));
        assert_eq!(shown, json!({"id": "abc", "revision": {"generation": "g", "number": 7}}));
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        assert_eq!(failure_of(Ok(())), None);
        assert_eq!(failure_of(Err(ErrorKind::BrokenPipe.into())), None);
        assert!(failure_of(Err(ErrorKind::StorageFull.into())).is_some());
    }

    #[test]
    fn yaml_says_what_json_says() {
        let value = json!({"kind": "ApiKey", "name": "yes", "spec": {"enabled": true, "rate": 1.5, "tags": ["on", "1", "a: b"]}});
        let back: Value = serde_saphyr::from_str(&yaml(&value)).unwrap();
        assert_eq!(back, value);
    }
}
