//! The rules, one test each.

use std::{collections::BTreeSet, fs, path::Path};

use sluice_tidy::{Metadata, files};

/// No tokio, tonic, clock, randomness, file system or environment.
const PURE: [&str; 7] = [
    "common/proto",
    "common/model",
    "common/openapi",
    "common/compile",
    "common/limit",
    "control-plane/state",
    "control-plane/backup",
];
/// Crates that bring what a PURE crate may not have.
const IMPURE: [&str; 19] = [
    "tokio",
    "tokio-util",
    "tokio-stream",
    "tonic",
    "tonic-prost",
    "hyper",
    "hyper-util",
    "rand",
    "uuid",
    "rocksdb",
    "openraft",
    "ring",
    "socket2",
    "rustls",
    "nix",
    "tracing",
    "reqwest",
    "tempfile",
    "metrics",
];
/// Text that reads a clock, a file, the environment or a random source in a PURE crate's library.
const IMPURE_TEXT: [&str; 6] =
    ["Instant::now", "SystemTime::now", "std::fs", "std::env::var", "thread_rng", "std::net::Tcp"];
/// Each heavy crate sits in one leaf; the simulation runs openraft on its own disks and network.
const HEAVY: [(&str, &[&str]); 2] =
    [("openraft", &["control-plane/raft", "tests/sim"]), ("rocksdb", &["control-plane/raft"])];
/// Lines of a file.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 80;
/// Files whose length is that of the table they hold.
const TABLES: [&str; 0] = [];

#[test]
fn pure_crates_depend_on_nothing_impure() {
    let crates = Metadata::read().crates();
    let impure: BTreeSet<&str> = IMPURE.into();
    for folder in PURE {
        let found = &crates[folder];
        let bad: Vec<_> = found.dependencies.iter().filter(|name| impure.contains(name.as_str())).collect();
        assert!(bad.is_empty(), "{folder} is PURE but depends on {bad:?}");
    }
}

#[test]
fn pure_crates_read_no_clock_file_or_environment() {
    let root = Metadata::read().root().to_path_buf();
    let mut bad = Vec::new();
    for folder in PURE {
        for path in files(&root.join(folder).join("src"), &[".rs"]) {
            let text = without_tests(&fs::read_to_string(&path).unwrap());
            bad.extend(
                IMPURE_TEXT
                    .iter()
                    .filter(|each| text.contains(*each))
                    .map(|each| format!("{}: {each}", path.display())),
            );
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn arrows_run_from_the_planes_to_common_and_never_between_the_planes() {
    let crates = Metadata::read().crates();
    let folder_of = |name: &str| crates.iter().find(|(_, each)| each.name == name).map(|(folder, _)| folder.as_str());
    let mut bad = Vec::new();
    for (folder, each) in &crates {
        let from = folder.split('/').next().unwrap_or_default();
        for target in each.dependencies.iter().filter_map(|name| folder_of(name)) {
            let to = target.split('/').next().unwrap_or_default();
            let fits = match from {
                "common" => to == "common",
                "control-plane" if folder == "control-plane/cli" => to != "tests",
                "control-plane" => matches!(to, "common" | "control-plane"),
                "data-plane" => matches!(to, "common" | "data-plane"),
                _ => true,
            };
            if !fits {
                bad.push(format!("{folder} -> {target}"));
            }
        }
    }
    assert!(bad.is_empty(), "arrows that point the wrong way: {bad:#?}");
}

#[test]
fn heavy_crates_sit_in_one_leaf_each() {
    for (folder, each) in Metadata::read().crates() {
        for (heavy, allowed) in HEAVY {
            let fits = !each.dependencies.contains(heavy) || allowed.contains(&folder.as_str());
            assert!(fits, "{folder} depends on {heavy}, which belongs to {allowed:?} only");
        }
    }
}

/// The crates whose few unsafe calls have their proofs beside them.
const UNSAFE: [&str; 2] = ["data-plane/trim", "tests/machine"];

#[test]
fn every_crate_inherits_the_lints() {
    let metadata = Metadata::read();
    for folder in metadata.crates().keys() {
        let manifest = fs::read_to_string(metadata.root().join(folder).join("Cargo.toml")).unwrap();
        if UNSAFE.contains(&folder.as_str()) {
            // Cargo has no inheriting with an exception: the lints stand there again.
            let root = fs::read_to_string(metadata.root().join("Cargo.toml")).unwrap();
            let expected = lints(&root, "workspace.lints").replace("\"forbid\"", "\"deny\"");
            assert_eq!(lints(&manifest, "lints"), expected, "{folder}/Cargo.toml");
            continue;
        }
        assert!(manifest.contains("[lints]\nworkspace = true"), "{folder}/Cargo.toml does not inherit the lints");
    }
}

/// The lines of the two tables of lints that `prefix` names.
fn lints(manifest: &str, prefix: &str) -> String {
    let tables = ["rust", "clippy"].map(|table| {
        let (_, rest) = manifest.split_once(&format!("[{prefix}.{table}]\n")).unwrap_or_default();
        rest.split("\n[").next().unwrap_or_default().trim_end().to_owned()
    });
    tables.join("\n")
}

#[test]
fn files_and_functions_fit_a_reader() {
    let root = Metadata::read().root().to_path_buf();
    let mut bad = Vec::new();
    for path in files(&root, &[".rs"]) {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let body = without_tests(&text);
        if body.lines().count() > FILE_LINES_MAX && !is_test(&name) && !TABLES.contains(&name.as_str()) {
            bad.push(format!("{name}: {} lines, at most {FILE_LINES_MAX}", body.lines().count()));
        }
        if !is_test(&name) {
            bad.extend(long_functions(&body).map(|(line, lines)| {
                format!("{name}:{line}: function of {lines} lines, at most {FUNCTION_LINES_MAX}")
            }));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn nothing_is_left_undone_in_the_code() {
    let root = Metadata::read().root().to_path_buf();
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("#[al", "low("),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    let mut bad = Vec::new();
    for path in files(&root, &[".rs", ".sh", ".proto"]) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                bad.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.starts_with("tests/") || name.ends_with("/tests.rs") || name.ends_with("build.rs")
}

/// The file up to its test module.
fn without_tests(text: &str) -> String {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned()
}

/// Functions longer than allowed: line of the signature and length. Relies on rustfmt's indentation: a function ends at
/// the first line that is its closing brace at its own indentation.
fn long_functions(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let words = [
            "fn ",
            "pub fn ",
            "pub(crate) fn ",
            "pub(super) fn ",
            "async fn ",
            "pub async fn ",
            "pub(crate) async fn ",
            "pub(super) async fn ",
            "const fn ",
            "pub const fn ",
        ];
        if !words.iter().any(|word| code.starts_with(word)) {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let end = lines[at..]
            .iter()
            .position(|each| *each == close || (each.ends_with(';') && !each.starts_with(&" ".repeat(indent + 1))));
        if let Some(length) = end
            && length + 1 > FUNCTION_LINES_MAX
        {
            found.push((at + 1, length + 1));
        }
    }
    found.into_iter()
}

#[test]
fn the_length_of_a_function_is_seen() {
    let long = format!("fn a() {{\n{}}}\n", "    b();\n".repeat(FUNCTION_LINES_MAX));
    assert_eq!(long_functions(&long).collect::<Vec<_>>(), [(1, FUNCTION_LINES_MAX + 2)]);
    assert_eq!(long_functions("fn a() {\n    b();\n}\n").count(), 0);
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).is_absolute());
}
