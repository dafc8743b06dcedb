//! `PATH=VALUE` and `PATH-`: what `stage set` sets and removes.

use sluice_proto::admin::PatchOperation;

/// One change of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Assignment {
    Set { path: String, value: String },
    Remove { path: String },
}

/// Reads one change. The value is all that follows the first `=`.
///
/// # Errors
/// What was expected, for the command line's own message.
pub(crate) fn parse(text: &str) -> Result<Assignment, String> {
    let found = match text.split_once('=') {
        Some((path, value)) => Some((path, Assignment::Set { path: path.to_owned(), value: value.to_owned() })),
        None => text.strip_suffix('-').map(|path| (path, Assignment::Remove { path: path.to_owned() })),
    };
    match found {
        Some((path, assignment)) if !path.is_empty() => Ok(assignment),
        _ => Err(format!(
            "expected PATH=VALUE, or PATH- to remove it, found `{text}`; paths are description, variables/NAME, ..."
        )),
    }
}

impl From<Assignment> for PatchOperation {
    fn from(assignment: Assignment) -> Self {
        match assignment {
            Assignment::Set { path, value } => replace(path, value),
            Assignment::Remove { path } => remove(path),
        }
    }
}

/// Sets a field.
pub(crate) fn replace(path: impl Into<String>, value: impl Into<String>) -> PatchOperation {
    PatchOperation { op: "replace".to_owned(), path: path.into(), value: value.into(), from: String::new() }
}

/// Adds an element to a list, or a key to a map.
pub(crate) fn add(path: impl Into<String>, value: impl Into<String>) -> PatchOperation {
    PatchOperation { op: "add".to_owned(), ..replace(path, value) }
}

/// Removes a field.
pub(crate) fn remove(path: impl Into<String>) -> PatchOperation {
    PatchOperation { op: "remove".to_owned(), ..replace(path, "") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_set_and_removed() {
        let set = |path: &str, value: &str| Ok(Assignment::Set { path: path.into(), value: value.into() });
        assert_eq!(parse("*/*/throttling/rateLimit=100"), set("*/*/throttling/rateLimit", "100"));
        assert_eq!(parse("variables/q=a=b-"), set("variables/q", "a=b-"));
        assert_eq!(parse("description="), set("description", ""));
        assert_eq!(parse("variables/q-"), Ok(Assignment::Remove { path: "variables/q".into() }));
        for text in ["", "-", "=x", "description"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
