//! Checks of single documents against AWS's rules, a file per noun.
//!
//! Promise: every problem of a document at once, each `at` the JSON path of its field within the document. Absent: what
//! needs other documents (does the parent exist, do routes clash), and what this release cannot run: `sluice-compile`.

pub mod api_key;
pub mod authorizer;
pub mod deployment;
pub mod gateway_response;
pub mod integration;
pub mod method;
pub mod model;
pub mod request_validator;
pub mod resource;
pub mod rest_api;
pub mod stage;
pub mod usage_plan;
pub mod usage_plan_key;

mod checker;
pub mod expression;
pub mod text;

use sluice_proto::model::{Document, document::Kind};

use crate::Diagnostics;

/// Checks any document by its kind; an empty one is an error.
pub fn document(document: &Document) -> Diagnostics {
    match &document.kind {
        Some(Kind::RestApi(document)) => rest_api::check(document),
        Some(Kind::Resource(document)) => resource::check(document),
        Some(Kind::Method(document)) => method::check(document),
        Some(Kind::Model(document)) => model::check(document),
        Some(Kind::RequestValidator(document)) => request_validator::check(document),
        Some(Kind::Authorizer(document)) => authorizer::check(document),
        Some(Kind::GatewayResponse(document)) => gateway_response::check(document),
        Some(Kind::Deployment(document)) => deployment::check(document),
        Some(Kind::Stage(document)) => stage::check(document),
        Some(Kind::ApiKey(document)) => api_key::check(document),
        Some(Kind::UsagePlan(document)) => usage_plan::check(document),
        Some(Kind::UsagePlanKey(document)) => usage_plan_key::check(document),
        None => {
            let mut found = Diagnostics::new();
            found.error("empty-document", "", "expected a document, found none");
            found
        }
    }
}
