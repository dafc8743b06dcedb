//! Integrations: what answers a method.

use sluice_proto::model::{Integration, IntegrationResponse};

use super::{
    checker::{Checker, at_key},
    expression::{Place, Source, target},
    method::{response_header, status_code},
    text::{VERBS, is_media_type, is_stage_variable_name, is_variable_name},
};
use crate::{Diagnostics, limits};

/// The types of integrations.
pub const TYPES: [&str; 5] = ["HTTP", "HTTP_PROXY", "AWS", "AWS_PROXY", "MOCK"];

/// Checks an integration and its responses.
pub fn check(integration: &Integration) -> Diagnostics {
    let mut checker = Checker::default();
    checker.one_of("type", &integration.r#type, &TYPES);
    target_of(integration, &mut checker);
    connection(integration, &mut checker);
    let passthrough = integration.passthrough_behavior.as_ref();
    checker.optional_one_of("passthroughBehavior", passthrough, &["WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER"]);
    content_handling("contentHandling", integration.content_handling.as_ref(), &mut checker);
    let (least, most) = (limits::INTEGRATION_TIMEOUT_MS_MIN, limits::INTEGRATION_TIMEOUT_MS_MAX);
    checker.range("timeoutInMillis", integration.timeout_in_millis, least, most);
    request_parameters(integration, &mut checker);
    templates("requestTemplates", &integration.request_templates, &mut checker);
    checker.map_size("integrationResponses", &integration.integration_responses);
    for (status, answer) in &integration.integration_responses {
        response(&at_key("integrationResponses", status), status, answer, &mut checker);
    }
    checker.finish()
}

fn target_of(integration: &Integration, checker: &mut Checker) {
    let mock = integration.r#type == "MOCK";
    match integration.http_method.as_deref() {
        Some(verb) => checker.one_of("httpMethod", verb, &VERBS),
        None if !mock => {
            checker.error("required", "httpMethod", "expected the verb used towards the backend, found none")
        }
        None => {}
    }
    match integration.uri.as_deref() {
        Some(uri) if matches!(integration.r#type.as_str(), "HTTP" | "HTTP_PROXY") => {
            checker.absorb("uri", http_uri(uri))
        }
        Some(uri) => checker.text("uri", uri, limits::URI_CHARS_MAX),
        None if !mock => checker.error("required", "uri", "expected the address of the backend, found none"),
        None => {}
    }
}

fn connection(integration: &Integration, checker: &mut Checker) {
    checker.optional_one_of("connectionType", integration.connection_type.as_ref(), &["INTERNET", "VPC_LINK"]);
    let linked = integration.connection_type.as_deref() == Some("VPC_LINK");
    if linked && integration.connection_id.as_ref().is_none_or(String::is_empty) {
        checker.error("required", "connectionId", "expected the id of a link beside VPC_LINK, found none");
    }
}

/// Checks the URI of an HTTP backend: `http` or `https`, an authority, and well-formed `{name}` and
/// `${stageVariables.name}`. The paths of its diagnostics are empty.
pub fn http_uri(uri: &str) -> Diagnostics {
    let mut checker = Checker::default();
    checker.text("", uri, limits::URI_CHARS_MAX);
    let rest = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"));
    let Some(rest) = rest else {
        let shown: String = uri.chars().take(64).collect();
        let message = format!("expected an address that begins with http:// or https://, found {shown:?}");
        checker.error("invalid-uri", "", message);
        return checker.finish();
    };
    let authority_end = authority_len(rest);
    if authority_end == 0 || rest[..authority_end].contains('@') {
        checker.error("invalid-uri", "", "expected a host after the scheme, without a user name");
    }
    if let Some(problem) = authority(&rest[..authority_end]) {
        checker.error("invalid-uri", "", problem);
    }
    if uri.chars().any(|letter| letter.is_control() || letter.is_whitespace() || "<>\"\\^`|".contains(letter)) {
        checker.error("invalid-uri", "", "expected an address without spaces and the characters < > \" \\ ^ ` |");
    }
    if uri.contains('#') {
        checker.error("invalid-uri", "", "expected an address without a fragment");
    }
    if let Some(problem) = placeholders(rest) {
        checker.error("invalid-uri", "", problem);
    }
    checker.finish()
}

/// Length of the authority; a `${stageVariables.x}` in it may not hold `/` and so does not end it.
fn authority_len(rest: &str) -> usize {
    rest.find(['/', '?', '#']).unwrap_or(rest.len())
}

/// What is wrong with the host or the port of an address, if anything. Variables in them are known only with a stage.
fn authority(authority: &str) -> Option<String> {
    if authority.contains(['{', '}']) {
        return None;
    }
    let (host_is_valid, port) = match authority.strip_prefix('[') {
        Some(literal) => {
            let (address, port) = literal.split_once(']').unwrap_or((literal, "]"));
            (address.parse::<std::net::Ipv6Addr>().is_ok(), port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            (!host.is_empty() && !host.contains(['[', ']']), port)
        }
    };
    if !host_is_valid {
        return Some(format!("expected a host name, an IPv4 address or an [IPv6 address], found {authority:?}"));
    }
    // An empty port is that of the scheme (RFC 3986, 3.2.3).
    let is_port =
        |text: &str| text.is_empty() || !text.starts_with('+') && text.parse::<u16>().is_ok_and(|number| number > 0);
    if port.is_empty() || port.strip_prefix(':').is_some_and(is_port) {
        return None;
    }
    Some(format!("expected a port of 1 to 65535 after the host, found {:?}", port.trim_start_matches(':')))
}

/// What is wrong with the braces of an address, if anything.
fn placeholders(mut rest: &str) -> Option<String> {
    while let Some(open) = rest.find(['{', '}']) {
        if rest[open..].starts_with('}') {
            return Some("expected { before }".to_owned());
        }
        let is_stage_variable = rest[..open].ends_with('$');
        let inside = &rest[open + 1..];
        let Some(close) = inside.find('}') else {
            return Some("expected } after {".to_owned());
        };
        let name = &inside[..close];
        if is_stage_variable {
            if !name.strip_prefix("stageVariables.").is_some_and(is_stage_variable_name) {
                return Some(format!("expected ${{stageVariables.NAME}}, found ${{{name}}}"));
            }
        } else if !is_variable_name(name.strip_suffix('+').unwrap_or(name)) {
            return Some(format!("expected {{NAME}}, found {{{name}}}"));
        }
        rest = &inside[close + 1..];
    }
    None
}

fn content_handling(at: &str, value: Option<&String>, checker: &mut Checker) {
    checker.optional_one_of(at, value, &["CONVERT_TO_BINARY", "CONVERT_TO_TEXT"]);
}

fn request_parameters(integration: &Integration, checker: &mut Checker) {
    checker.map_size("requestParameters", &integration.request_parameters);
    for (name, value) in &integration.request_parameters {
        let at = at_key("requestParameters", name);
        let place = target(name, "integration.request").map(|(place, _)| place);
        if !matches!(place, Some(Place::Path | Place::Query | Place::Header)) {
            let message = format!("expected integration.request.{{path|querystring|header}}.NAME, found {name:?}");
            checker.error("invalid-parameter", &at, message);
        }
        if matches!(Source::parse(value), None | Some(Source::Response(..) | Source::ResponseBody(_))) {
            let expected = "method.request.{path|querystring|header}.NAME, method.request.body, stageVariables.NAME, \
                            context.NAME or 'text'";
            checker.error("invalid-expression", &at, format!("expected {expected}, found {value:?}"));
        }
    }
}

fn response(at: &str, status: &str, response: &IntegrationResponse, checker: &mut Checker) {
    status_code(at, status, &response.status_code, checker);
    if let Some(pattern) = &response.selection_pattern
        && let Err(problem) = regex::Regex::new(pattern)
    {
        let reason = problem.to_string().lines().last().unwrap_or_default().trim().to_owned();
        let message = format!("expected a regular expression, found {pattern:?}: {reason}");
        checker.error("invalid-pattern", format!("{at}.selectionPattern"), message);
    }
    content_handling(&format!("{at}.contentHandling"), response.content_handling.as_ref(), checker);
    let parameters = format!("{at}.responseParameters");
    checker.map_size(&parameters, &response.response_parameters);
    for (name, value) in &response.response_parameters {
        response_header(&parameters, name, checker);
        if matches!(Source::parse(value), None | Some(Source::Request(..) | Source::RequestBody(_))) {
            let expected = "integration.response.header.NAME, integration.response.body, stageVariables.NAME, \
                            context.NAME or 'text'";
            let message = format!("expected {expected}, found {value:?}");
            checker.error("invalid-expression", at_key(&parameters, name), message);
        }
    }
    templates(&format!("{at}.responseTemplates"), &response.response_templates, checker);
}

fn templates(at: &str, templates: &std::collections::BTreeMap<String, String>, checker: &mut Checker) {
    checker.map_size(at, templates);
    for (media_type, template) in templates {
        let entry = at_key(at, media_type);
        if !is_media_type(media_type) && media_type != "$default" {
            checker.error("invalid-media-type", &entry, format!("expected a media type, found {media_type:?}"));
        }
        if template.len() > limits::TEMPLATE_BYTES_MAX {
            let message = format!("expected at most {} bytes, found {}", limits::TEMPLATE_BYTES_MAX, template.len());
            checker.error("too-long", &entry, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(uri: &str) -> Integration {
        Integration {
            r#type: "HTTP_PROXY".to_owned(),
            http_method: Some("GET".to_owned()),
            uri: Some(uri.to_owned()),
            ..Integration::default()
        }
    }

    fn found(integration: &Integration) -> Vec<String> {
        check(integration).into_iter().map(|found| found.at).collect()
    }

    #[test]
    fn good_addresses_pass() {
        for uri in [
            "http://127.0.0.1:9000",
            "https://api.example.com/pets/{id}?x=1",
            "http://${stageVariables.backend}/v1/{proxy}",
            "http://[::1]:9000/x",
            "http://h:/",
            "https://host.${stageVariables.domain}:8443/{a}/{b}",
        ] {
            assert!(found(&proxy(uri)).is_empty(), "{uri}: {:?}", check(&proxy(uri)));
        }
    }

    #[test]
    fn bad_addresses_are_refused() {
        for uri in [
            "ftp://h/",
            "h/path",
            "http://",
            "http:///x",
            "http://u@h/",
            "http://:80/",
            "http://[::zz]/",
            "http://[::1/",
            "http://[::1]80/",
            "http://h:0/",
            "http://h:99999/",
            "http://h:+80/",
            "http://h:80:80/",
            "http://h/a b",
            "http://h/{",
            "http://h/}",
            "http://h/{}",
            "http://h/${stageVariables.}",
            "http://h/${context.x}",
            "http://h/#f",
        ] {
            assert!(found(&proxy(uri)).contains(&"uri".to_owned()), "{uri}");
        }
    }

    #[test]
    fn only_mock_needs_no_address() {
        let mock = Integration { r#type: "MOCK".to_owned(), ..Integration::default() };
        assert!(found(&mock).is_empty());
        let http = Integration { r#type: "HTTP".to_owned(), ..Integration::default() };
        assert_eq!(found(&http), ["httpMethod", "uri"]);
    }

    #[test]
    fn timeouts_have_aws_range() {
        for (timeout, good) in [(49, false), (50, true), (300_000, true), (300_001, false)] {
            let integration = Integration { timeout_in_millis: Some(timeout), ..proxy("http://h") };
            assert_eq!(found(&integration).is_empty(), good, "{timeout}");
        }
    }

    #[test]
    fn mappings_go_from_request_to_backend_and_from_backend_to_answer() {
        let mut integration = proxy("http://h/{id}");
        integration.request_parameters = [
            ("integration.request.path.id".to_owned(), "method.request.path.id".to_owned()),
            ("integration.request.header.x".to_owned(), "integration.response.header.x".to_owned()),
            ("request.header.y".to_owned(), "'y'".to_owned()),
        ]
        .into();
        let response = IntegrationResponse {
            status_code: "200".to_owned(),
            selection_pattern: Some("2[".to_owned()),
            response_parameters: [("method.response.header.x".to_owned(), "method.request.header.x".to_owned())].into(),
            ..IntegrationResponse::default()
        };
        integration.integration_responses = [("200".to_owned(), response)].into();
        assert_eq!(
            found(&integration),
            [
                "requestParameters[\"integration.request.header.x\"]",
                "requestParameters[\"request.header.y\"]",
                "integrationResponses[\"200\"].selectionPattern",
                "integrationResponses[\"200\"].responseParameters[\"method.response.header.x\"]",
            ]
        );
    }
}
