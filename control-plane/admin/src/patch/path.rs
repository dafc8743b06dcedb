//! A patch path as steps into the JSON of a document.

use sluice_proto::model::Diagnostic;

use crate::{
    nearest::nearest,
    patch::aws,
    refused::fault,
    schema::{Schema, Shape},
};

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A field of a message or a key of a map.
    Key(String),
    /// An element of a list, by its text, `api:stage`, number or `-`.
    Element(String),
}

/// Where a path leads, and what stands there.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) steps: Vec<Step>,
    pub(crate) shape: Shape,
}

impl Resolved {
    /// The field of the document that the path goes through.
    pub(crate) fn first_field(&self) -> &str {
        match self.steps.first() {
            Some(Step::Key(field) | Step::Element(field)) => field,
            None => "",
        }
    }
}

/// Resolves a path, AWS's or the JSON field path.
pub(crate) fn resolve(schema: &Schema, message: &str, path: &str) -> Result<Resolved, Diagnostic> {
    let raw = path.strip_prefix('/').unwrap_or(path);
    let segments: Vec<String> = raw.split('/').map(str::to_owned).collect();
    let segments = aws::to_json_path(message, segments);
    walk(schema, message, &segments).ok_or_else(|| unknown(schema, message, raw))
}

fn walk(schema: &Schema, message: &str, segments: &[String]) -> Option<Resolved> {
    let mut steps = Vec::new();
    let mut shape = Shape::Message(message.to_owned());
    let mut rest = segments;
    while let [segment, after @ ..] = rest {
        rest = after;
        shape = match shape {
            Shape::Message(name) => {
                steps.push(Step::Key(segment.clone()));
                schema.fields(&name).get(segment)?.clone()
            }
            Shape::Map(of) => {
                let (key, left) = map_key(schema, &steps, &of, segment, rest)?;
                rest = left;
                steps.push(Step::Key(key));
                *of
            }
            Shape::List(of) => {
                steps.push(Step::Element(unescaped(segment)));
                *of
            }
            Shape::Text | Shape::Flag | Shape::Whole { .. } | Shape::Real => return None,
        };
    }
    (!steps.is_empty()).then_some(Resolved { steps, shape })
}

/// The key of a map, which may take two segments: settings of methods are named by path and verb.
fn map_key<'a>(
    schema: &Schema,
    steps: &[Step],
    of: &Shape,
    segment: &str,
    rest: &'a [String],
) -> Option<(String, &'a [String])> {
    let field = match steps.last() {
        Some(Step::Key(field)) => field.as_str(),
        _ => "",
    };
    let of_usage_plan = steps.len() > 1;
    let by_method = field == "methodSettings" || (field == "throttle" && of_usage_plan);
    let Shape::Message(name) = of else { return Some((unescaped(segment), rest)) };
    let ends_here = rest.first().is_some_and(|next| schema.fields(name).contains_key(next));
    if !by_method || ends_here {
        return Some((unescaped(segment), rest));
    }
    let [verb, after @ ..] = rest else { return Some((unescaped(segment), rest)) };
    // Stages keep the path escaped, usage plans do not: both as AWS shows them.
    let path = if field == "methodSettings" { segment.to_owned() } else { unescaped(segment) };
    Some((format!("{path}/{verb}"), after))
}

/// JSON pointer's escapes: `~1` is `/`, `~0` is `~`.
fn unescaped(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

fn unknown(schema: &Schema, message: &str, raw: &str) -> Diagnostic {
    let known = schema.paths(message).into_iter().chain(aws::known_paths(message));
    let candidates: Vec<String> = known.filter_map(|path| with_names_of(&path, raw)).collect();
    let near = nearest(raw, candidates.iter().map(String::as_str));
    let hint = near.map(|near| format!("the nearest valid path is `{near}`")).unwrap_or_default();
    fault("invalid-path", "path", format!("invalid patch path `{raw}`"), hint)
}

/// A known path of as many segments, with the names that `raw` has in their places.
fn with_names_of(known: &str, raw: &str) -> Option<String> {
    let (known, raw): (Vec<&str>, Vec<&str>) = (known.split('/').collect(), raw.split('/').collect());
    let named = known.iter().zip(&raw).map(|(known, raw)| if *known == "{name}" { raw } else { known });
    (known.len() == raw.len()).then(|| named.copied().collect::<Vec<_>>().join("/"))
}
