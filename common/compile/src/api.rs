//! A compiled API: what one deployment holds.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use ahash::AHashMap;
use bytes::Bytes;
use sluice_model::{Diagnostic, Diagnostics, Digest};
use sluice_proto::{
    model::{RequestValidator, RestApi, Stage},
    raft::Table,
};

use crate::{
    NOT_SUPPORTED_YET,
    gateway_response::CompiledGatewayResponse,
    method::{CompiledMethod, KeyNeed, check_level},
    part::{CompiledPart, PartItem, compile_part},
    route::{Captures, Conflict, MethodIndex, RouteBuilder, RouteIndex, segments},
    stage::CompiledVariant,
    verb::Verb,
};

/// One deployment of an API; shared by the stages that serve it.
#[derive(Debug)]
pub struct CompiledApi {
    /// The API's id.
    pub id: Arc<str>,
    /// Its name.
    pub name: Box<str>,
    /// Whether the default addresses (forms 2 to 4) lead to it.
    pub endpoint: Endpoint,
    /// What its author should know; no error is among them.
    pub warnings: Diagnostics,
    gateway_responses: BTreeMap<Box<str>, Arc<CompiledGatewayResponse>>,
    routes: RouteIndex,
    methods: Box<[Arc<CompiledMethod>]>,
    pub(crate) parts: Box<[Arc<CompiledPart>]>,
}

/// Whether an API answers at its default addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// It does.
    Enabled,
    /// `disableExecuteApiEndpoint`: only custom domains lead to it.
    Disabled,
}

/// An entry of an API with its document.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The table of the entry.
    pub table: Table,
    /// Its key parts; the first is the API's id.
    pub key: Vec<String>,
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The encoded document.
    pub bytes: Bytes,
}

/// Compiles an API outside a snapshot, with the stage that is to serve it: what a change would be on every data node.
///
/// What `previous` holds with the same digest is taken over. A stage is checked too, with its variables.
///
/// # Errors
/// All problems, with the paths of their fields, when one of them is an error.
pub fn compile_entries(
    entries: &[Entry],
    stage: Option<&Stage>,
    previous: Option<&CompiledApi>,
) -> Result<Arc<CompiledApi>, Diagnostics> {
    let mut problems = Diagnostics::new();
    let by_digest: AHashMap<Digest, &[u8]> = entries.iter().map(|entry| (entry.digest, &*entry.bytes)).collect();
    let items: Vec<PartItem<'_>> =
        entries.iter().map(|entry| PartItem { table: entry.table, key: &entry.key, digest: entry.digest }).collect();
    let previous = previous.map(CompiledApi::joined);
    let part = compile_part(&items, &|digest| by_digest.get(digest).copied(), previous.as_ref(), &mut problems);
    let api = CompiledApi::assemble(vec![Arc::new(part)], problems)?;
    let Some(stage) = stage else { return Ok(api) };
    let mut found = Diagnostics::new();
    CompiledVariant::check(&api, stage, &mut found);
    let mut problems = api.warnings.clone();
    problems.absorb(&format!("stages[{:?}]", stage.stage_name), found);
    if problems.has_errors() { Err(problems) } else { Ok(api.with_warnings(problems)) }
}

impl CompiledApi {
    /// Returns the method for a verb and a path (as sent, without the query), and where the path's variables lie.
    ///
    /// Cost: no allocation, whatever the number of routes.
    pub fn route(&self, verb: Verb, path: &str, captures: &mut Captures) -> Option<&Arc<CompiledMethod>> {
        self.routes.find(verb, path, captures).map(|index| &self.methods[index.get()])
    }

    /// Returns all methods; `MethodIndex` is their place.
    pub fn methods(&self) -> &[Arc<CompiledMethod>] {
        &self.methods
    }

    /// Returns the index of its routes.
    pub fn routes(&self) -> &RouteIndex {
        &self.routes
    }

    /// Returns what its author says for a type of gateway response, else for the class (`DEFAULT_4XX`).
    pub fn gateway_response(&self, response_type: &str, class: &str) -> Option<&CompiledGatewayResponse> {
        let found = self.gateway_responses.get(response_type).or_else(|| self.gateway_responses.get(class));
        found.map(|response| &**response)
    }

    /// Says whether its author says anything for any type.
    pub fn has_gateway_responses(&self) -> bool {
        !self.gateway_responses.is_empty()
    }

    /// Puts an API together from its parts.
    pub(crate) fn assemble(parts: Vec<Arc<CompiledPart>>, mut problems: Diagnostics) -> Result<Arc<Self>, Diagnostics> {
        let settings = parts.iter().find_map(|part| part.rest_api.as_ref());
        let Some(settings) = settings else {
            problems.error("content-missing", "", "the document of the API itself is not here");
            return Err(problems);
        };
        check_settings(settings, &parts, &mut problems);
        check_validators(&parts, &mut problems);
        let methods: Box<[Arc<CompiledMethod>]> = parts.iter().flat_map(|part| part.methods.iter().cloned()).collect();
        let routes = build_routes(&parts, &methods, &mut problems);
        if problems.has_errors() {
            return Err(problems);
        }
        let responses = parts.iter().flat_map(|part| part.gateway_responses.iter().cloned());
        let disabled = settings.disable_execute_api_endpoint == Some(true);
        Ok(Arc::new(Self {
            id: settings.id.as_str().into(),
            name: settings.name.as_str().into(),
            endpoint: if disabled { Endpoint::Disabled } else { Endpoint::Enabled },
            warnings: problems,
            gateway_responses: responses.collect(),
            routes,
            methods,
            parts: parts.into(),
        }))
    }

