//! Text to a tree of values: JSON or YAML.
//!
//! JSON goes through `serde_json`, several times faster than YAML, of which it is nearly a subset. YAML is read with a
//! budget, so that anchors cannot blow a small file up.

use serde_json::Value;
use sluice_model::limits::IMPORT_BYTES_MAX;

use crate::{json, problems::Problems};

/// Parser events of a YAML file; a file of the largest size that is not mostly punctuation stays below.
const YAML_EVENTS_MAX: usize = 16_000_000;
/// Parser events that aliases of a YAML file may repeat, and that anchors may hold ready for them: what people share by
/// anchors is some hundred lines; each repeated event costs as much as a written one.
const YAML_REPEATED_EVENTS_MAX: usize = 250_000;
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
    let parsed = if is_json(text, file_name) { json(text, problems) } else { yaml(text) };
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

/// Anchors and aliases that stand for more than a file could hold: written out, such a file would fill the memory.
const TOO_MANY_ALIASES: &str = "expected fewer anchors and aliases, or shorter ones: they stand for too much";

type SyntaxError = (usize, usize, String);

fn json(text: &str, problems: &Problems) -> Result<Value, SyntaxError> {
    let (value, repeated) =
        json::read(text).map_err(|failure| (failure.line(), failure.column(), without_place(&failure.to_string())))?;
    for at in repeated {
        problems.error("duplicate-key", at, "expected each key once, found this one twice", "keep one of the two");
    }
    Ok(value)
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
            max_recorded_anchor_events: YAML_REPEATED_EVENTS_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: YAML_REPEATED_EVENTS_MAX },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|failure| {
        let (line, column) = failure.location().map_or((0, 0), |place| (narrow(place.line()), narrow(place.column())));
        (line, column, in_words(&failure))
    })
}

/// What is wrong with a YAML file: the parser's words where they are about the file, ours where they are about itself.
fn in_words(failure: &serde_saphyr::Error) -> String {
    use serde_saphyr::{Error, budget::BudgetBreach};
    match failure.without_snippet() {
        Error::MultipleDocuments { .. } => "expected one document, found several".to_owned(),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("expected each key once, found `{key}` twice"),
        Error::DuplicateMappingKey { key: None, .. } => "expected each key once, found one twice".to_owned(),
        Error::AliasError { error, .. } => in_words(error),
        Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => TOO_MANY_ALIASES.to_owned(),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            format!("expected at most {DEPTH_MAX} lists and mappings within each other, found more")
        }
        Error::Budget {
            breach:
                BudgetBreach::Aliases { .. }
                | BudgetBreach::Anchors { .. }
                | BudgetBreach::AliasAnchorRatio { .. }
                | BudgetBreach::RecordedAnchorEvents { .. }
                | BudgetBreach::RecordedAnchorBytes { .. },
            ..
        } => TOO_MANY_ALIASES.to_owned(),
        Error::Budget { .. } => "expected a smaller file, found too many values".to_owned(),
        other => without_place(&other.to_string()),
    }
}

fn narrow(value: impl TryInto<usize>) -> usize {
    value.try_into().unwrap_or(0)
}
