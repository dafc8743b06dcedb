//! Methods: a verb of a resource, with its integration and responses.

use sluice_proto::model::{Method, MethodResponse};

use super::{
    checker::{Checker, at_key},
    expression::{Place, target},
    integration,
    text::{VERBS, is_status_code},
};
use crate::{Diagnostics, limits};

/// The ways a method may be authorized.
pub const AUTHORIZATION_TYPES: [&str; 4] = ["NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS"];

/// Checks a method and what it holds. AWS: PutMethod, PutIntegration, PutMethodResponse, PutIntegrationResponse.
pub fn check(method: &Method) -> Diagnostics {
    let mut checker = Checker::of_level(method.level);
    checker.one_of("httpMethod", &method.http_method, &VERBS);
    authorization(method, &mut checker);
    if let Some(name) = &method.operation_name {
        checker.text("operationName", name, limits::NAME_CHARS_MAX);
    }
    checker.map_size("requestParameters", &method.request_parameters);
    for name in method.request_parameters.keys() {
        if target(name, "method.request").is_none() {
            let message = format!("expected method.request.{{path|querystring|header}}.NAME, found {name:?}");
            checker.error("invalid-parameter", at_key("requestParameters", name), message);
        }
    }
    checker.map_size("requestModels", &method.request_models);
    for (media_type, model) in &method.request_models {
        checker.required(&at_key("requestModels", media_type), model);
    }
    checker.map_size("methodResponses", &method.method_responses);
    for (status, response) in &method.method_responses {
        method_response(&at_key("methodResponses", status), status, response, &mut checker);
    }
    if let Some(integration) = &method.method_integration {
        checker.absorb("methodIntegration", integration::check(integration));
    }
    checker.finish()
}

fn authorization(method: &Method, checker: &mut Checker) {
    let kind = method.authorization_type.as_deref().unwrap_or("NONE");
    checker.one_of("authorizationType", kind, &AUTHORIZATION_TYPES);
    let named = method.authorizer_id.as_ref().is_some_and(|id| !id.is_empty());
    if matches!(kind, "CUSTOM" | "COGNITO_USER_POOLS") && !named {
        let message = format!("expected an authorizer for authorizationType {kind}, found none");
        checker.error("required", "authorizerId", message);
    }
    if !method.authorization_scopes.is_empty() && kind != "COGNITO_USER_POOLS" {
        let message = format!("expected scopes only with COGNITO_USER_POOLS, found authorizationType {kind}");
        checker.error("invalid-combination", "authorizationScopes", message);
    }
}

fn method_response(at: &str, status: &str, response: &MethodResponse, checker: &mut Checker) {
    status_code(at, status, &response.status_code, checker);
    checker.map_size(&format!("{at}.responseParameters"), &response.response_parameters);
    for name in response.response_parameters.keys() {
        response_header(&format!("{at}.responseParameters"), name, checker);
    }
    checker.map_size(&format!("{at}.responseModels"), &response.response_models);
    for (media_type, model) in &response.response_models {
        checker.required(&at_key(&format!("{at}.responseModels"), media_type), model);
    }
}

/// A response stands under its own status code.
pub(super) fn status_code(at: &str, key: &str, status: &str, checker: &mut Checker) {
    if !is_status_code(key) {
        checker.error("invalid-status", at, format!("expected a status code of 100 to 599, found {key:?}"));
    } else if key != status {
        let message = format!("expected the status code {key} under which it stands, found {status:?}");
        checker.error("invalid-status", format!("{at}.statusCode"), message);
    }
}

/// `method.response.header.NAME` (`multivalueheader` too, as AWS takes it).
pub(super) fn response_header(at: &str, name: &str, checker: &mut Checker) {
    let place = target(name, "method.response").map(|(place, _)| place);
    if !matches!(place, Some(Place::Header | Place::MultiHeader)) {
        let message = format!("expected method.response.header.NAME, found {name:?}");
        checker.error("invalid-parameter", at_key(at, name), message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method() -> Method {
        Method { level: 1, http_method: "GET".to_owned(), ..Method::default() }
    }

    fn found(method: &Method) -> Vec<String> {
        check(method).into_iter().map(|found| found.at).collect()
    }

    #[test]
    fn a_bare_method_passes() {
        assert!(found(&method()).is_empty());
    }

    #[test]
    fn unknown_verbs_and_types_are_refused() {
        assert_eq!(found(&Method { http_method: "get".to_owned(), ..method() }), ["httpMethod"]);
        assert_eq!(found(&Method { authorization_type: Some("JWT".to_owned()), ..method() }), ["authorizationType"]);
    }

    #[test]
    fn custom_authorization_needs_an_authorizer() {
        let custom = Method { authorization_type: Some("CUSTOM".to_owned()), ..method() };
        assert_eq!(found(&custom), ["authorizerId"]);
        assert!(found(&Method { authorizer_id: Some("abc123".to_owned()), ..custom }).is_empty());
    }

    #[test]
    fn parameters_and_responses_name_their_fields() {
        let response = MethodResponse {
            status_code: "200".to_owned(),
            response_parameters: [("method.response.query.x".to_owned(), true)].into(),
            ..MethodResponse::default()
        };
        let wrong = Method {
            request_parameters: [("querystring.state".to_owned(), false)].into(),
            method_responses: [("200".to_owned(), response), ("2xx".to_owned(), MethodResponse::default())].into(),
            ..method()
        };
        assert_eq!(
            found(&wrong),
            [
                "requestParameters[\"querystring.state\"]",
                "methodResponses[\"200\"].responseParameters[\"method.response.query.x\"]",
                "methodResponses[\"2xx\"]"
            ]
        );
    }
}
