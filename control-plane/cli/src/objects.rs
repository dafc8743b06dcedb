//! Configuration files to objects: `kind`, `name`, `spec`; several documents per file, YAML or JSON.
//!
//! Promise: what only this machine knows is put in place here: `valueFrom` becomes the secret, `openapi: FILE` the text
//! of that file (both relative to the file that names them); all problems of all files are reported at once. Absent:
//! any check of a spec, which the cluster does.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sluice_proto::{admin::Object, model::Diagnostic};

use crate::{counted::counted, failure::Failure, upload};

/// Endings of the files of a folder that hold configuration.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads files and folders; `-` is stdin.
///
/// # Errors
/// Every problem found, with its file and place.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Object>, Failure> {
    let mut reader = Reader::default();
    for path in paths {
        for file in files(path)? {
            reader.file(&file)?;
        }
    }
    if reader.problems.is_empty() {
        if reader.objects.is_empty() {
            let places = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            let expected = "expected documents with kind, name and spec in files that end in .yaml, .yml or .json";
            return Err(Failure::failed(format!("{places}: {expected}, found none")));
        }
        return Ok(reader.objects);
    }
    let message = format!("{} in the files; nothing was changed", counted(reader.problems.len(), "problem"));
    Err(Failure { diagnostics: reader.problems, code: "invalid".to_owned(), ..Failure::failed(message) })
}

/// The files of a folder, by name; anything else is itself.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let list = || std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut found = list().map_err(|failure| Failure::file(path, &failure))?;
    found.retain(|file| {
        file.is_file() && file.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
    });
    found.sort();
    Ok(found)
}

#[derive(Default)]
struct Reader {
    objects: Vec<Object>,
    problems: Vec<Diagnostic>,
}

impl Reader {
    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let shown = path.display().to_string();
        let text = String::from_utf8(upload::read(path)?);
        let text = text.map_err(|_| Failure::failed(format!("{shown}: expected text in UTF-8")))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        match documents(&text) {
            Ok(documents) => {
                for (index, document) in documents.into_iter().enumerate() {
                    self.document(folder, &format!("{shown}[{index}]"), document);
                }
            }
            Err(message) => self.problem(&shown, message, "expected YAML or JSON documents with kind, name and spec"),
        }
        Ok(())
    }

    /// One document, or a list of them as `get -o json` writes it.
    fn document(&mut self, folder: &Path, source: &str, document: Value) {
        let mut fields = match document {
            Value::Null => return,
            Value::Object(fields) => fields,
            _ => return self.problem(source, "expected a mapping with kind, name and spec".to_owned(), ""),
        };
        if let (Some(Value::Array(items)), None) = (fields.get("items"), fields.get("kind")) {
            for (index, item) in items.iter().enumerate() {
                self.document(folder, &format!("{source}.items[{index}]"), item.clone());
            }
            return;
        }
        let (kind, name) = (self.text(source, &mut fields, "kind"), self.text(source, &mut fields, "name"));
        let mut spec = match fields.remove("spec") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(spec)) => spec,
            Some(_) => return self.problem(&format!("{source}.spec"), "expected a mapping".to_owned(), ""),
        };
        for key in fields.keys() {
            let message = format!("unknown field `{key}`");
            self.problem(&format!("{source}.{key}"), message, "a document has kind, name and spec");
        }
        let openapi = self.openapi(folder, source, &mut spec);
        self.secrets(folder, &format!("{source}.spec"), &mut spec);
        if let (Some(kind), Some(name)) = (kind, name) {
            let spec_json = Value::Object(spec).to_string();
            self.objects.push(Object { kind, name, spec_json, openapi, source: source.to_owned() });
        }
    }

    fn text(&mut self, source: &str, fields: &mut Map<String, Value>, key: &str) -> Option<String> {
        match fields.remove(key) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => {
                self.problem(
                    &format!("{source}.{key}"),
                    "expected text".to_owned(),
                    "every document has a kind and a name",
                );
                None
            }
        }
    }

    fn openapi(&mut self, folder: &Path, source: &str, spec: &mut Map<String, Value>) -> Option<String> {
        let at = format!("{source}.spec.openapi");
        let Value::String(file) = spec.remove("openapi")? else {
            self.problem(&at, "expected the name of a file".to_owned(), "relative to this one");
            return None;
        };
        self.resolved(&at, upload_text(&folder.join(file)))
    }

    /// Puts the secret in the place of every `valueFrom`.
    fn secrets(&mut self, folder: &Path, at: &str, fields: &mut Map<String, Value>) {
        if let Some(reference) = fields.remove("valueFrom") {
            let at = format!("{at}.valueFrom");
            let value = secret(folder, &reference);
            if fields.contains_key("value") {
                self.problem(&at, "expected value or valueFrom, found both".to_owned(), "keep one");
            } else if let Some(value) = self.resolved(&at, value) {
                fields.insert("value".to_owned(), value.into());
            }
        }
        for (key, value) in fields.iter_mut() {
            self.secrets_below(folder, &format!("{at}.{key}"), value);
        }
    }

    fn secrets_below(&mut self, folder: &Path, at: &str, value: &mut Value) {
        match value {
            Value::Object(fields) => self.secrets(folder, at, fields),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.secrets_below(folder, &format!("{at}[{index}]"), item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn resolved(&mut self, at: &str, value: Result<String, String>) -> Option<String> {
        value.map_err(|message| self.problem(at, message, "")).ok()
    }

    fn problem(&mut self, at: &str, message: String, hint: &str) {
        self.problems.push(Diagnostic {
            code: "invalid".to_owned(),
            at: at.to_owned(),
            message,
            hint: hint.to_owned(),
            severity: "error".to_owned(),
        });
    }
}

fn documents(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|failure| in_words(&failure))
}

/// What is wrong with a file: the parser's words where they are about the file, ours where they are about itself.
fn in_words(failure: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    let words = match failure {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_ref().map(|key| format!("`{key}`"));
            format!("expected each key once, found {} twice", key.as_deref().unwrap_or("one"))
        }
        Error::AliasError { error, .. } => return in_words(error),
        Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } | Error::Budget { .. } => {
            "expected a smaller file, or fewer anchors and aliases".to_owned()
        }
        other => return other.to_string(),
    };
    let place = failure.location().map(|place| format!(" at line {}, column {}", place.line(), place.column()));
    words + &place.unwrap_or_default()
}

