//! REST APIs.

use sluice_proto::model::RestApi;

use super::checker::{Checker, at_key};
use crate::{Diagnostics, limits};

/// Checks a REST API. AWS: CreateRestApi.
pub fn check(api: &RestApi) -> Diagnostics {
    let mut checker = Checker::of_level(api.level);
    checker.name("name", &api.name);
    checker.description(api.description.as_ref());
    if let Some(version) = &api.version {
        checker.text("version", version, limits::NAME_CHARS_MAX);
    }
    checker.optional_one_of("apiKeySource", api.api_key_source.as_ref(), &["HEADER", "AUTHORIZER"]);
    checker.range("minimumCompressionSize", api.minimum_compression_size, 0, limits::COMPRESSION_SIZE_MAX);
    binary_media_types(api, &mut checker);
    if let Some(endpoint) = &api.endpoint_configuration {
        for (index, kind) in endpoint.types.iter().enumerate() {
            checker.one_of(&format!("endpointConfiguration.types[{index}]"), kind, &["EDGE", "REGIONAL", "PRIVATE"]);
        }
        let address = endpoint.ip_address_type.as_ref();
        checker.optional_one_of("endpointConfiguration.ipAddressType", address, &["ipv4", "dualstack"]);
    }
    if let Some(policy) = api.policy.as_ref().filter(|policy| !policy.is_empty()) {
        checker.json("policy", policy, limits::POLICY_BYTES_MAX);
    }
    checker.tags(&api.tags);
    checker.finish()
}

fn binary_media_types(api: &RestApi, checker: &mut Checker) {
    if api.binary_media_types.len() > limits::MAP_ENTRIES_MAX {
        let message = format!("expected at most {} media types", limits::MAP_ENTRIES_MAX);
        checker.error("too-many", "binaryMediaTypes", message);
    }
    for media_type in &api.binary_media_types {
        // AWS takes parameters and wildcards here; what has no slash can never match.
        if !media_type.contains('/') || media_type.chars().any(char::is_control) {
            let message = format!("expected a media type such as image/png or */*, found {media_type:?}");
            checker.error("invalid-media-type", at_key("binaryMediaTypes", media_type), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_proto::model::EndpointConfiguration;

    use super::*;

    fn api() -> RestApi {
        RestApi { level: 1, name: "pets".to_owned(), ..RestApi::default() }
    }

    #[test]
    fn a_named_api_passes() {
        assert!(check(&api()).is_empty());
    }

    #[test]
    fn every_problem_is_reported_at_its_field() {
        let wrong = RestApi {
            level: 9,
            name: String::new(),
            api_key_source: Some("COOKIE".to_owned()),
            minimum_compression_size: Some(-1),
            binary_media_types: vec!["png".to_owned()],
            endpoint_configuration: Some(EndpointConfiguration {
                types: vec!["LOCAL".to_owned()],
                ..EndpointConfiguration::default()
            }),
            policy: Some("{".to_owned()),
            tags: [("aws:x".to_owned(), String::new())].into(),
            ..api()
        };
        let found: Vec<_> = check(&wrong).into_iter().map(|found| found.at).collect();
        assert_eq!(
            found,
            [
                "level",
                "name",
                "apiKeySource",
                "minimumCompressionSize",
                "binaryMediaTypes[\"png\"]",
                "endpointConfiguration.types[0]",
                "policy",
                "tags[\"aws:x\"]"
            ]
        );
    }
}
