//! Keys as AWS's CSV has them: a header with `name`, `key`, `description`, `enabled`, `usageplanIds` in any order.
//!
//! AWS: apigateway/latest/developerguide/api-key-file-format.html. Promise: every wrong row is reported with its line;
//! the right ones are taken. Absent: what the cluster holds already.

use std::collections::BTreeMap;

use sluice_model::check::text::is_key_value;
use sluice_proto::model::Diagnostic;

use crate::{
    nearest::did_you_mean,
    refused::{Refused, fault},
};

const COLUMNS: [&str; 5] = ["name", "key", "description", "enabled", "usageplanids"];

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRow {
    /// Line in the file, from 1; the header is the first.
    pub(crate) line: u64,
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) description: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) plan_ids: Vec<String>,
}

/// The rows of a file, and the faults of those that are wrong.
#[derive(Debug, Default)]
pub(crate) struct KeyRows {
    pub(crate) rows: Vec<KeyRow>,
    pub(crate) faults: Vec<Diagnostic>,
}

/// Reads a file.
///
/// # Errors
/// `Invalid` when the header is not one, or the file is not UTF-8.
pub(crate) fn read(bytes: &[u8]) -> Result<KeyRows, Refused> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).trim(::csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| Refused::invalid("header", error.to_string(), ""))?;
    let columns = columns_of(header)?;
    let mut found = KeyRows::default();
    let mut values: BTreeMap<String, u64> = BTreeMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, ::csv::Position::line);
                found.faults.push(fault("invalid", format!("lines[{line}]"), error.to_string(), ""));
                continue;
            }
        };
        let line = record.position().map_or(0, ::csv::Position::line);
        match row_of(&record, &columns, line) {
            Ok(row) => match values.insert(row.value.clone(), line) {
                None => found.rows.push(row),
                Some(first) => {
                    values.insert(row.value, first);
                    let message = format!("line {first} has the same key");
                    found.faults.push(fault("conflict", format!("lines[{line}].key"), message, ""));
                }
            },
            Err(faults) => found.faults.extend(faults),
        }
    }
    Ok(found)
}

/// Column numbers by lower-case name.
fn columns_of(header: &::csv::StringRecord) -> Result<BTreeMap<&'static str, usize>, Refused> {
    let mut columns = BTreeMap::new();
    let mut faults = Vec::new();
    for (number, name) in header.iter().enumerate() {
        let lower = name.to_lowercase();
        match COLUMNS.into_iter().find(|column| *column == lower) {
            Some(column) => {
                if columns.insert(column, number).is_some() {
                    faults.push(fault("conflict", "header", format!("column `{name}` stands twice"), ""));
                }
            }
            None => {
                let hint = did_you_mean(&lower, COLUMNS);
                faults.push(fault("unknown-field", "header", format!("column `{name}` is not known"), hint));
            }
        }
    }
    for required in ["name", "key"] {
        if !columns.contains_key(required) {
            let message = format!("expected a column `{required}`, found none");
            let hint = "the first line names the columns: name,key,description,enabled,usageplanIds";
            faults.push(fault("required", "header", message, hint));
        }
    }
    if faults.is_empty() { Ok(columns) } else { Err(Refused::faults(faults)) }
}