fn secret(folder: &Path, reference: &Value) -> Result<String, String> {
    let entries = reference.as_object().map(|fields| fields.iter().collect::<Vec<_>>()).unwrap_or_default();
    match entries.as_slice() {
        [(key, Value::String(name))] if *key == "env" => {
            std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))
        }
        [(key, Value::String(file))] if *key == "file" => {
            upload_text(&folder.join(file)).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        }
        _ => Err("expected {env: NAME} or {file: PATH}".to_owned()),
    }
}

fn upload_text(path: &Path) -> Result<String, String> {
    let bytes = upload::read(path).map_err(|failure| failure.message)?;
    String::from_utf8(bytes).map_err(|_| format!("{}: expected text in UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn documents_of_a_folder_are_read_in_order_with_what_they_refer_to() {
        let folder = folder(&[
            ("b.json", r#"{"items": [{"kind": "UsagePlan", "name": "gold", "spec": {"throttle": {"rateLimit": 5}}}]}"#),
            (
                "a.yaml",
                "kind: RestApi\nname: pets\nspec: {openapi: pets.txt, description: x}\n---\nkind: ApiKey\nname: \"yes\"\nspec: {valueFrom: {file: key.txt}}\n---\n",
            ),
            ("pets.txt", "openapi: 3.0.0"),
            ("key.txt", "0123456789abcdefghij\n"),
        ]);
        let objects = read(&[folder.path().to_path_buf()]).unwrap();
        let shown = objects
            .iter()
            .map(|object| {
                (object.kind.as_str(), object.name.as_str(), object.spec_json.as_str(), object.openapi.as_deref())
            })
            .collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                ("RestApi", "pets", r#"{"description":"x"}"#, Some("openapi: 3.0.0")),
                ("ApiKey", "yes", r#"{"value":"0123456789abcdefghij"}"#, None),
                ("UsagePlan", "gold", r#"{"throttle":{"rateLimit":5}}"#, None),
            ]
        );
        assert!(objects[1].source.ends_with("a.yaml[1]"), "{}", objects[1].source);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let folder = folder(&[(
            "a.yaml",
            "- 1\n---\nname: x\nextra: 1\n---\nkind: ApiKey\nname: k\nspec: {valueFrom: {env: SLUICE_TEST_UNSET}}\n---\nkind: RestApi\nname: a\nspec: {openapi: none.yaml}\n",
        )]);
        let failure = read(&[folder.path().join("a.yaml")]).unwrap_err();
        let places =
            failure.diagnostics.iter().map(|found| found.at.rsplit_once("a.yaml").unwrap().1).collect::<Vec<_>>();
        assert_eq!(places, ["[0]", "[1].kind", "[1].extra", "[2].spec.valueFrom", "[3].spec.openapi"]);
    }

    #[test]
    fn a_folder_without_configuration_is_named() {
        let folder = folder(&[("notes.txt", "kind: RestApi"), ("empty.yaml", "---\n")]);
        let failure = read(&[folder.path().to_path_buf()]).unwrap_err();
        assert!(failure.message.starts_with(&folder.path().display().to_string()), "{}", failure.message);
        assert!(failure.message.ends_with("found none"), "{}", failure.message);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_also_in_json() {
        for (name, text) in
            [("a.yaml", "kind: ApiKey\nname: a\nname: b\n"), ("a.json", r#"{"name": "a", "name": "b"}"#)]
        {
            let folder = folder(&[(name, text)]);
            let failure = read(&[folder.path().to_path_buf()]).unwrap_err();
            let message = &failure.diagnostics[0].message;
            assert!(message.starts_with("expected each key once, found `name` twice at line"), "{message}");
        }
    }

    #[test]
    fn a_syntax_error_names_its_file() {
        let folder = folder(&[("a.yaml", "kind: [")]);
        let failure = read(&[folder.path().join("a.yaml")]).unwrap_err();
        assert_eq!(failure.message, "1 problem in the files; nothing was changed");
        assert!(failure.diagnostics[0].at.ends_with("a.yaml"));
    }
}
