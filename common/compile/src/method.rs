//! A compiled method: what is the same for every stage that serves it.

use std::sync::Arc;

use sluice_model::{Diagnostic, Diagnostics, Digest};
use sluice_proto::model::{Integration, Method};

use crate::{
    NOT_SUPPORTED_YET,
    http_proxy::{self, CompiledProxy, HttpProxy, StagedHttpProxy},
    mock::{self, Mock},
    part::CompiledResource,
    verb::MethodVerb,
};

/// One method of one deployment; shared by all stages and snapshots in which its document is the same.
#[derive(Debug)]
pub struct CompiledMethod {
    /// The id of its resource.
    pub resource_id: Box<str>,
    /// The path of its resource, as configured: `/pets/{id}`.
    pub resource_path: Arc<str>,
    /// Its verb.
    pub verb: MethodVerb,
    /// Names of the path's variables, in the order in which they are captured.
    pub variables: Arc<[Box<str>]>,
    /// Whether a caller needs an API key.
    pub api_key: KeyNeed,
    /// What answers.
    pub integration: MethodIntegration,
    /// The name that the author gave.
    pub operation_name: Option<Box<str>>,
    /// The validator that the document names; looked at when the API is put together.
    pub(crate) validator_id: Option<Box<str>>,
    /// The digest of its document: a document with the same digest at the same path is this method.
    pub(crate) digest: Digest,
    /// A hash of the path, from which ids of throttles are made.
    pub(crate) path_hash: u128,
}

/// Whether a caller needs an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyNeed {
    /// `apiKeyRequired`.
    Required,
    /// A key is not looked at, and no usage plan counts the request.
    NotRequired,
}

/// What answers a method, before a stage's variables are put in.
#[derive(Debug)]
pub enum MethodIntegration {
    /// A backend whose URI has no stage variables.
    HttpProxy(Arc<HttpProxy>),
    /// A backend whose URI has stage variables: each stage has its own.
    StagedHttpProxy(StagedHttpProxy),
    /// The gateway itself.
    Mock(Arc<Mock>),
}

impl CompiledMethod {
    /// Compiles a method's document at its resource; paths of diagnostics begin at the document.
    pub(crate) fn compile(
        document: &Method,
        resource: &CompiledResource,
        verb: MethodVerb,
        digest: Digest,
        problems: &mut Diagnostics,
    ) -> Option<Self> {
        check_level(document.level, problems);
        if let Some(kind) = document.authorization_type.as_deref().filter(|kind| *kind != "NONE") {
            let message = format!("expected NONE, found {kind}: callers are not authorized yet");
            let hint = "set authorizationType to NONE and require an API key, or keep the method out";
            problems.push(Diagnostic::error(NOT_SUPPORTED_YET, "authorizationType", message).hint(hint));
        }
        let integration = match &document.method_integration {
            Some(integration) => {
                let mut found = Diagnostics::new();
                let compiled = compile_integration(integration, resource, &mut found);
                problems.absorb("methodIntegration", found);
                compiled
            }
            None => {
                let missing = "the method has no integration";
                let hint = "give it one: HTTP_PROXY with a uri, or MOCK";
                problems.push(Diagnostic::error("integration-missing", "methodIntegration", missing).hint(hint));
                None
            }
        };
        Some(Self {
            resource_id: resource.id.clone(),
            resource_path: resource.path.clone(),
            verb,
            variables: resource.variables.clone(),
            api_key: if document.api_key_required == Some(true) { KeyNeed::Required } else { KeyNeed::NotRequired },
            integration: integration?,
            operation_name: document.operation_name.as_deref().map(Into::into),
            validator_id: document.request_validator_id.as_deref().filter(|id| !id.is_empty()).map(Into::into),
            digest,
            path_hash: resource.path_hash,
        })
    }
}

fn compile_integration(
    integration: &Integration,
    resource: &CompiledResource,
    problems: &mut Diagnostics,
) -> Option<MethodIntegration> {
    match integration.r#type.as_str() {
        "HTTP_PROXY" => {
            let proxy = http_proxy::compile(integration, &resource.variables, problems)?;
            Some(match proxy {
                CompiledProxy::Fixed(proxy) => MethodIntegration::HttpProxy(Arc::new(proxy)),
                CompiledProxy::Staged(staged) => MethodIntegration::StagedHttpProxy(staged),
            })
        }
        "MOCK" => Some(MethodIntegration::Mock(Arc::new(mock::compile(integration, problems)))),
        kind @ ("HTTP" | "AWS" | "AWS_PROXY") => {
            let message = format!("expected HTTP_PROXY or MOCK, found {kind}: this release does not call it yet");
            problems.push(Diagnostic::error(NOT_SUPPORTED_YET, "type", message));
            None
        }
        other => {
            let message = format!("expected HTTP_PROXY, MOCK, HTTP, AWS or AWS_PROXY, found {other:?}");
            problems.error("invalid-type", "type", message);
            None
        }
    }
}

/// Fails closed on a document of a later release.
pub(crate) fn check_level(level: u32, problems: &mut Diagnostics) {
    if level > sluice_model::LEVEL {
        let known = sluice_model::LEVEL;
        let message = format!("expected feature level {known} or lower, found {level}");
        problems.push(Diagnostic::error("level-too-new", "level", message).hint("run a newer release"));
    }
}
