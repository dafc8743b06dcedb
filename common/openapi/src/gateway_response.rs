//! `x-amazon-apigateway-gateway-responses`: what the gateway itself answers.

use sluice_model::check;
use sluice_proto::model::GatewayResponse;

use crate::{LEVEL, node::Node};

/// The gateway responses of a file.
pub(crate) fn read(root: &Node<'_>) -> Vec<GatewayResponse> {
    let entries = root.entries_of("x-amazon-apigateway-gateway-responses").into_iter();
    let found = entries.map(|(response_type, node)| {
        let response = GatewayResponse {
            level: LEVEL,
            api_id: String::new(),
            response_type: response_type.to_owned(),
            status_code: node.text("statusCode"),
            response_parameters: node.text_map("responseParameters"),
            response_templates: node.text_map("responseTemplates"),
        };
        node.absorb(check::gateway_response::check(&response));
        response
    });
    let mut responses = found.collect::<Vec<_>>();
    responses.sort_by(|a, b| a.response_type.cmp(&b.response_type));
    responses
}
