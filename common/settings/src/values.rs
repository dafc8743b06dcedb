//! The settings of a process, by key.
//!
//! INVARIANT: every value has the kind its setting names, and every required one is there; so the getters do not fail.
//! Asking for a key or kind that the table does not have is a bug in the program, found by its first start.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::value::Value;

/// Parsed settings.
#[derive(Debug, Clone, Default)]
pub struct Values {
    values: BTreeMap<&'static str, Value>,
}

impl Values {
    pub(crate) fn new(values: BTreeMap<&'static str, Value>) -> Self {
        Self { values }
    }

    /// A text, address or choice.
    pub fn text(&self, key: &str) -> &str {
        self.text_if_given(key).unwrap_or_else(|| wrong(key))
    }

    /// A text, address or choice that may be absent.
    pub fn text_if_given(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => wrong(key),
        }
    }

    /// A path.
    pub fn path(&self, key: &str) -> &Path {
        self.path_if_given(key).unwrap_or_else(|| wrong(key))
    }

    /// A path that may be absent.
    pub fn path_if_given(&self, key: &str) -> Option<&Path> {
        match self.values.get(key)? {
            Value::Path(path) => Some(PathBuf::as_path(path)),
            _ => wrong(key),
        }
    }

    /// A list; empty when absent.
    pub fn list(&self, key: &str) -> &[String] {
        match self.values.get(key) {
            None => &[],
            Some(Value::List(list)) => list,
            Some(_) => wrong(key),
        }
    }

    /// A flag; false when absent.
    pub fn flag(&self, key: &str) -> bool {
        match self.values.get(key) {
            None => false,
            Some(Value::Flag(flag)) => *flag,
            Some(_) => wrong(key),
        }
    }

    /// A count, or bytes.
    pub fn count(&self, key: &str) -> u64 {
        match self.values.get(key) {
            Some(Value::Count(count)) => *count,
            _ => wrong(key),
        }
    }

    /// A time.
    pub fn time(&self, key: &str) -> Duration {
        match self.values.get(key) {
            Some(Value::Time(time)) => *time,
            _ => wrong(key),
        }
    }

    /// `key=value` of each setting, sorted, for the line that a program writes when it starts. Settings hold no
    /// secrets, only the names of files that do.
    pub fn to_line(&self) -> String {
        self.values.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    }
}

fn wrong(key: &str) -> ! {
    panic!("the table of settings has {key} neither with this kind nor with a default")
}
