//! The list of all variables is what the sources read: a daemon refuses a variable that is not in it.

use std::{collections::BTreeSet, fs, path::Path};

use sluice_tidy::{Metadata, files};

const LIST: &str = "common/settings/src/variable.rs";
/// Read by the script that builds, and by tests.
const BESIDE_SETTINGS: [&str; 3] = ["SLUICE_CACHE", "SLUICE_NEXT", "SLUICE_SKIPS"];

/// The names in a text between `before` and a quotation mark.
fn names(path: &Path, before: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(path).expect("git lists files that are there");
    let named = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
    named.filter(|name| name.starts_with("SLUICE_") && !name.contains("SAMPLE")).map(str::to_owned).collect()
}

#[test]
fn every_variable_that_a_program_reads_is_known_to_the_daemons() {
    let root = Metadata::read().root().to_path_buf();
    let known = names(&root.join(LIST), "\"");
    let mut read: BTreeSet<String> = BESIDE_SETTINGS.into_iter().map(str::to_owned).collect();
    read.extend(files(&root, &[".rs"]).iter().flat_map(|path| names(path, concat!("env = ", "\""))));
    assert_eq!(known, read, "{LIST} and the settings of the programs differ");
}
