//! `x-amazon-apigateway-integration` to a method's integration.
//!
//! Every type becomes a document; whether this release can run it is judged when it is deployed.

use std::collections::BTreeMap;

use sluice_proto::model::{Integration, IntegrationResponse, TlsConfig};

use crate::node::Node;

/// Where an operation has its integration.
pub(crate) const FIELD: &str = "x-amazon-apigateway-integration";
/// Fields that only HTTP APIs have; a REST API has nowhere to keep them.
const OF_HTTP_APIS: [&str; 3] = ["payloadFormatVersion", "integrationSubtype", "responseTransferMode"];
const TYPES: [&str; 5] = ["HTTP", "HTTP_PROXY", "AWS", "AWS_PROXY", "MOCK"];

/// The integration that the file gives this operation.
pub(crate) fn read(operation: &Node<'_>) -> Option<Integration> {
    let node = operation.resolved_field(FIELD)?;
    node.object()?;
    for key in OF_HTTP_APIS {
        if let Some(field) = node.field(key) {
            field.warn("field-ignored", format!("`{key}` belongs to HTTP APIs and is ignored"), "leave it out");
        }
    }
    Some(Integration {
        r#type: kind(&node)?,
        http_method: node.text("httpMethod").map(|verb| verb.to_ascii_uppercase()),
        uri: node.text("uri"),
        connection_type: node.text("connectionType"),
        connection_id: node.text("connectionId"),
        credentials: node.text("credentials"),
        request_parameters: node.text_map("requestParameters"),
        request_templates: node.text_map("requestTemplates"),
        passthrough_behavior: node.text("passthroughBehavior").map(|text| text.to_ascii_uppercase()),
        content_handling: node.text("contentHandling").map(|text| text.to_ascii_uppercase()),
        timeout_in_millis: node.whole("timeoutInMillis"),
        cache_namespace: node.text("cacheNamespace"),
        cache_key_parameters: node.texts("cacheKeyParameters"),
        integration_responses: responses(&node),
        tls_config: node
            .field("tlsConfig")
            .map(|tls| TlsConfig { insecure_skip_verification: tls.flag("insecureSkipVerification") }),
    })
}

fn kind(node: &Node<'_>) -> Option<String> {
    let Some(text) = node.text("type") else {
        node.error("integration-invalid", "expected `type`", "one of http_proxy, mock, http, aws_proxy, aws");
        return None;
    };
    let kind = text.to_ascii_uppercase();
    if TYPES.contains(&kind.as_str()) {
        return Some(kind);
    }
    let message = format!("expected http_proxy, mock, http, aws_proxy or aws, found `{text}`");
    node.error("integration-invalid", message, "correct `type`");
    None
}

/// The file keys responses by the pattern that selects them, the model by their status.
fn responses(node: &Node<'_>) -> BTreeMap<String, IntegrationResponse> {
    let mut found = BTreeMap::new();
    for (pattern, response) in node.entries_of("responses") {
        let Some(status_code) = response.text("statusCode") else {
            response.error("integration-invalid", "expected `statusCode`", "the status that the client gets");
            continue;
        };
        let made = IntegrationResponse {
            status_code: status_code.clone(),
            selection_pattern: (pattern != "default").then(|| pattern.to_owned()),
            response_parameters: response.text_map("responseParameters"),
            response_templates: response.text_map("responseTemplates"),
            content_handling: response.text("contentHandling").map(|text| text.to_ascii_uppercase()),
        };
        if found.insert(status_code.clone(), made).is_some() {
            let message =
                format!("another response of this integration has status {status_code} too; this one is kept");
            response.warn("response-replaced", message, "join the patterns with `|`");
        }
    }
    found
}
