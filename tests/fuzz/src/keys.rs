//! Keys by CSV: any file is read row by row or refused.

use std::collections::BTreeMap;

use sluice_model::check::text::is_key_value;

use crate::{Target, key_csv};

/// The target.
pub const TARGET: Target = Target {
    name: "keys",
    run,
    seeds: Vec::new,
    words: &[
        "name,key,enabled\n",
        "Name",
        "key",
        "Enabled",
        "usageplanIds",
        "description",
        ",",
        "\"",
        "\"\"",
        "\n",
        "\r\n",
        "\r",
        "abcdefghij0123456789",
        "TRUE",
        "false",
        "p1;p2",
        " ",
        "\u{feff}",
        "é",
        "\0",
        "\\",
    ],
};

/// Reads the file.
///
/// # Panics
/// When a row that is taken is not one, or a value stands in two.
pub fn run(input: &[u8]) {
    let Ok(found) = key_csv::read(input) else { return };
    let values: BTreeMap<_, _> = found.rows.iter().map(|row| (&row.value, row.line)).collect();
    assert_eq!(values.len(), found.rows.len(), "a value stands in one row");
    for row in &found.rows {
        assert!(is_key_value(&row.value) && !row.name.is_empty() && row.line >= 1, "{row:?}");
    }
    assert!(found.faults.iter().all(|fault| fault.at.starts_with("lines[")), "{:?}", found.faults);
}
