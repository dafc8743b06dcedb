//! What checks of several nouns share: a list of diagnostics with the questions that are asked of fields.

use std::{collections::BTreeMap, fmt::Display};

use sluice_proto::model::ThrottleSettings;

use crate::{Diagnostic, Diagnostics, limits};

/// Collects the problems of one document.
#[derive(Default)]
pub(super) struct Checker {
    found: Diagnostics,
}

impl Checker {
    /// A checker of a document of `level`.
    pub(super) fn of_level(level: u32) -> Self {
        let mut checker = Self::default();
        if level > crate::LEVEL {
            let message = format!("expected a feature level of at most {}, found {level}", crate::LEVEL);
            checker.found.push(Diagnostic::error("level", "level", message).hint("upgrade this node"));
        }
        checker
    }

    pub(super) fn finish(self) -> Diagnostics {
        self.found
    }

    pub(super) fn error(&mut self, code: &'static str, at: impl Into<String>, message: impl Into<String>) {
        self.found.error(code, at, message);
    }

    pub(super) fn error_with_hint(&mut self, code: &'static str, at: &str, message: impl Into<String>, hint: &str) {
        self.found.push(Diagnostic::error(code, at, message).hint(hint));
    }

    pub(super) fn absorb(&mut self, prefix: &str, found: Diagnostics) {
        self.found.absorb(prefix, found);
    }

    /// A name that must be there, of at most 1,024 characters and without control characters.
    pub(super) fn name(&mut self, at: &str, name: &str) {
        if name.is_empty() {
            self.found.error("required", at, "expected a name, found none");
        } else {
            self.text(at, name, limits::NAME_CHARS_MAX);
            if name.chars().any(char::is_control) {
                self.found.error("invalid-name", at, "expected a name without control characters");
            }
        }
    }

    /// A field that must not be empty.
    pub(super) fn required(&mut self, at: &str, value: &str) {
        if value.is_empty() {
            self.found.error("required", at, "expected a value, found none");
        }
    }

    /// A text of at most `chars_max` characters.
    pub(super) fn text(&mut self, at: &str, value: &str, chars_max: usize) {
        // Bytes bound characters, and are cheaper to count.
        if value.len() > chars_max && value.chars().count() > chars_max {
            let message = format!("expected at most {chars_max} characters, found {}", value.chars().count());
            self.found.error("too-long", at, message);
        }
    }

    pub(super) fn description(&mut self, description: Option<&String>) {
        if let Some(description) = description {
            self.text("description", description, limits::DESCRIPTION_CHARS_MAX);
        }
    }

    /// One of the words that AWS knows.
    pub(super) fn one_of(&mut self, at: &str, value: &str, words: &[&str]) {
        if !words.contains(&value) {
            let message = format!("expected one of {}, found {value:?}", words.join(", "));
            self.found.error("unknown-value", at, message);
        }
    }

    pub(super) fn optional_one_of(&mut self, at: &str, value: Option<&String>, words: &[&str]) {
        if let Some(value) = value {
            self.one_of(at, value, words);
        }
    }

    /// A number from `least` to `most`, both included.
    pub(super) fn range<N: PartialOrd + Display>(&mut self, at: &str, value: Option<N>, least: N, most: N) {
        if let Some(value) = value
            && !(value >= least && value <= most)
        {
            self.found.error("out-of-range", at, format!("expected {least} to {most}, found {value}"));
        }
    }

    /// At most as many entries as a map may have.
    pub(super) fn map_size<V>(&mut self, at: &str, map: &BTreeMap<String, V>) {
        if map.len() > limits::MAP_ENTRIES_MAX {
            let message = format!("expected at most {} entries, found {}", limits::MAP_ENTRIES_MAX, map.len());
            self.found.error("too-many", at, message);
        }
    }

    /// A text that must be JSON, of at most `bytes_max`.
    pub(super) fn json(&mut self, at: &str, text: &str, bytes_max: usize) {
        if text.len() > bytes_max {
            self.found.error("too-long", at, format!("expected at most {bytes_max} bytes, found {}", text.len()));
        } else if let Err(problem) = serde_json::from_str::<serde_json::Value>(text) {
            self.found.error("invalid-json", at, format!("expected JSON, found a text that is not: {problem}"));
        }
    }

    pub(super) fn tags(&mut self, tags: &BTreeMap<String, String>) {
        if tags.len() > limits::TAGS_MAX {
            let message = format!("expected at most {} tags, found {}", limits::TAGS_MAX, tags.len());
            self.found.error("too-many", "tags", message);
        }
        for (key, value) in tags {
            let at = at_key("tags", key);
            if key.is_empty() || key.to_ascii_lowercase().starts_with("aws:") {
                self.found.error("invalid-tag", &at, "expected a key that is not empty and does not begin with aws:");
            }
            self.text(&at, key, limits::TAG_KEY_CHARS_MAX);
            self.text(&at, value, limits::TAG_VALUE_CHARS_MAX);
        }
    }

    pub(super) fn throttle(&mut self, at: &str, throttle: &ThrottleSettings) {
        self.rate(&format!("{at}.rateLimit"), throttle.rate_limit);
        self.burst(&format!("{at}.burstLimit"), throttle.burst_limit);
    }

    /// Requests per second of a throttle.
    pub(super) fn rate(&mut self, at: &str, rate: Option<f64>) {
        let (least, most) = (limits::THROTTLE_RATE_MIN, limits::THROTTLE_RATE_MAX);
        if let Some(rate) = rate
            && !(rate >= least && rate <= most)
        {
            let message = format!("expected 1/3600 to {most} requests per second, found {rate}");
            self.found.error("out-of-range", at, message);
        }
    }

    /// Requests of a throttle's burst.
    pub(super) fn burst(&mut self, at: &str, burst: Option<i32>) {
        if let Some(burst) = burst
            && burst < limits::THROTTLE_BURST_MIN
        {
            let message = format!("expected at least {}, found {burst}", limits::THROTTLE_BURST_MIN);
            self.found.error("out-of-range", at, message);
        }
    }
}

/// The path of the entry `key` of the map `at`: `requestParameters["x"]`.
pub(super) fn at_key(at: &str, key: &str) -> String {
    format!("{at}[{key:?}]")
}
