//! Data-driven cases: each file under `cases` holds options, an API description and what becomes of it.
//!
//! `UPDATE_CASES=1 cargo test -p sluice-openapi` rewrites the expectations; read the difference before committing it.

use std::path::Path;

use serde::Serialize;
use sluice_openapi::{ImportedApi, Options, read};

const INPUT: &str = "\n=== input ===\n";
const EXPECT: &str = "\n=== expect ===\n";

#[test]
fn every_case_gives_the_documents_and_diagnostics_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut failures = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let case = std::fs::read_to_string(&file).unwrap();
        let (head, rest) = case.split_once(INPUT).unwrap();
        let (input, expect) = rest.split_once(EXPECT).unwrap_or((rest.trim_end(), ""));
        let found = check(head, input);
        if found.trim() == expect.trim() {
            continue;
        }
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&file, format!("{head}{INPUT}{input}{EXPECT}{found}")).unwrap();
        } else {
            failures.push(format!("{}\n--- found\n{found}\n--- expected\n{expect}", file.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The one function that touches the API: `head` is a line of prose, then `key: value` lines.
fn check(head: &str, input: &str) -> String {
    let option = |key: &str| head.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    let options = Options { api_id: "abcdef1234", name: option("name"), backend: option("backend") };
    let mut out = String::new();
    let diagnostics = match read(input.as_bytes(), option("file").unwrap_or("api.yaml"), &options) {
        Ok(api) => {
            write_api(&mut out, &api);
            api.warnings
        }
        Err(diagnostics) => diagnostics,
    };
    for diagnostic in &diagnostics {
        out.push_str(&format!("{diagnostic}\n"));
    }
    out
}

fn write_api(out: &mut String, api: &ImportedApi) {
    out.push_str(&format!("api {}\n", json(&api.rest_api)));
    let paths = api.resources.iter().map(|resource| resource.path.as_str()).collect::<Vec<_>>();
    out.push_str(&format!("resources {}\n", paths.join(" ")));
    write_each(out, "method", &api.methods);
    write_each(out, "model", &api.models);
    write_each(out, "validator", &api.validators);
    write_each(out, "authorizer", &api.authorizers);
    write_each(out, "gateway response", &api.gateway_responses);
}

fn write_each<T: Serialize>(out: &mut String, word: &str, documents: &[T]) {
    for document in documents {
        out.push_str(&format!("{word} {}\n", json(document)));
    }
}

/// One line, without the id that every document has.
fn json(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("documents have text keys").replace("\"apiId\":\"abcdef1234\",", "")
}
