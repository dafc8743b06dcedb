//! Manifests of crates, read as text and as TOML.

use std::{collections::BTreeMap, fs, path::Path};

use toml::Table;

/// Where a manifest lists dependencies, and where the code is that may name them.
pub const SECTIONS: [(&str, &[&str]); 3] = [
    ("dependencies", &["src"]),
    ("dev-dependencies", &["src", "tests", "benches"]),
    ("build-dependencies", &["build.rs"]),
];

/// The manifest of a folder.
///
/// # Panics
/// When there is none, or it is not TOML.
#[must_use]
pub fn read(folder: &Path) -> Table {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The dependencies of one section, by the name that the code calls them.
#[must_use]
pub fn dependencies<'a>(manifest: &'a Table, section: &str) -> BTreeMap<&'a str, &'a toml::Value> {
    let table = manifest.get(section).and_then(toml::Value::as_table);
    table.into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

/// What cargo-machete is told to pass over too: dependencies that only generated code or files of other crates name.
#[must_use]
pub fn named_elsewhere(manifest: &Table) -> Vec<&str> {
    let ignored = manifest
        .get("package")
        .and_then(|package| package.get("metadata")?.get("cargo-machete")?.get("ignored")?.as_array());
    ignored.into_iter().flatten().filter_map(toml::Value::as_str).collect()
}

/// Whether code names a crate: its identifier as the first segment of a path, or after `use`.
#[must_use]
pub fn names(code: &str, dependency: &str) -> bool {
    let identifier = dependency.replace('-', "_");
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut lines = code.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    lines.any(|line| {
        line.match_indices(&identifier).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + identifier.len()..]);
            // A path that begins with `::` is one of a crate; one that has a segment before is not.
            let begins = match before.strip_suffix("::") {
                Some(before) => !before.bytes().last().is_some_and(|byte| is_word(byte) || byte == b'>'),
                None => !before.bytes().last().is_some_and(is_word),
            };
            let used = before.ends_with("use ") && (after.starts_with(';') || after.starts_with(" as "));
            begins && (after.starts_with("::") || after.starts_with('!') || used)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_crate_is_named_by_the_beginning_of_a_path() {
        for code in
            ["use http::Uri;", "::http::Uri", "use http as web;", "fn f(uri: &http::Uri)", "http!(x)", "<http::Uri>"]
        {
            assert!(names(code, "http"), "{code}");
        }
        for code in
            ["\"http://x\"", "crate::http::get()", "// http::Uri", "use crate::http;", "my_http::x", "httparse::x"]
        {
            assert!(!names(code, "http"), "{code}");
        }
        assert!(names("hyper_util::rt", "hyper-util"));
    }
}
