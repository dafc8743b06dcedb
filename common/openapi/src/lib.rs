//! OpenAPI 3.0, 3.1 and Swagger 2.0, as JSON or YAML, to the documents of one REST API.
//!
//! Promise: every problem of a file is reported at once, with the path of its field; a file with an error gives no
//! documents. What Sluice cannot run yet but the model can hold (Lambda integrations, authorizers) becomes documents
//! all the same: deployment refuses it, import does not. Base paths of servers are ignored, as AWS does by default.
//! Absent: ids (the caller assigns them), decompression, reading of files, and the way back (export).

mod backend;
mod gateway_response;
mod integration;
mod json;
mod model;
mod model_name;
mod node;
mod operation;
mod parameter;
mod path;
mod paths;
mod problems;
mod request_validator;
mod response;
mod rest_api;
mod schema;
mod security;
mod text;

use sluice_model::diagnostic::Diagnostics;
use sluice_proto::model::{Authorizer, GatewayResponse, Method, Model, RequestValidator, Resource, RestApi};

use crate::{backend::Backend, model::Models, node::Document, problems::Problems};

/// The feature level that imported documents use.
const LEVEL: u32 = sluice_model::level::FIRST;

/// What the caller decides about an import.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The id that the API has or will have; references between models name it.
    pub api_id: &'a str,
    /// Takes the place of `info.title`.
    pub name: Option<&'a str>,
    /// Proxies every operation that has no integration to this URL.
    pub backend: Option<&'a str>,
}

/// The documents of one API.
///
/// Ids are places, not yet ids: a resource's id is its path (and so `parent_id`, `resource_id` and `root_resource_id`),
/// a validator's and an authorizer's id is its name (and so `request_validator_id` and `authorizer_id`), a model's id is
/// empty. Resources come parents first.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedApi {
    /// The API itself.
    pub rest_api: RestApi,
    /// The path tree, with the resources between that no operation names.
    pub resources: Vec<Resource>,
    /// One per operation, by path and verb.
    pub methods: Vec<Method>,
    /// Component schemas, and the schemas written in place, under names made for them.
    pub models: Vec<Model>,
    /// `x-amazon-apigateway-request-validators`.
    pub validators: Vec<RequestValidator>,
    /// Security schemes that hold an `x-amazon-apigateway-authorizer`.
    pub authorizers: Vec<Authorizer>,
    /// `x-amazon-apigateway-gateway-responses`.
    pub gateway_responses: Vec<GatewayResponse>,
    /// What the author should know; no errors.
    pub warnings: Diagnostics,
}

/// Reads one API description.
///
/// `text` is JSON or YAML, not compressed; `file_name` decides between them only where the text does not, and names the
/// file in messages.
///
/// # Errors
/// All problems of the file, errors and warnings, when at least one is an error.
pub fn read(text: &[u8], file_name: &str, options: &Options<'_>) -> Result<ImportedApi, Diagnostics> {
    let problems = Problems::default();
    let read = text::parse(text, file_name, &problems)
        .and_then(|root| Document::new(root, &problems).map(|document| api(&document, options)));
    match (read, problems.into_result()) {
        (Some(mut api), Ok(warnings)) => {
            api.warnings = warnings;
            Ok(api)
        }
        (_, Err(diagnostics) | Ok(diagnostics)) => Err(diagnostics),
    }
}

fn api(document: &Document<'_>, options: &Options<'_>) -> ImportedApi {
    let root = document.root();
    let backend = options.backend.and_then(|url| Backend::parse(url, document.problems));
    let mut models = Models::of_components(document, options.api_id);
    let security = security::Schemes::read(document);
    let validators = request_validator::Validators::read(&root);
    let operations = operation::Operations { security: &security, validators: &validators, backend: backend.as_ref() };
    let found = paths::read(document, &operations, &mut models);
    let mut api = ImportedApi {
        rest_api: rest_api::read(&root, options.name),
        resources: found.resources,
        methods: found.methods,
        models: models.into_documents(),
        validators: validators.documents,
        authorizers: security.authorizers,
        gateway_responses: gateway_response::read(&root),
        warnings: Diagnostics::default(),
    };
    api.belongs_to(options.api_id);
    api
}

impl ImportedApi {
    fn belongs_to(&mut self, api_id: &str) {
        api_id.clone_into(&mut self.rest_api.id);
        let owners = (self.resources.iter_mut().map(|each| &mut each.api_id))
            .chain(self.methods.iter_mut().map(|each| &mut each.api_id))
            .chain(self.models.iter_mut().map(|each| &mut each.api_id))
            .chain(self.validators.iter_mut().map(|each| &mut each.api_id))
            .chain(self.authorizers.iter_mut().map(|each| &mut each.api_id))
            .chain(self.gateway_responses.iter_mut().map(|each| &mut each.api_id));
        for owner in owners {
            api_id.clone_into(owner);
        }
    }
}
