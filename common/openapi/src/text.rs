//! Text to a tree of values: JSON or YAML.
//!
//! JSON goes through `serde_json`, several times faster than YAML, of which it is nearly a subset. YAML is read with a
//! budget, so that anchors cannot blow a small file up.

use serde_json::Value;
use sluice_model::limits::IMPORT_BYTES_MAX;

use crate::problems::Problems;

/// Parser events of a YAML file; a file of the largest size that is not mostly punctuation stays below.
const YAML_EVENTS_MAX: usize = 16_000_000;
/// Nested collections of a file, as `serde_json` bounds them for JSON.
const DEPTH_MAX: usize = 128;

/// The root of the file, or `None` with the problem reported.
pub(crate) fn parse(text: &[u8], file_name: &str, problems: &Problems) -> Option<Value> {
    if text.len() > IMPORT_BYTES_MAX {
        let message = format!("expected at most {IMPORT_BYTES_MAX} bytes, found {}", text.len());
        problems.error("file-too-large", file_name.to_owned(), message, "split the API");
        return None;
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text.trim_start_matches('\u{feff}'),
        Err(failure) => {
            let message = format!("expected UTF-8, found another byte at {}", failure.valid_up_to());
            problems.error("syntax", file_name.to_owned(), message, "save the file as UTF-8");
            return None;
        }
    };
    let parsed = if is_json(text, file_name) { json(text) } else { yaml(text) };
    match parsed {
        Ok(value) => Some(value),
        Err((line, column, message)) => {
            let at = if line == 0 { file_name.to_owned() } else { format!("{file_name}:{line}:{column}") };
            problems.error("syntax", at, message, "expected an OpenAPI or Swagger file in JSON or YAML");
            None
        }
    }
}

fn is_json(text: &str, file_name: &str) -> bool {
    let ends_as_yaml = [".yaml", ".yml"].iter().any(|ending| file_name.to_ascii_lowercase().ends_with(ending));
    text.trim_start().starts_with('{') && !ends_as_yaml
}

type SyntaxError = (usize, usize, String);

fn json(text: &str) -> Result<Value, SyntaxError> {
    serde_json::from_str(text)
        .map_err(|failure| (failure.line(), failure.column(), without_place(&failure.to_string())))
}

/// The words of a parser alone: the place is said by whoever reports them.
fn without_place(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

fn yaml(text: &str) -> Result<Value, SyntaxError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: YAML_EVENTS_MAX,
            max_nodes: YAML_EVENTS_MAX,
            max_depth: DEPTH_MAX,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|failure| {
        let (line, column) = failure.location().map_or((0, 0), |place| (narrow(place.line()), narrow(place.column())));
        let words = match failure.without_snippet() {
            serde_saphyr::Error::MultipleDocuments { .. } => "expected one document, found several".to_owned(),
            other => without_place(&other.to_string()),
        };
        (line, column, words)
    })
}

fn narrow(value: impl TryInto<usize>) -> usize {
    value.try_into().unwrap_or(0)
}
