//! Gateway responses: what the gateway itself answers for one kind of error.

use sluice_proto::model::GatewayResponse;

use super::{
    checker::{Checker, at_key},
    expression::{Place, Source, place},
    text::{is_media_type, is_status_code},
};
use crate::{Diagnostics, limits};

/// The kinds of errors. AWS: "Gateway response types".
pub const TYPES: [&str; 21] = [
    "ACCESS_DENIED",
    "API_CONFIGURATION_ERROR",
    "AUTHORIZER_CONFIGURATION_ERROR",
    "AUTHORIZER_FAILURE",
    "BAD_REQUEST_BODY",
    "BAD_REQUEST_PARAMETERS",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
    "EXPIRED_TOKEN",
    "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT",
    "INVALID_API_KEY",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "QUOTA_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "RESOURCE_NOT_FOUND",
    "THROTTLED",
    "UNAUTHORIZED",
    "UNSUPPORTED_MEDIA_TYPE",
    "WAF_FILTERED",
];

/// Checks a gateway response. AWS: PutGatewayResponse.
pub fn check(response: &GatewayResponse) -> Diagnostics {
    let mut checker = Checker::of_level(response.level);
    checker.one_of("responseType", &response.response_type, &TYPES);
    if let Some(status) = &response.status_code
        && !is_status_code(status)
    {
        checker.error("invalid-status", "statusCode", format!("expected a status code, found {status:?}"));
    }
    checker.map_size("responseParameters", &response.response_parameters);
    for (name, value) in &response.response_parameters {
        let at = at_key("responseParameters", name);
        let target = name.strip_prefix("gatewayresponse.").and_then(place);
        if !matches!(target, Some((Place::Header, _))) {
            let message = format!("expected gatewayresponse.header.NAME, found {name:?}");
            checker.error("invalid-parameter", &at, message);
        }
        let fits = matches!(
            Source::parse(value),
            Some(Source::Request(..) | Source::Static(_) | Source::Context(_) | Source::StageVariable(_))
        );
        if !fits {
            let expected = "method.request.{path|querystring|header}.NAME, stageVariables.NAME, context.NAME or 'text'";
            checker.error("invalid-expression", &at, format!("expected {expected}, found {value:?}"));
        }
    }
    checker.map_size("responseTemplates", &response.response_templates);
    for (media_type, template) in &response.response_templates {
        let at = at_key("responseTemplates", media_type);
        if !is_media_type(media_type) {
            checker.error("invalid-media-type", &at, format!("expected a media type, found {media_type:?}"));
        }
        if template.len() > limits::TEMPLATE_BYTES_MAX {
            let message = format!("expected at most {} bytes, found {}", limits::TEMPLATE_BYTES_MAX, template.len());
            checker.error("too-long", &at, message);
        }
    }
    checker.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_with_header_parameters_pass() {
        let response = GatewayResponse {
            response_type: "THROTTLED".to_owned(),
            status_code: Some("429".to_owned()),
            response_parameters: [("gatewayresponse.header.Retry-After".to_owned(), "'1'".to_owned())].into(),
            response_templates: [("application/json".to_owned(), "{}".to_owned())].into(),
            ..GatewayResponse::default()
        };
        assert!(check(&response).is_empty());
        assert!(check(&GatewayResponse { response_type: "TEAPOT".to_owned(), ..response.clone() }).has_errors());
        assert!(check(&GatewayResponse { status_code: Some("4xx".to_owned()), ..response.clone() }).has_errors());
        let wrong = [("gatewayresponse.query.x".to_owned(), "integration.response.header.x".to_owned())].into();
        assert_eq!(check(&GatewayResponse { response_parameters: wrong, ..response }).len(), 2);
    }
}
