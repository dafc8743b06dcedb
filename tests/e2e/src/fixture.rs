//! Descriptions of small APIs, written to files.

use std::path::{Path, PathBuf};

use crate::cli::Cli;

/// A description of an API whose `GET` of each path is proxied to the backend of the import.
///
/// # Panics
/// When the folder is not writable.
#[must_use]
pub fn proxied(folder: &Path, title: &str, paths: &[&str]) -> PathBuf {
    described(folder, title, paths, |_| String::new())
}

/// A description of an API whose `GET` of each path answers `{"path":"PATH"}` by itself.
///
/// # Panics
/// When the folder is not writable.
#[must_use]
pub fn mock(folder: &Path, title: &str, paths: &[&str]) -> PathBuf {
    described(folder, title, paths, |path| {
        format!(
            ", x-amazon-apigateway-integration: {{type: mock, requestTemplates: {{application/json: '{{\"statusCode\": 200}}'}}, \
             responses: {{default: {{statusCode: '200', responseTemplates: {{application/json: '{{\"path\":\"{path}\"}}'}}}}}}}}"
        )
    })
}

fn described(folder: &Path, title: &str, paths: &[&str], integration: impl Fn(&str) -> String) -> PathBuf {
    let mut text = format!("openapi: 3.0.1\ninfo: {{title: {title}, version: '1'}}\npaths:\n");
    for path in paths {
        let integration = integration(path);
        text.push_str(&format!("  {path}: {{get: {{responses: {{'200': {{description: ok}}}}{integration}}}}}\n"));
    }
    let file = folder.join(format!("{title}.yaml"));
    std::fs::write(&file, text).expect("the folder of a test is writable");
    file
}

/// Imports a file and returns the API's id.
///
/// # Panics
/// When it is refused.
#[must_use]
pub fn import(cli: &Cli, file: &Path, more: &[&str]) -> String {
    let file = file.to_str().expect("the paths of tests are text");
    let imported = cli.json(&[&["api", "import", file], more].concat());
    imported["id"].as_str().expect("an import answers the id of its api").to_owned()
}

/// The path of a deployed route on any data node.
#[must_use]
pub fn route(api: &str, stage: &str, path: &str) -> String {
    format!("/_aws/execute-api/{api}/{stage}{path}")
}
