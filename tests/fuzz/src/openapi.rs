//! API descriptions: any text is read or refused, and what is read can be checked and compiled.

use sluice_model::check;
use sluice_openapi::{ImportedApi, Options, read};
use sluice_proto::model::document::Kind;

use crate::{Target, documents::Compiled};

/// The target.
pub const TARGET: Target = Target {
    name: "openapi",
    run,
    seeds: Vec::new,
    words: &[
        "openapi: 3.0.1",
        "swagger: '2.0'",
        "paths:",
        "/{id}",
        "{proxy+}",
        "get:",
        "parameters:",
        "$ref: '#/",
        "x-amazon-apigateway-integration:",
        "x-amazon-apigateway-any-method:",
        "type: http_proxy",
        "type: mock",
        "uri: http://",
        "requestParameters:",
        "integration.request.path.id",
        "responses:",
        "default:",
        "components:",
        "securitySchemes:",
        "&a",
        "*a",
        "<<: *a",
        "\n  ",
        "{",
        "}",
        "[",
        "]",
        "null",
        "1e999",
        "é",
    ],
};

/// Reads the text as a file of either ending, with and without a backend.
///
/// # Panics
/// When a promise of the reader is broken.
pub fn run(input: &[u8]) {
    let plain = Options { api_id: "abcdef1234", ..Options::default() };
    let proxied = Options { name: Some("named"), backend: Some("http://127.0.0.1:9000/base"), ..plain };
    for (file, options) in [("api.yaml", plain), ("api.json", proxied)] {
        match read(input, file, &options) {
            Ok(api) => imported(&api),
            Err(found) => assert!(found.has_errors(), "a file is refused for an error"),
        }
    }
}

fn imported(api: &ImportedApi) {
    assert!(!api.warnings.has_errors(), "a file with an error gives no documents");
    let mut known = std::collections::BTreeSet::new();
    for resource in &api.resources {
        let parent = resource.parent_id.as_deref();
        assert!(parent.is_none_or(|parent| known.contains(parent)), "parents come first: {resource:?}");
        assert!(known.insert(resource.id.as_str()), "a path is one resource: {resource:?}");
    }
    for method in &api.methods {
        assert!(known.contains(method.resource_id.as_str()), "a method is of a resource: {method:?}");
    }
    let mut kinds = vec![Kind::RestApi(api.rest_api.clone())];
    kinds.extend(api.resources.iter().cloned().map(Kind::Resource));
    kinds.extend(api.methods.iter().cloned().map(Kind::Method));
    kinds.extend(api.models.iter().cloned().map(Kind::Model));
    kinds.extend(api.validators.iter().cloned().map(Kind::RequestValidator));
    kinds.extend(api.authorizers.iter().cloned().map(Kind::Authorizer));
    kinds.extend(api.gateway_responses.iter().cloned().map(Kind::GatewayResponse));
    for kind in &kinds {
        let document = sluice_proto::model::Document { kind: Some(kind.clone()) };
        drop(check::document(&document));
    }
    drop(Compiled::of(&kinds, None));
}
