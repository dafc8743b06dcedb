//! What is wrong with a file, collected while it is read.
//!
//! Promise: the same problem of the same field is kept once, however often the field is referred to; a kind of warning
//! that a file earns hundreds of times is listed a few times and then counted.

use std::{cell::RefCell, collections::HashSet};

use sluice_model::diagnostic::{Diagnostic, Diagnostics, Severity};

/// How many of a kind of repeated warning are listed one by one.
const LISTED_ONE_BY_ONE: usize = 10;

/// The collector; shared, because every node of the file may report.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: RefCell<Diagnostics>,
    seen: RefCell<HashSet<(&'static str, String, String)>>,
}

impl Problems {
    pub(crate) fn error(&self, code: &'static str, at: String, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, code, at, message.into(), hint.into());
    }

    pub(crate) fn warn(&self, code: &'static str, at: String, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Warning, code, at, message.into(), hint.into());
    }

    /// Takes over what a check of a document found, below the place of the document.
    pub(crate) fn absorb(&self, prefix: &str, found: Diagnostics) {
        self.found.borrow_mut().absorb(prefix, found);
    }

    /// Warns of each `(at, message)`; past the first few only how many there are.
    pub(crate) fn warn_of_each(&self, code: &'static str, each: Vec<(String, String)>, hint: &str) {
        let more = each.len().saturating_sub(LISTED_ONE_BY_ONE);
        let mut last_at = String::new();
        for (at, message) in each.into_iter().take(LISTED_ONE_BY_ONE) {
            last_at.clone_from(&at);
            self.warn(code, at, message, hint);
        }
        if more > 0 {
            self.warn(code, last_at, format!("and {more} more like this one"), hint);
        }
    }

    fn push(&self, severity: Severity, code: &'static str, at: String, message: String, hint: String) {
        if self.seen.borrow_mut().insert((code, at.clone(), message.clone())) {
            self.found.borrow_mut().push(Diagnostic { severity, code: code.into(), at, message, hint });
        }
    }

    /// All that was found: `Err` when one of them is an error.
    pub(crate) fn into_result(self) -> Result<Diagnostics, Diagnostics> {
        let found = self.found.into_inner();
        if found.has_errors() { Err(found) } else { Ok(found) }
    }
}
