//! JSON as tables: which fields are columns, and how each is shown.
//!
//! Every noun is JSON first, with the names of the AWS model; a table is a view of that, so that the two never tell
//! different things.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::time::utc;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    /// Names of fields, outermost first, joined by dots.
    path: &'static str,
    show: Show,
}

#[derive(Debug, Clone, Copy)]
enum Show {
    Plain,
    /// Seconds since the epoch.
    Time,
    /// How many there are.
    Count,
}

/// A column that shows a field as it is.
pub(crate) const fn column(title: &'static str, path: &'static str) -> Column {
    Column { title, path, show: Show::Plain }
}

/// A column that shows seconds since the epoch as a date.
pub(crate) const fn time(title: &'static str, path: &'static str) -> Column {
    Column { title, path, show: Show::Time }
}

/// A column that shows how many elements a list has.
pub(crate) const fn count(title: &'static str, path: &'static str) -> Column {
    Column { title, path, show: Show::Count }
}

/// Many things, one a line.
pub(crate) fn lines(columns: &[Column], items: &[Value]) -> String {
    let mut table = plain();
    table.set_header(columns.iter().map(|column| column.title));
    for item in items {
        table.add_row(columns.iter().map(|column| cell(column, item)));
    }
    text(table)
}

/// One thing, a field a line; what is nested has dotted names.
pub(crate) fn fields(value: &Value) -> String {
    let mut rows = Vec::new();
    flatten(String::new(), value, &mut rows);
    let mut table = plain();
    for (name, value) in rows {
        table.add_row([name, value]);
    }
    text(table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn text(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn cell(column: &Column, item: &Value) -> String {
    let found = column.path.split('.').try_fold(item, |value, name| value.get(name));
    match (column.show, found) {
        (Show::Count, found) => found.and_then(Value::as_array).map_or(0, Vec::len).to_string(),
        (Show::Plain | Show::Time, None | Some(Value::Null)) => "-".to_owned(),
        (Show::Time, Some(value)) => value.as_i64().map_or_else(|| plain_text(value), utc),
        (Show::Plain, Some(value)) => plain_text(value),
    }
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.replace(['\n', '\r', '\t'], " "),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        // 100.0 is 100 to people.
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(plain_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn flatten(prefix: String, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) if !object.is_empty() || prefix.is_empty() => {
            for (key, value) in object {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(name, value, rows);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, value) in items.iter().enumerate() {
                flatten(format!("{prefix}[{index}]"), value, rows);
            }
        }
        Value::Number(number) if prefix.ends_with("Date") => {
            rows.push((prefix, number.as_i64().map_or_else(|| number.to_string(), utc)));
        }
        other => rows.push((prefix, plain_text(other))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_aligned_columns() {
        let columns = [
            column("ID", "id"),
            time("CREATED", "createdDate"),
            count("STAGES", "stages"),
            column("RATE", "throttle.rateLimit"),
            column("ON", "enabled"),
        ];
        let items = [
            json!({"id": "abc", "createdDate": 0, "stages": [1, 2], "throttle": {"rateLimit": 1.5}, "enabled": true}),
            json!({"id": "a\nb", "stages": [], "throttle": {"rateLimit": 100.0}, "enabled": []}),
        ];
        let shown = lines(&columns, &items);
        let words = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join("|")).collect::<Vec<_>>();
        assert_eq!(words, ["ID|CREATED|STAGES|RATE|ON", "abc|1970-01-01|00:00:00Z|2|1.5|yes", "a|b|-|0|100|-"]);
    }

    #[test]
    fn one_thing_is_a_field_a_line() {
        let shown = fields(
            &json!({"id": "abc", "createdDate": 60, "throttle": {"rateLimit": 5}, "types": ["A", "B"], "stages": [{"apiId": "x"}]}),
        );
        let words = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
        assert_eq!(
            words,
            ["id abc", "createdDate 1970-01-01 00:01:00Z", "throttle.rateLimit 5", "types A,B", "stages[0].apiId x"]
        );
    }
}
