//! Diagnostics: what is wrong with a configuration, for its author.
//!
//! Promise: all problems at once, each with the path of its field; the list is bounded and says how many it left out.

use std::{borrow::Cow, fmt};

use crate::limits;

/// Whether a diagnostic refuses the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The author should know; the configuration is taken.
    Warning,
}

impl Severity {
    /// The word in messages: `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Whether it refuses the configuration.
    pub severity: Severity,
    /// Stable, kebab-case.
    pub code: Cow<'static, str>,
    /// Path of the field: `methodIntegration.timeoutInMillis`.
    pub at: String,
    /// What was expected and what was found.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Diagnostic {
    /// An error without a hint.
    pub fn error(code: impl Into<Cow<'static, str>>, at: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: code.into(),
            at: at.into(),
            message: message.into(),
            hint: String::new(),
        }
    }

    /// A warning without a hint.
    pub fn warning(code: impl Into<Cow<'static, str>>, at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, message) }
    }

    /// The same with a hint: what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Whether it refuses the configuration.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} [{}] {}: {}", self.severity.as_str(), self.code, self.at, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(formatter, "; {}", self.hint) }
    }
}

impl From<Diagnostic> for sluice_proto::model::Diagnostic {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            code: diagnostic.code.into_owned(),
            at: diagnostic.at,
            message: diagnostic.message,
            hint: diagnostic.hint,
            severity: diagnostic.severity.as_str().to_owned(),
        }
    }
}

impl From<sluice_proto::model::Diagnostic> for Diagnostic {
    /// Any severity but `warning` is an error: an unknown one must not be taken lightly.
    fn from(message: sluice_proto::model::Diagnostic) -> Self {
        let severity = if message.severity == "warning" { Severity::Warning } else { Severity::Error };
        Self { severity, code: message.code.into(), at: message.at, message: message.message, hint: message.hint }
    }
}

/// A bounded list of diagnostics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    omitted: usize,
    has_errors: bool,
}

impl Diagnostics {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, or counts it when the list is full.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.has_errors |= diagnostic.is_error();
        if self.items.len() < limits::DIAGNOSTICS_MAX {
            self.items.push(diagnostic);
        } else {
            self.omitted += 1;
        }
    }

    /// Adds an error.
    pub fn error(&mut self, code: &'static str, at: impl Into<String>, message: impl Into<String>) {
        self.push(Diagnostic::error(code, at, message));
    }

    /// Adds a warning.
    pub fn warning(&mut self, code: &'static str, at: impl Into<String>, message: impl Into<String>) {
        self.push(Diagnostic::warning(code, at, message));
    }

    /// Adds all of `other`, their paths below `prefix` (empty: as they are).
    pub fn absorb(&mut self, prefix: &str, other: Self) {
        self.has_errors |= other.has_errors;
        self.omitted += other.omitted;
        for mut diagnostic in other.items {
            if !prefix.is_empty() {
                let joint = if diagnostic.at.is_empty() || diagnostic.at.starts_with('[') { "" } else { "." };
                diagnostic.at = format!("{prefix}{joint}{}", diagnostic.at);
            }
            self.push(diagnostic);
        }
    }

    /// Whether one of them, listed or left out, refuses the configuration.
    pub fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many are listed.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// How many were left out because the list was full.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// The listed ones.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// The listed ones.
    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.items
    }

    /// The listed ones as messages; when some were left out, a last one says how many.
    pub fn into_messages(self) -> Vec<sluice_proto::model::Diagnostic> {
        let omitted = self.omitted;
        let severity = if self.has_errors { Severity::Error } else { Severity::Warning };
        let mut messages: Vec<_> = self.items.into_iter().map(Into::into).collect();
        if omitted > 0 {
            let text = match omitted {
                1 => "1 more problem is not listed".to_owned(),
                more => format!("{more} more problems are not listed"),
            };
            messages.push(Diagnostic { severity, ..Diagnostic::error("more", "", text) }.into());
        }
        messages
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        for diagnostic in diagnostics {
            self.push(diagnostic);
        }
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        let mut list = Self::new();
        list.extend(diagnostics);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_counts_what_it_leaves_out_and_remembers_errors() {
        let mut list: Diagnostics =
            (0..limits::DIAGNOSTICS_MAX).map(|n| Diagnostic::warning("w", format!("f{n}"), "m")).collect();
        assert!(!list.has_errors());
        list.error("e", "late", "m");
        assert_eq!((list.len(), list.omitted(), list.has_errors()), (limits::DIAGNOSTICS_MAX, 1, true));
        assert_eq!(list.into_messages().last().unwrap().message, "1 more problem is not listed");
    }

    #[test]
    fn absorbed_paths_stand_below_their_prefix() {
        let mut inner = Diagnostics::new();
        inner.error("a", "uri", "m");
        inner.error("b", "[\"x\"]", "m");
        let mut outer = Diagnostics::new();
        outer.absorb("methodIntegration", inner);
        let paths: Vec<_> = outer.iter().map(|diagnostic| diagnostic.at.as_str()).collect();
        assert_eq!(paths, ["methodIntegration.uri", "methodIntegration[\"x\"]"]);
    }

    #[test]
    fn a_diagnostic_survives_its_message() {
        let diagnostic = Diagnostic::warning("code", "at", "message").hint("do this");
        let message = sluice_proto::model::Diagnostic::from(diagnostic.clone());
        assert_eq!(Diagnostic::from(message), diagnostic);
    }
}
