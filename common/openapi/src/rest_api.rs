//! What a file says of the API as a whole.

use std::collections::BTreeMap;

use sluice_model::{Diagnostics, check};
use sluice_proto::model::{EndpointConfiguration, RestApi};

use crate::{
    LEVEL,
    node::{Dialect, Node},
};

/// Every extension that is read, here or elsewhere in this crate.
const READ: [&str; 9] = [
    "x-amazon-apigateway-api-key-source",
    "x-amazon-apigateway-binary-media-types",
    "x-amazon-apigateway-endpoint-configuration",
    "x-amazon-apigateway-gateway-responses",
    "x-amazon-apigateway-minimum-compression-size",
    "x-amazon-apigateway-policy",
    "x-amazon-apigateway-request-validator",
    "x-amazon-apigateway-request-validators",
    "x-amazon-apigateway-auth",
];
/// Fields of the model, and where a file has them.
const FIELDS: [(&str, &str); 8] = [
    ("name", "info.title"),
    ("description", "info.description"),
    ("version", "info.version"),
    ("apiKeySource", "x-amazon-apigateway-api-key-source"),
    ("binaryMediaTypes", "x-amazon-apigateway-binary-media-types"),
    ("minimumCompressionSize", "x-amazon-apigateway-minimum-compression-size"),
    ("endpointConfiguration", ENDPOINT),
    ("policy", "x-amazon-apigateway-policy"),
];
const ENDPOINT: &str = "x-amazon-apigateway-endpoint-configuration";

/// The API of a file; `name` takes the place of its title.
pub(crate) fn read(root: &Node<'_>, name: Option<&str>) -> RestApi {
    warn_of_unread_extensions(root);
    warn_of_base_path(root);
    let info = root.field("info");
    let title = name.map(str::to_owned).or_else(|| info.as_ref()?.text("title")).filter(|title| !title.is_empty());
    if title.is_none() {
        root.document.problems.error("name-missing", "info.title".to_owned(), "expected a title", "or say --name NAME");
    }
    let endpoint =
        root.field(ENDPOINT).or_else(|| root.items_of("servers").into_iter().find_map(|server| server.field(ENDPOINT)));
    let api = RestApi {
        level: LEVEL,
        name: title.unwrap_or_default(),
        description: info.as_ref().and_then(|info| info.text("description")),
        version: info.as_ref().and_then(|info| info.text("version")),
        api_key_source: root.text("x-amazon-apigateway-api-key-source").map(|text| text.to_ascii_uppercase()),
        binary_media_types: root.texts("x-amazon-apigateway-binary-media-types"),
        minimum_compression_size: root.whole("x-amazon-apigateway-minimum-compression-size"),
        endpoint_configuration: endpoint.as_ref().map(endpoint_configuration),
        disable_execute_api_endpoint: endpoint.as_ref().and_then(|node| node.flag("disableExecuteApiEndpoint")),
        policy: policy(root),
        root_resource_id: "/".to_owned(),
        tags: tags(root),
        ..RestApi::default()
    };
    let found = places_in_file(check::rest_api::check(&api)).into_iter();
    // A missing name is reported above, with what to do about it.
    root.absorb(found.filter(|diagnostic| !api.name.is_empty() || diagnostic.at != "info.title").collect());
    api
}

/// Fields of the model under the names that a file has for them.
fn places_in_file(found: Diagnostics) -> Diagnostics {
    let renamed = found.into_iter().map(|mut diagnostic| {
        let end = diagnostic.at.find(['.', '[']).unwrap_or(diagnostic.at.len());
        let (field, rest) = diagnostic.at.split_at(end);
        let known = FIELDS.iter().find(|(name, _)| *name == field);
        diagnostic.at = known.map_or_else(|| diagnostic.at.clone(), |(_, place)| format!("{place}{rest}"));
        diagnostic
    });
    renamed.collect()
}

fn endpoint_configuration(node: &Node<'_>) -> EndpointConfiguration {
    EndpointConfiguration {
        types: node.texts("types"),
        vpc_endpoint_ids: node.texts("vpcEndpointIds"),
        ip_address_type: node.text("ipAddressType"),
    }
}

/// The policy as JSON text, whether the file holds it as an object or as text.
fn policy(root: &Node<'_>) -> Option<String> {
    let node = root.field("x-amazon-apigateway-policy")?;
    if let Some(text) = node.value.as_str() {
        return Some(text.to_owned());
    }
    node.object().map(|_| node.value.to_string())
}

fn tags(root: &Node<'_>) -> BTreeMap<String, String> {
    let tags = root.items_of("tags").into_iter();
    tags.filter_map(|tag| Some((tag.text("name")?, tag.text("x-amazon-apigateway-tag-value")?))).collect()
}

fn warn_of_unread_extensions(root: &Node<'_>) {
    for (key, node) in root.entries() {
        if key.starts_with("x-amazon-apigateway-")
            && !READ.contains(&key)
            && key != "x-amazon-apigateway-importexport-version"
        {
            node.warn("extension-ignored", format!("`{key}` is not read"), "leave it out if it does not matter");
        }
    }
}

/// AWS ignores base paths unless told otherwise, and so do we; the author may have expected them.
fn warn_of_base_path(root: &Node<'_>) {
    let path = match root.document.dialect {
        Dialect::Swagger2 => root.text("basePath"),
        Dialect::OpenApi3 => root.items_of("servers").first().and_then(|server| server.text("url")).and_then(|url| {
            let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            rest.find('/').map(|at| rest[at..].to_owned())
        }),
    };
    if let Some(path) = path.filter(|path| !path.trim_matches('/').is_empty() && !path.contains('{')) {
        let at = if root.document.dialect == Dialect::Swagger2 { "basePath" } else { "servers[0].url" };
        let message = format!("the base path `{path}` is ignored: routes are the paths as they are written");
        let hint = "if the backend expects it, end --backend with it";
        root.document.problems.warn("base-path-ignored", at.to_owned(), message, hint);
    }
}
