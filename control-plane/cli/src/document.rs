//! Documents as JSON, with the field names of the AWS model.

use serde_json::Value;
use sluice_proto::{
    admin::Stored,
    model::{Document, document::Kind},
};

/// The JSON of whatever a document is; null for an empty envelope.
pub(crate) fn json(document: &Document) -> Value {
    let value = match &document.kind {
        None => Ok(Value::Null),
        Some(Kind::RestApi(inner)) => serde_json::to_value(inner),
        Some(Kind::Resource(inner)) => serde_json::to_value(inner),
        Some(Kind::Method(inner)) => serde_json::to_value(inner),
        Some(Kind::Model(inner)) => serde_json::to_value(inner),
        Some(Kind::RequestValidator(inner)) => serde_json::to_value(inner),
        Some(Kind::Authorizer(inner)) => serde_json::to_value(inner),
        Some(Kind::GatewayResponse(inner)) => serde_json::to_value(inner),
        Some(Kind::Deployment(inner)) => serde_json::to_value(inner),
        Some(Kind::Stage(inner)) => serde_json::to_value(inner),
        Some(Kind::ApiKey(inner)) => serde_json::to_value(inner),
        Some(Kind::UsagePlan(inner)) => serde_json::to_value(inner),
        Some(Kind::UsagePlanKey(inner)) => serde_json::to_value(inner),
    };
    value.expect("documents have text keys only, which JSON can hold")
}

/// The JSON of a stored document; null where a deleted one was.
pub(crate) fn stored_json(stored: &Stored) -> Value {
    stored.document.as_ref().map_or(Value::Null, json)
}
