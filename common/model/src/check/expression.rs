//! Expressions that say where a parameter comes from and where it goes.
//!
//! AWS: "API Gateway request and response data mapping reference". Promise: `Source::parse` and `Target::parse` are the
//! only doors, so that the compiler and the checks agree on what a mapping means.

use super::text::{is_stage_variable_name, is_token, is_variable_name};

/// Where in a request or response a named parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A variable of the path.
    Path,
    /// A parameter of the query string.
    Query,
    /// A header.
    Header,
    /// All values of a parameter of the query string.
    MultiQuery,
    /// All values of a header.
    MultiHeader,
}

/// Where a mapped value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// `method.request.{place}.NAME`.
    Request(Place, &'a str),
    /// `method.request.body`, or the JSONPath after it.
    RequestBody(Option<&'a str>),
    /// `integration.response.header.NAME` or `multivalueheader`.
    Response(Place, &'a str),
    /// `integration.response.body`, or the JSONPath after it.
    ResponseBody(Option<&'a str>),
    /// `stageVariables.NAME`.
    StageVariable(&'a str),
    /// `context.NAME`.
    Context(&'a str),
    /// `'text'`.
    Static(&'a str),
}

impl<'a> Source<'a> {
    /// Parses a mapping's right side; `None` when it is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('\'') {
            return inner.strip_suffix('\'').map(Self::Static);
        }
        if let Some(name) = text.strip_prefix("stageVariables.") {
            return is_stage_variable_name(name).then_some(Self::StageVariable(name));
        }
        if let Some(name) = text.strip_prefix("context.") {
            let is_name = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return name.split('.').all(is_name).then_some(Self::Context(name));
        }
        if let Some(rest) = text.strip_prefix("method.request.") {
            return match body(rest) {
                Some(path) => Some(Self::RequestBody(path)),
                None => place(rest).map(|(place, name)| Self::Request(place, name)),
            };
        }
        let rest = text.strip_prefix("integration.response.")?;
        if let Some(path) = body(rest) {
            return Some(Self::ResponseBody(path));
        }
        let (place, name) = place(rest)?;
        matches!(place, Place::Header | Place::MultiHeader).then_some(Self::Response(place, name))
    }
}

/// The place and name of `{place}.NAME`, as in `querystring.state`; `None` when it is none.
pub fn place(text: &str) -> Option<(Place, &str)> {
    let (word, name) = text.split_once('.')?;
    let place = match word {
        "path" => Place::Path,
        "querystring" => Place::Query,
        "header" => Place::Header,
        "multivaluequerystring" => Place::MultiQuery,
        "multivalueheader" => Place::MultiHeader,
        _ => return None,
    };
    let fits = match place {
        Place::Path => is_variable_name(name),
        Place::Header | Place::MultiHeader => is_token(name),
        Place::Query | Place::MultiQuery => !name.is_empty() && !name.chars().any(char::is_control),
    };
    fits.then_some((place, name))
}

/// The place and name of `{prefix}.{place}.NAME`, as in `method.request.header.X-Id`; `None` when it is none.
pub fn target<'a>(text: &'a str, prefix: &str) -> Option<(Place, &'a str)> {
    place(text.strip_prefix(prefix)?.strip_prefix('.')?)
}

/// `body` or `body.PATH`: `Some` of the path when the text is about the body.
fn body(text: &str) -> Option<Option<&str>> {
    let rest = text.strip_prefix("body")?;
    if rest.is_empty() {
        return Some(None);
    }
    let path = rest.strip_prefix('.').unwrap_or(rest);
    let begins = rest.starts_with('.') || rest.starts_with('[');
    (begins && !path.is_empty()).then_some(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_aws_parses() {
        let cases = [
            ("method.request.path.id", Source::Request(Place::Path, "id")),
            ("method.request.querystring.a.b", Source::Request(Place::Query, "a.b")),
            ("method.request.header.X-Id", Source::Request(Place::Header, "X-Id")),
            ("method.request.multivaluequerystring.q", Source::Request(Place::MultiQuery, "q")),
            ("method.request.multivalueheader.q", Source::Request(Place::MultiHeader, "q")),
            ("method.request.body", Source::RequestBody(None)),
            ("method.request.body.a.b[0]", Source::RequestBody(Some("a.b[0]"))),
            ("integration.response.header.ETag", Source::Response(Place::Header, "ETag")),
            ("integration.response.body.id", Source::ResponseBody(Some("id"))),
            ("stageVariables.backend", Source::StageVariable("backend")),
            ("context.identity.sourceIp", Source::Context("identity.sourceIp")),
            ("'static, with anything'", Source::Static("static, with anything")),
            ("''", Source::Static("")),
        ];
        for (text, expect) in cases {
            assert_eq!(Source::parse(text), Some(expect), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in [
            "",
            "'",
            "'open",
            "plain",
            "method.request.path.",
            "method.request.header.a b",
            "method.request.cookie.x",
            "method.request.bodyguard",
            "integration.response.path.x",
            "stageVariables.a-b",
            "context.",
            "context.a..b",
        ] {
            assert_eq!(Source::parse(text), None, "{text}");
        }
        assert_eq!(target("integration.request.path.id", "integration.request"), Some((Place::Path, "id")));
        assert_eq!(target("integration.requestpath.id", "integration.request"), None);
    }
}
