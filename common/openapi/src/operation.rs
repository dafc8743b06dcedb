//! One operation of a path to one method.

use sluice_model::{Diagnostics, check};
use sluice_proto::model::Method;

use crate::{
    LEVEL,
    backend::Backend,
    integration,
    model::Models,
    node::{Dialect, Node},
    parameter::Parameters,
    path::PathTemplate,
    request_validator::Validators,
    response,
    security::{Authorization, Schemes},
};

/// What every operation of a file has in common.
pub(crate) struct Operations<'r> {
    pub(crate) security: &'r Schemes,
    pub(crate) validators: &'r Validators,
    pub(crate) backend: Option<&'r Backend>,
}

impl Operations<'_> {
    /// The method of `verb` at `path`; schemas written in place become `models`.
    pub(crate) fn method<'d>(
        &self,
        path: &PathTemplate<'d>,
        verb: &'static str,
        item: &Node<'d>,
        operation: &Node<'d>,
        models: &mut Models<'d>,
    ) -> Method {
        let root = operation.document.root();
        let operation_name = operation.text("operationId");
        models.name_after(operation_name.as_deref().unwrap_or(""), verb, path);
        let mut parameters = Parameters::read(path, item, operation);
        let request_models = match operation.document.dialect {
            Dialect::OpenApi3 => {
                let body = operation.resolved_field("requestBody");
                body.map(|body| models.of_content(&body, "Request")).unwrap_or_default()
            }
            Dialect::Swagger2 => parameters.body_models(&media_types(operation, "consumes"), models),
        };
        let authorization = self.security.of_operation(&root, operation);
        let mut method_integration = integration::read(operation);
        if let (None, Some(backend)) = (&method_integration, self.backend) {
            method_integration = Some(backend.integration(path, verb));
            parameters.require_path_variables(path);
        }
        let method = Method {
            level: LEVEL,
            api_id: String::new(),
            resource_id: path.to_string(),
            http_method: verb.to_owned(),
            request_validator_id: self.validators.of_operation(operation),
            operation_name,
            request_parameters: parameters.required,
            request_models,
            method_responses: response::read(operation, models),
            method_integration,
            ..authorized(authorization)
        };
        operation.absorb(places_in_file(check::method::check(&method)));
        method
    }
}

/// The integration under the name that a file has for it.
fn places_in_file(found: Diagnostics) -> Diagnostics {
    let renamed = found.into_iter().map(|mut diagnostic| {
        if let Some(rest) = diagnostic.at.strip_prefix("methodIntegration") {
            diagnostic.at = format!("{}{rest}", integration::FIELD);
        }
        diagnostic
    });
    renamed.collect()
}

fn authorized(authorization: Authorization) -> Method {
    Method {
        authorization_type: Some(authorization.kind.to_owned()),
        authorizer_id: authorization.authorizer_id,
        authorization_scopes: authorization.scopes,
        api_key_required: authorization.is_key_required.then_some(true),
        ..Method::default()
    }
}

/// Swagger 2: the operation's `consumes` or `produces`, else the file's, else JSON.
pub(crate) fn media_types<'d>(operation: &Node<'d>, key: &'d str) -> Vec<String> {
    let own = operation.texts(key);
    let found = if own.is_empty() { operation.document.root().texts(key) } else { own };
    if found.is_empty() { vec!["application/json".to_owned()] } else { found }
}