    /// All its parts as one, to take methods from when entries do not come in parts.
    fn joined(&self) -> CompiledPart {
        let mut joined = CompiledPart::default();
        for part in &self.parts {
            joined.resources.extend(part.resources.iter().cloned());
            joined.methods.extend(part.methods.iter().cloned());
        }
        joined
    }

    fn with_warnings(self: Arc<Self>, warnings: Diagnostics) -> Arc<Self> {
        match Arc::try_unwrap(self) {
            Ok(api) => Arc::new(Self { warnings, ..api }),
            // Someone else holds it already: the warnings of the stage are not the API's.
            Err(shared) => shared,
        }
    }
}

fn check_settings(settings: &RestApi, parts: &[Arc<CompiledPart>], problems: &mut Diagnostics) {
    check_level(settings.level, problems);
    let mut refuse = |field: &str, message: &str, hint: &'static str| {
        problems.push(Diagnostic::error(NOT_SUPPORTED_YET, field, message).hint(hint));
    };
    if settings.policy.as_deref().is_some_and(|policy| !policy.is_empty()) {
        refuse(
            "policy",
            "resource policies are not evaluated yet",
            "remove the policy: serving without it would open the API",
        );
    }
    if settings.minimum_compression_size.is_some() {
        refuse("minimumCompressionSize", "bodies are not compressed yet", "remove it");
    }
    let endpoint = settings.endpoint_configuration.as_ref();
    if endpoint.is_some_and(|endpoint| endpoint.types.iter().any(|kind| kind == "PRIVATE")) {
        refuse("endpointConfiguration.types", "private endpoints are not known yet", "use REGIONAL or EDGE");
    }
    if settings.api_key_source.as_deref() == Some("AUTHORIZER") {
        let mut methods = parts.iter().flat_map(|part| &part.methods);
        if methods.any(|method| method.api_key == KeyNeed::Required) {
            refuse("apiKeySource", "authorizers are not called yet, expected HEADER", "take keys from the header");
        }
    }
}

/// Validators may be there, and named, as long as they ask for nothing.
fn check_validators(parts: &[Arc<CompiledPart>], problems: &mut Diagnostics) {
    let validators: AHashMap<&str, &RequestValidator> =
        parts.iter().flat_map(|part| &part.validators).map(|validator| (validator.id.as_str(), validator)).collect();
    for method in parts.iter().flat_map(|part| &part.methods) {
        let Some(id) = method.validator_id.as_deref() else { continue };
        let at = || format!("{}.requestValidatorId", place_of(method));
        match validators.get(id) {
            None => problems.error("validator-missing", at(), format!("the API has no request validator {id}")),
            Some(validator) => {
                let on = [validator.validate_request_body, validator.validate_request_parameters].contains(&Some(true));
                if on {
                    let message = format!("requests are not validated yet, found validator {}", validator.name);
                    let hint = "remove the validator from the method";
                    problems.push(Diagnostic::error(NOT_SUPPORTED_YET, at(), message).hint(hint));
                }
            }
        }
    }
}

fn build_routes(
    parts: &[Arc<CompiledPart>],
    methods: &[Arc<CompiledMethod>],
    problems: &mut Diagnostics,
) -> RouteIndex {
    let mut builder = RouteBuilder::new();
    let resources = parts.iter().flat_map(|part| &part.resources);
    let mut nodes: AHashMap<&str, u32> = AHashMap::new();
    for resource in resources {
        let path = segments(&resource.path).expect("a resource whose path cannot be read is not compiled");
        let (node, other_name) = builder.path(&path);
        nodes.insert(&resource.id, node);
        if let Some(other) = other_name {
            let message = format!("a sibling names the variable at the same place {other}");
            let hint = "AWS refuses this; here each path keeps its own names";
            let at = format!("resources[{:?}].pathPart", resource.path);
            problems.push(Diagnostic::warning("sibling-variables", at, message).hint(hint));
        }
    }
    for (place, method) in methods.iter().enumerate() {
        let node = nodes.get(&*method.resource_id).copied().expect("a method's resource stands in its part");
        if let Err(Conflict::With(other)) = builder.method(node, method.verb, MethodIndex::new(place)) {
            let message = format!("the same requests match {}", place_of(&methods[other.get()]));
            problems
                .push(Diagnostic::error("duplicate-route", place_of(method), message).hint("remove one of the two"));
        }
    }
    builder.build()
}

/// The path of a method in diagnostics.
pub(crate) fn place_of(method: &CompiledMethod) -> Cow<'static, str> {
    format!("resources[{:?}].methods[{:?}]", method.resource_path, method.verb.as_str()).into()
}
