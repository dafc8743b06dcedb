//! MOCK: answers that the gateway gives by itself.

use std::borrow::Cow;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use sluice_compile::{Mock, MockChoice, Passthrough};

use crate::body::Body;
use crate::call::{Answer, Values};
use crate::fault::{Fault, FaultKind};
use crate::fields::frames_or_connects;

/// Without a media type a request counts as this one.
const DEFAULT_MEDIA_TYPE: &str = "application/json";

/// Answers a request for a MOCK; its body is not looked at.
///
/// # Errors
/// `UnsupportedMediaType`, `NoMockAnswer` and `NoMockStatus`, as the compiled form says.
pub fn answer(mock: &Mock, headers: &HeaderMap, values: &dyn Values) -> Result<Answer, Fault> {
    let index = match mock.choose(&media_type(headers)) {
        Ok(MockChoice::Answer(index)) => index,
        Ok(MockChoice::NoAnswer) => {
            return Err(Fault::new(FaultKind::NoMockAnswer, "no integration response fits the template's status"));
        }
        Ok(MockChoice::NoStatus) => return Err(Fault::new(FaultKind::NoMockStatus, "the template names no status")),
        Err(Passthrough::Body) => {
            return Err(Fault::new(FaultKind::NoMockStatus, "no template for the request's media type"));
        }
        Err(Passthrough::Refuse) => {
            return Err(Fault::new(FaultKind::UnsupportedMediaType, "no template for the request's media type"));
        }
    };
    let chosen = &mock.answers[index];
    let mut headers = HeaderMap::with_capacity(chosen.headers.len() + 1);
    headers.insert(CONTENT_TYPE, chosen.content_type.clone());
    for mapping in chosen.headers.iter().filter(|mapping| !frames_or_connects(mapping.name.as_str())) {
        let mut set = false;
        values.each(&mapping.value, &mut |value| {
            let Ok(value) = HeaderValue::from_str(value) else { return };
            if set {
                headers.append(mapping.name.clone(), value);
            } else {
                headers.insert(mapping.name.clone(), value);
                set = true;
            }
        });
    }
    let body = if chosen.body.is_empty() { Body::Empty } else { Body::Full(chosen.body.clone()) };
    Ok(Answer { status: chosen.status, headers, body })
}

/// The request's media type in lower case, without parameters.
fn media_type(headers: &HeaderMap) -> Cow<'_, str> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or(DEFAULT_MEDIA_TYPE);
    let text = text.split(';').next().unwrap_or(text).trim();
    match text {
        "" => Cow::Borrowed(DEFAULT_MEDIA_TYPE),
        text if text.bytes().any(|byte| byte.is_ascii_uppercase()) => Cow::Owned(text.to_ascii_lowercase()),
        text => Cow::Borrowed(text),
    }
}
