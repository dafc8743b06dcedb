//! What differs between two specs, field by field.

use serde_json::Value;

/// Lines that are listed; the last says how many more there are.
const LINES_MAX: usize = 200;
/// Characters of a value in a line.
const VALUE_CHARS_MAX: usize = 80;

/// `path: before -> after` for every leaf that differs.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", Some(before), Some(after), &mut lines);
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, lines: &mut Vec<String>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                compare(&below(path, key), before.get(key), after.get(key), lines);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                compare(&format!("{path}[{index}]"), before.get(index), after.get(index), lines);
            }
        }
        (before, after) => lines.push(format!("{path}: {} -> {}", shown(before), shown(after))),
    }
}

fn below(path: &str, key: &str) -> String {
    let plain = key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-');
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (_, false) => format!("{path}[\"{key}\"]"),
        (false, true) => format!("{path}.{key}"),
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "(none)".to_owned() };
    let text = value.to_string();
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    let start: String = text.chars().take(VALUE_CHARS_MAX).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_listed() {
        let before = json!({"a": 1, "b": {"/x y": [1, 2]}, "c": "same"});
        let after = json!({"a": 2, "b": {"/x y": [1, 3, 4]}, "c": "same", "d": true});
        let lines = differences(&before, &after);
        let expect = ["a: 1 -> 2", "b[\"/x y\"][1]: 2 -> 3", "b[\"/x y\"][2]: (none) -> 4", "d: (none) -> true"];
        assert_eq!(lines, expect);
        assert!(differences(&before, &before).is_empty());
    }
}
