//! Authorizers: who decides whether a caller may.

use sluice_proto::model::Authorizer;

use super::{
    checker::Checker,
    expression::{Place, Source},
};
use crate::{Diagnostics, limits};

/// Seconds for which a decision may be kept, most. AWS: 3,600.
const RESULT_TTL_SECONDS_MAX: i32 = 3600;

/// Checks an authorizer. AWS: CreateAuthorizer.
pub fn check(authorizer: &Authorizer) -> Diagnostics {
    let mut checker = Checker::of_level(authorizer.level);
    checker.name("name", &authorizer.name);
    checker.one_of("type", &authorizer.r#type, &["TOKEN", "REQUEST", "COGNITO_USER_POOLS"]);
    let ttl = authorizer.authorizer_result_ttl_in_seconds;
    checker.range("authorizerResultTtlInSeconds", ttl, 0, RESULT_TTL_SECONDS_MAX);
    match authorizer.r#type.as_str() {
        "COGNITO_USER_POOLS" => {
            if authorizer.provider_arns.is_empty() {
                checker.error("required", "providerARNs", "expected at least one user pool, found none");
            }
        }
        _ => uri(authorizer, &mut checker),
    }
    identity_source(authorizer, &mut checker);
    if let Some(pattern) = &authorizer.identity_validation_expression
        && regex::Regex::new(pattern).is_err()
    {
        let message = format!("expected a regular expression, found {pattern:?}");
        checker.error("invalid-pattern", "identityValidationExpression", message);
    }
    checker.finish()
}

fn uri(authorizer: &Authorizer, checker: &mut Checker) {
    match &authorizer.authorizer_uri {
        Some(uri) => checker.text("authorizerUri", uri, limits::URI_CHARS_MAX),
        None => checker.error("required", "authorizerUri", "expected the address of the authorizer, found none"),
    }
}

fn identity_source(authorizer: &Authorizer, checker: &mut Checker) {
    let Some(sources) = &authorizer.identity_source else {
        if authorizer.r#type == "TOKEN" {
            checker.error("required", "identitySource", "expected method.request.header.NAME, found none");
        }
        return;
    };
    for source in sources.split(',').map(str::trim) {
        let fits = match Source::parse(source) {
            Some(Source::Request(Place::Header, _)) => true,
            Some(Source::Request(Place::Query, _) | Source::StageVariable(_) | Source::Context(_)) => {
                authorizer.r#type == "REQUEST"
            }
            _ => false,
        };
        if !fits {
            let message = format!(
                "expected method.request.header.NAME (REQUEST: also querystring, stageVariables, context), found {source:?}"
            );
            checker.error("invalid-expression", "identitySource", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Authorizer {
        Authorizer {
            name: "a".to_owned(),
            r#type: "TOKEN".to_owned(),
            authorizer_uri: Some("arn:aws:apigateway:r:lambda:path/f/invocations".to_owned()),
            identity_source: Some("method.request.header.Authorization".to_owned()),
            ..Authorizer::default()
        }
    }

    #[test]
    fn each_type_has_its_sources() {
        assert!(check(&token()).is_empty());
        let query = Some("method.request.querystring.t".to_owned());
        assert!(check(&Authorizer { identity_source: query.clone(), ..token() }).has_errors());
        let request = Authorizer { r#type: "REQUEST".to_owned(), identity_source: query, ..token() };
        assert!(check(&request).is_empty());
        assert!(check(&Authorizer { r#type: "COGNITO_USER_POOLS".to_owned(), ..token() }).has_errors());
        assert!(check(&Authorizer { authorizer_result_ttl_in_seconds: Some(3601), ..token() }).has_errors());
    }
}
