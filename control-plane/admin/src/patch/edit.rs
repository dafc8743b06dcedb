//! Edits of a JSON value at a resolved path.

use serde_json::{Map, Value};
use sluice_proto::model::Diagnostic;

use crate::{
    patch::path::{Resolved, Step},
    refused::fault,
    schema::{Schema, Shape},
};

/// What to do at the path; the text is the operation's value.
pub(crate) enum Edit<'a> {
    Add(&'a str),
    Replace(&'a str),
    Remove(&'a str),
}

/// The value at a path.
pub(crate) fn read(document: &Value, at: &Resolved) -> Option<Value> {
    let mut here = document;
    for step in &at.steps {
        here = match step {
            Step::Key(key) => here.get(key)?,
            Step::Element(name) => {
                let items = here.as_array()?;
                &items[position(items, name)?]
            }
        };
    }
    Some(here.clone())
}

/// Puts `copied` at a path; objects are merged, as a canary's variables are into its stage's.
pub(crate) fn copy(document: &mut Value, at: &Resolved, copied: Value) -> Result<(), Diagnostic> {
    let (parent, last) = parent_of(document, at)?;
    let Step::Key(key) = last else {
        return Err(fault("invalid", "path", "a copy goes to a field, not to an element of a list", ""));
    };
    let object = as_object(parent)?;
    match (object.get_mut(key), copied) {
        (Some(Value::Object(present)), Value::Object(copied)) => present.extend(copied),
        (_, copied) => {
            object.insert(key.clone(), copied);
        }
    }
    Ok(())
}

/// Carries out one edit.
pub(crate) fn apply(schema: &Schema, document: &mut Value, at: &Resolved, edit: &Edit<'_>) -> Result<(), Diagnostic> {
    if let (Shape::List(of), Edit::Add(value) | Edit::Remove(value)) = (&at.shape, edit)
        && !value.is_empty()
        && !value.trim_start().starts_with('[')
    {
        return edit_list(document, at, of, edit, value);
    }
    let (parent, last) = parent_of(document, at)?;
    match (last, edit) {
        (Step::Key(key), Edit::Remove(_)) => match as_object(parent)?.shift_remove(key) {
            Some(_) => Ok(()),
            None => Err(nothing_there(key)),
        },
        (Step::Key(key), Edit::Add(text) | Edit::Replace(text)) => {
            let value = parse(schema, &at.shape, text)?;
            as_object(parent)?.insert(key.clone(), value);
            Ok(())
        }
        (Step::Element(name), edit) => edit_element(schema, as_list(parent)?, name, &at.shape, edit),
    }
}

/// `binaryMediaTypes/image~1png`: the element is named in the path.
fn edit_element(
    schema: &Schema,
    items: &mut Vec<Value>,
    name: &str,
    shape: &Shape,
    edit: &Edit<'_>,
) -> Result<(), Diagnostic> {
    let place = position(items, name);
    match (edit, place) {
        (Edit::Remove(_), Some(place)) => {
            items.remove(place);
        }
        (Edit::Remove(_), None) => return Err(nothing_there(name)),
        (Edit::Replace(text), Some(place)) => items[place] = parse(schema, shape, text)?,
        (Edit::Replace(_), None) => return Err(nothing_there(name)),
        (Edit::Add(_), Some(_)) if *shape == Shape::Text => {}
        (Edit::Add(text), _) => {
            let text = if name == "-" || !text.is_empty() { text } else { name };
            items.push(parse(schema, shape, text)?);
        }
    }
    Ok(())
}

/// `apiStages` with the value `abc:prod`: the element is named in the value.
fn edit_list(document: &mut Value, at: &Resolved, of: &Shape, edit: &Edit<'_>, text: &str) -> Result<(), Diagnostic> {
    let (parent, Step::Key(key)) = parent_of(document, at)? else {
        return Err(fault("invalid", "path", "a list stands in a field", ""));
    };
    let items = as_list(as_object(parent)?.entry(key.clone()).or_insert_with(|| Value::Array(Vec::new())))?;
    match (edit, position(items, text)) {
        (Edit::Remove(_), Some(place)) => {
            items.remove(place);
        }
        (Edit::Remove(_), None) => return Err(nothing_there(text)),
        (_, Some(_)) => {}
        (_, None) => items.push(element(of, text)?),
    }
    Ok(())
}

fn element(of: &Shape, text: &str) -> Result<Value, Diagnostic> {
    match of {
        Shape::Message(name) if name == "ApiStage" => match text.split_once(':') {
            Some((api, stage)) => Ok(serde_json::json!({ "apiId": api, "stage": stage })),
            None => Err(fault("invalid", "value", format!("expected API:STAGE, found `{text}`"), "")),
        },
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// The element called `name`: of its text, its `api:stage`, or its number.
fn position(items: &[Value], name: &str) -> Option<usize> {
    let is_named = |item: &Value| match item {
        Value::String(text) => text == name,
        Value::Object(object) => match (object.get("apiId"), object.get("stage")) {
            (Some(Value::String(api)), Some(Value::String(stage))) => name.split_once(':') == Some((api, stage)),
            _ => false,
        },
        _ => false,
    };
    let by_number = || name.parse::<usize>().ok().filter(|number| *number < items.len());
    items.iter().position(is_named).or_else(by_number)
}

/// The value that holds the last step, made on the way where it is absent.
fn parent_of<'v, 'p>(document: &'v mut Value, at: &'p Resolved) -> Result<(&'v mut Value, &'p Step), Diagnostic> {
    let (last, before) = at.steps.split_last().expect("a resolved path has a step");
    let mut here = document;
    for (depth, step) in before.iter().enumerate() {
        here = match step {
            Step::Key(key) => {
                let next_is_element = matches!(at.steps.get(depth + 1), Some(Step::Element(_)));
                let absent = if next_is_element { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
                as_object(here)?.entry(key.clone()).or_insert(absent)
            }
            Step::Element(name) => {
                let items = as_list(here)?;
                let place = position(items, name).ok_or_else(|| nothing_there(name))?;
                &mut items[place]
            }
        };
    }
    if matches!(last, Step::Element(_)) && here.is_null() {
        *here = Value::Array(Vec::new());
    }
    Ok((here, last))
}

fn as_object(value: &mut Value) -> Result<&mut Map<String, Value>, Diagnostic> {
    value.as_object_mut().ok_or_else(|| fault("invalid", "path", "the path goes through something without fields", ""))
}

fn as_list(value: &mut Value) -> Result<&mut Vec<Value>, Diagnostic> {
    value.as_array_mut().ok_or_else(|| fault("invalid", "path", "the path goes through something that is no list", ""))
}

fn nothing_there(name: &str) -> Diagnostic {
    fault("invalid", "path", format!("there is no `{name}` to change"), "")
}

/// The operation's text as a value of the shape.
fn parse(schema: &Schema, shape: &Shape, text: &str) -> Result<Value, Diagnostic> {
    let wrong = || fault("wrong-type", "value", format!("expected {}, found `{text}`", shape.in_words()), "");
    let value = match shape {
        Shape::Text => Value::String(text.to_owned()),
        Shape::Flag => match text.to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(wrong()),
        },
        Shape::Whole { narrow: true } => Value::from(text.parse::<i32>().map_err(|_| wrong())?),
        Shape::Whole { narrow: false } => Value::from(text.parse::<i64>().map_err(|_| wrong())?),
        Shape::Real => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(wrong)?;
            Value::from(number)
        }
        Shape::Message(_) | Shape::Map(_) | Shape::List(_) => serde_json::from_str(text).map_err(|_| wrong())?,
    };
    let mut faults = Vec::new();
    schema.check(shape, &value, "value", &mut faults);
    match faults.into_iter().next() {
        None => Ok(value),
        Some(found) => Err(found),
    }
}
