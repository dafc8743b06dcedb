//! MOCK: the gateway answers by itself.
//!
//! AWS: "Set up mock integrations". The request template of the request's media type names a status code, which selects
//! an integration response. Both are static in this release, so the selection is made when compiling.
//! Absent: directives and references in templates, which are refused.

mod lax_json;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use regex::Regex;
use sluice_model::{Diagnostic, Diagnostics};
use sluice_proto::model::{Integration, IntegrationResponse};

use crate::{
    NOT_SUPPORTED_YET,
    gateway_response::final_status,
    http_proxy::{HeaderMapping, header_mapping, source_problem},
    template::{self, Directive},
    value::ValueSource,
};

/// A compiled MOCK integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mock {
    /// The choice for each media type (lower case, without parameters), in the order of their names.
    pub choices: Box<[(Box<str>, MockChoice)]>,
    /// What happens to a request of any other media type. A request without one is `application/json`.
    pub passthrough: Passthrough,
    /// The answers that choices name.
    pub answers: Box<[MockAnswer]>,
}

/// What a request template of a MOCK leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MockChoice {
    /// The answer with this index.
    Answer(usize),
    /// No integration response fits the status: API_CONFIGURATION_ERROR.
    NoAnswer,
    /// The template is not an object with a `statusCode`: an internal server error.
    NoStatus,
}

/// What happens when no template fits the request's media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Passthrough {
    /// The body stands for the template. A MOCK then has no status: an internal server error.
    Body,
    /// UNSUPPORTED_MEDIA_TYPE.
    Refuse,
}

/// One integration response of a MOCK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MockAnswer {
    /// The status that the client sees.
    pub status: StatusCode,
    /// Headers that the client sees; values are static, of the context or of the stage's variables.
    pub headers: Box<[HeaderMapping]>,
    /// The media type of the template, unless a header says otherwise.
    pub content_type: HeaderValue,
    /// The body.
    pub body: Bytes,
}

impl Mock {
    /// Returns the choice for `media_type` (lower case, without parameters), or what happens without one.
    pub fn choose(&self, media_type: &str) -> Result<MockChoice, Passthrough> {
        match self.choices.binary_search_by(|(name, _)| (**name).cmp(media_type)) {
            Ok(at) => Ok(self.choices[at].1),
            Err(_) => Err(self.passthrough),
        }
    }
}

/// The media type of a request or template that names none.
const JSON: &str = "application/json";

/// Compiles a MOCK; paths of diagnostics begin at the integration.
pub(crate) fn compile(integration: &Integration, problems: &mut Diagnostics) -> Mock {
    let mut answers = Vec::new();
    let mut patterns = Vec::new();
    for (status, response) in &integration.integration_responses {
        let mut found = Diagnostics::new();
        if let Some(answer) = MockAnswer::compile(status, response, &mut found) {
            patterns.push(pattern(response, &mut found));
            answers.push(answer);
        }
        problems.absorb(&format!("integrationResponses[{status:?}]"), found);
    }
    let mut choices: BTreeMap<Box<str>, MockChoice> = BTreeMap::new();
    for (media_type, text) in &integration.request_templates {
        let at = format!("requestTemplates[{media_type:?}]");
        if let Some(text) = static_template(&at, text, problems) {
            choices.insert(plain_media_type(media_type), choice(&text, &patterns));
        }
    }
    let passthrough = match integration.passthrough_behavior.as_deref() {
        Some("NEVER") => Passthrough::Refuse,
        Some("WHEN_NO_TEMPLATES") if !integration.request_templates.is_empty() => Passthrough::Refuse,
        None | Some("WHEN_NO_MATCH" | "WHEN_NO_TEMPLATES") => Passthrough::Body,
        Some(other) => {
            let message = format!("expected WHEN_NO_MATCH, WHEN_NO_TEMPLATES or NEVER, found {other:?}");
            problems.error("invalid-value", "passthroughBehavior", message);
            Passthrough::Refuse
        }
    };
    Mock { choices: choices.into_iter().collect(), passthrough, answers: answers.into() }
}

/// A pattern that the whole status must match; `None` for the default response.
fn pattern(response: &IntegrationResponse, problems: &mut Diagnostics) -> Option<Regex> {
    let text = response.selection_pattern.as_deref().filter(|text| !text.is_empty())?;
    match Regex::new(&format!("^(?:{text})$")) {
        Ok(pattern) => Some(pattern),
        Err(_) => {
            let message = format!("expected a regular expression, found {text:?}");
            problems.error("invalid-pattern", "selectionPattern", message);
            None
        }
    }
}

fn choice(template: &str, patterns: &[Option<Regex>]) -> MockChoice {
    let Some(status) = lax_json::status_code(template) else { return MockChoice::NoStatus };
    let status = status.to_string();
    let by_pattern = patterns.iter().position(|pattern| pattern.as_ref().is_some_and(|one| one.is_match(&status)));
    let by_default = || patterns.iter().position(Option::is_none);
    by_pattern.or_else(by_default).map_or(MockChoice::NoAnswer, MockChoice::Answer)
}

impl MockAnswer {
    fn compile(key: &str, response: &IntegrationResponse, problems: &mut Diagnostics) -> Option<Self> {
        let text = if response.status_code.is_empty() { key } else { &response.status_code };
        let Some(status) = final_status(text) else {
            problems.error("invalid-status", "statusCode", format!("expected a status of 200 to 599, found {text:?}"));
            return None;
        };
        let headers = response
            .response_parameters
            .iter()
            .filter_map(|(place, source)| header(place, source).map_err(|problem| problems.push(problem)).ok());
        let headers = headers.collect();
        let templates = &response.response_templates;
        let (content_type, body) = match templates.get_key_value(JSON).or_else(|| templates.first_key_value()) {
            Some((content_type, text)) => (
                content_type.as_str(),
                static_template(&format!("responseTemplates[{content_type:?}]"), text, problems)?,
            ),
            None => (JSON, String::new()),
        };
        let Ok(content_type) = HeaderValue::from_str(content_type) else {
            problems.error("invalid-content-type", "responseTemplates", format!("{content_type:?} is no content type"));
            return None;
        };
        Some(Self { status, headers, content_type, body: body.into() })
    }
}