fn row_of(
    record: &::csv::StringRecord,
    columns: &BTreeMap<&'static str, usize>,
    line: u64,
) -> Result<KeyRow, Vec<Diagnostic>> {
    let field = |column: &str| columns.get(column).and_then(|number| record.get(*number)).unwrap_or("");
    let at = |column: &str| format!("lines[{line}].{column}");
    let mut faults = Vec::new();
    let name = field("name");
    if name.is_empty() {
        faults.push(fault("required", at("name"), "expected a name, found none", ""));
    }
    let value = field("key");
    if !is_key_value(value) {
        let message =
            format!("expected 20 to 128 visible characters without comma and quote, found {}", value.chars().count());
        faults.push(fault("invalid-key-value", at("key"), message, ""));
    }
    let enabled = match field("enabled").to_lowercase().as_str() {
        "" | "true" => true,
        "false" => false,
        other => {
            let message = format!("expected TRUE or FALSE, found `{other}`");
            faults.push(fault("invalid", at("enabled"), message, ""));
            false
        }
    };
    if record.len() > columns.len() {
        let message = format!("expected {} fields, found {}", columns.len(), record.len());
        faults.push(fault("invalid", format!("lines[{line}]"), message, "quote fields that hold commas"));
    }
    let plans = field("usageplanids").split([',', ';', ' ']).map(str::trim).filter(|id| !id.is_empty());
    let description = field("description");
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(KeyRow {
        line,
        name: name.to_owned(),
        value: value.to_owned(),
        description: (!description.is_empty()).then(|| description.to_owned()),
        enabled,
        plan_ids: plans.map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "abcdefghij0123456789";

    fn rows(text: &str) -> (Vec<KeyRow>, Vec<String>) {
        let found = read(text.as_bytes()).unwrap();
        (found.rows, found.faults.into_iter().map(|one| one.at).collect())
    }

    #[test]
    fn aws_own_example_is_read() {
        let text = "Name,key,description,Enabled,usageplanIds\n\
                    MyFirstApiKey,apikey1234abcdefghij0123456789,An imported key,TRUE,c7y23b\n";
        let (rows, faults) = rows(text);
        assert!(faults.is_empty());
        assert_eq!(rows[0].plan_ids, ["c7y23b"]);
        assert_eq!((rows[0].line, rows[0].name.as_str(), rows[0].enabled), (2, "MyFirstApiKey", true));
    }

    #[test]
    fn columns_come_in_any_order_and_plans_are_quoted() {
        let (rows, faults) = rows(&format!("\u{feff}key,usageplanIds,name\r\n{VALUE},\"p1,p2\",a\r\n"));
        assert!(faults.is_empty());
        assert_eq!(rows[0].plan_ids, ["p1", "p2"]);
        assert_eq!(rows[0].description, None);
    }

    #[test]
    fn every_wrong_row_is_reported_with_its_line_and_the_right_ones_are_taken() {
        let text = format!(
            "name,key,enabled\n,{VALUE}1,\nb,short,\nc,{VALUE}2,perhaps\nd,{VALUE}3,false\ne,{VALUE}3,true\nf,{VALUE}4,true,x\n"
        );
        let (rows, faults) = rows(&text);
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["d"]);
        assert!(!rows[0].enabled);
        assert_eq!(faults, ["lines[2].name", "lines[3].key", "lines[4].enabled", "lines[6].key", "lines[7]"]);
    }

    /// Pieces of files, right and wrong.
    fn text() -> impl Strategy<Value = String> {
        let pieces = vec![
            "name,key,enabled\n",
            "name",
            "key",
            "Enabled",
            "usageplanIds",
            "description",
            ",",
            "\"",
            "\n",
            "\r\n",
            VALUE,
            "TRUE",
            "false",
            "alice",
            "p1;p2",
            " ",
            "\u{feff}",
            "é",
            "\0",
            "\\",
        ];
        let piece = prop_oneof![9 => prop::sample::select(pieces).prop_map(str::to_owned), 1 => ".{0,4}"];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_file_is_read_row_by_row_or_refused(text in text(), plain in any::<bool>()) {
            let text = if plain { text } else { format!("name,key,enabled\n{text}") };
            let Ok(found) = read(text.as_bytes()) else { return Ok(()) };
            let values: BTreeMap<_, _> = found.rows.iter().map(|row| (&row.value, row.line)).collect();
            prop_assert_eq!(values.len(), found.rows.len(), "a value stands in one row");
            let lines = 2..=text.lines().count() as u64 + 1;
            for row in &found.rows {
                prop_assert!(is_key_value(&row.value) && !row.name.is_empty() && lines.contains(&row.line), "{row:?}");
            }
            prop_assert!(found.faults.iter().all(|fault| fault.at.starts_with("lines[")), "{:?}", found.faults);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(read(&[b"name,key\n", &bytes[..]].concat()));
            drop(read(&bytes));
        }

        #[test]
        fn what_a_spreadsheet_writes_is_read_as_it_was(names in prop::collection::vec("[!-~é][ -~é]{0,9}[!-~é]", 1..9)) {
            let mut writer = ::csv::Writer::from_writer(Vec::new());
            writer.write_record(["key", "name"]).unwrap();
            for (row, name) in names.iter().enumerate() {
                writer.write_record([&format!("{VALUE}{row}"), name]).unwrap();
            }
            let found = read(&writer.into_inner().unwrap()).unwrap();
            prop_assert!(found.faults.is_empty(), "{:?}", found.faults);
            prop_assert_eq!(found.rows.into_iter().map(|row| row.name).collect::<Vec<_>>(), names);
        }
    }

    #[test]
    fn a_wrong_header_is_refused_with_the_nearest_column() {
        let refused = read(b"nam,key\n").unwrap_err();
        assert_eq!(refused.diagnostics[0].hint, "did you mean `name`");
        assert!(refused.diagnostics[1].message.contains("`name`"));
    }
}
