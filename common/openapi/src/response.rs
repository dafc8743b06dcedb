//! `responses` to method responses.
//!
//! `default` and ranges (`2XX`) have no form in the model, where a response is one status; they are left out.

use std::collections::BTreeMap;

use sluice_proto::model::MethodResponse;

use crate::{
    model::Models,
    node::{Dialect, Node},
    operation::media_types,
};

/// The method responses of an operation by status code.
pub(crate) fn read<'d>(operation: &Node<'d>, models: &mut Models<'d>) -> BTreeMap<String, MethodResponse> {
    let mut found = BTreeMap::new();
    for (status, entry) in operation.entries_of("responses") {
        if status == "default" || status.starts_with("x-") || is_range(status) {
            continue;
        }
        if status.len() != 3
            || !status.bytes().all(|byte| byte.is_ascii_digit())
            || !(b'1'..=b'5').contains(&status.as_bytes()[0])
        {
            entry.error("status-invalid", format!("expected a status of 100 to 599, found `{status}`"), "correct it");
            continue;
        }
        if let Some(response) = entry.resolved() {
            found.insert(status.to_owned(), method_response(status, operation, &response, models));
        }
    }
    found
}

fn is_range(status: &str) -> bool {
    matches!(status.as_bytes(), [b'1'..=b'5', b'X' | b'x', b'X' | b'x'])
}

fn method_response<'d>(
    status: &str,
    operation: &Node<'d>,
    response: &Node<'d>,
    models: &mut Models<'d>,
) -> MethodResponse {
    let role = format!("Response{status}");
    let response_models = match response.document.dialect {
        Dialect::OpenApi3 => models.of_content(response, &role),
        Dialect::Swagger2 => {
            let model = response.field("schema").and_then(|schema| models.of_schema(&schema, &role));
            let types = model.as_ref().map(|_| media_types(operation, "produces")).unwrap_or_default();
            types.into_iter().filter_map(|media_type| Some((media_type, model.clone()?))).collect()
        }
    };
    let headers = response.entries_of("headers");
    MethodResponse {
        status_code: status.to_owned(),
        response_parameters: headers
            .iter()
            .map(|(name, _)| (format!("method.response.header.{name}"), false))
            .collect(),
        response_models,
    }
}