/// One entry of `responseParameters`.
fn header(place: &str, source: &str) -> Result<HeaderMapping, Diagnostic> {
    let at = format!("responseParameters[{place:?}]");
    let name = place.strip_prefix("method.response.header.").ok_or_else(|| {
        Diagnostic::error("invalid-mapping", at.as_str(), "expected method.response.header.NAME as the target")
    })?;
    let value = ValueSource::parse(source, &[]).map_err(|error| source_problem(&at, source, error))?;
    if !matches!(value, ValueSource::Static(_) | ValueSource::Context(_) | ValueSource::StageVariable(_)) {
        let message = "a response takes quoted texts, context.* and stageVariables.*";
        return Err(Diagnostic::error("invalid-mapping", at, message));
    }
    header_mapping(&at, name, value)
}

fn static_template(at: &str, text: &str, problems: &mut Diagnostics) -> Option<String> {
    match template::static_text(text) {
        Ok(text) => Some(text),
        Err(directive) => {
            problems.push(directive_problem(at, &directive));
            None
        }
    }
}

/// The diagnostic of a template that would have to be evaluated.
pub(crate) fn directive_problem(at: &str, directive: &Directive) -> Diagnostic {
    let Directive { line, column, text } = directive;
    let message = format!("templates are not evaluated yet, found {text} in line {line}, column {column}");
    Diagnostic::error(NOT_SUPPORTED_YET, at, message).hint("write a template without references and directives")
}

/// A media type as it is looked up: lower case, without parameters.
fn plain_media_type(text: &str) -> Box<str> {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mock(templates: &[(&str, &str)], responses: &[(&str, Option<&str>)]) -> Integration {
        let response = |(status, pattern): &(&str, Option<&str>)| {
            let response = IntegrationResponse {
                status_code: (*status).into(),
                selection_pattern: pattern.map(Into::into),
                ..IntegrationResponse::default()
            };
            ((*status).to_owned(), response)
        };
        Integration {
            r#type: "MOCK".into(),
            request_templates: templates.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
            integration_responses: responses.iter().map(response).collect(),
            ..Integration::default()
        }
    }

    fn compiled(integration: &Integration) -> Mock {
        let mut problems = Diagnostics::new();
        let mock = compile(integration, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        mock
    }

    #[test]
    fn the_status_of_the_template_selects_the_response() {
        let responses = [("200", None), ("404", Some("404")), ("500", Some("5\\d{2}|418"))];
        for (template, expect) in [
            ("{\"statusCode\": 200}", MockChoice::Answer(0)),
            ("{statusCode: 404,}", MockChoice::Answer(1)),
            ("## teapot\n{'statusCode': '418'}", MockChoice::Answer(2)),
            ("{\"statusCode\": 599}", MockChoice::Answer(2)),
            ("{\"statusCode\": 4040}", MockChoice::NoStatus),
            ("{\"code\": 200}", MockChoice::NoStatus),
        ] {
            let mock = compiled(&mock(&[("application/json", template)], &responses));
            assert_eq!(mock.choose("application/json"), Ok(expect), "{template}");
            assert_eq!(mock.choose("text/plain"), Err(Passthrough::Body));
        }
        let mock = compiled(&mock(&[("Application/JSON; charset=utf-8", "{statusCode:201}")], &responses[1..]));
        assert_eq!(mock.choose("application/json"), Ok(MockChoice::NoAnswer));
    }

    #[test]
    fn an_answer_has_status_headers_and_the_body_of_its_template() {
        let mut integration = mock(&[("application/json", "{statusCode:200}")], &[("200", None)]);
        let response = integration.integration_responses.get_mut("200").unwrap();
        response.response_parameters.insert("method.response.header.X-A".into(), "'a'".into());
        response.response_templates.insert("text/plain".into(), "hello ## said\n".into());
        let answer = compiled(&integration).answers[0].clone();
        assert_eq!(
            (answer.status, &*answer.body, answer.content_type),
            (StatusCode::OK, &b"hello "[..], "text/plain".parse().unwrap())
        );
        assert_eq!(answer.headers[0].value, ValueSource::Static("a".into()));
    }

    #[test]
    fn what_has_to_be_evaluated_is_refused_with_its_place() {
        let mut integration = mock(&[("application/json", "{\"statusCode\": $x}")], &[("200", Some("("))]);
        let response = integration.integration_responses.get_mut("200").unwrap();
        response.response_templates.insert("application/json".into(), "#set($a = 1)".into());
        response.response_parameters.insert("method.response.header.b".into(), "integration.response.body".into());
        integration.passthrough_behavior = Some("SOMETIMES".into());
        let mut problems = Diagnostics::new();
        compile(&integration, &mut problems);
        let found: Vec<_> = problems.iter().map(|problem| (problem.at.as_str(), problem.code.as_ref())).collect();
        assert_eq!(
            found,
            [
                ("integrationResponses[\"200\"].responseParameters[\"method.response.header.b\"]", NOT_SUPPORTED_YET),
                ("integrationResponses[\"200\"].responseTemplates[\"application/json\"]", NOT_SUPPORTED_YET),
                ("requestTemplates[\"application/json\"]", NOT_SUPPORTED_YET),
                ("passthroughBehavior", "invalid-value"),
            ]
        );
    }
}
