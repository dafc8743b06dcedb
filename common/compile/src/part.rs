//! One of the 64 parts of an API, compiled: the unit that is taken over whole when its digest is the same.
//!
//! A resource and its methods stand in one part, so that a part is compiled without looking at others.

use std::sync::Arc;

use ahash::AHashMap;
use prost::Message;
use sluice_model::{Diagnostic, Diagnostics, Digest};
use sluice_proto::{
    model::{GatewayResponse, Method, RequestValidator, Resource, RestApi},
    raft::Table,
};

use crate::{
    gateway_response::CompiledGatewayResponse,
    method::{CompiledMethod, check_level},
    plan::hash128,
    route::segments,
    verb::MethodVerb,
};

/// A compiled part.
#[derive(Debug, Default)]
pub(crate) struct CompiledPart {
    /// The digest of its row; `None` when it was not compiled from one.
    pub(crate) digest: Option<Digest>,
    pub(crate) resources: Vec<Arc<CompiledResource>>,
    pub(crate) methods: Vec<Arc<CompiledMethod>>,
    pub(crate) gateway_responses: Vec<(Box<str>, Arc<CompiledGatewayResponse>)>,
    pub(crate) validators: Vec<RequestValidator>,
    pub(crate) rest_api: Option<RestApi>,
}

/// A resource.
#[derive(Debug)]
pub(crate) struct CompiledResource {
    pub(crate) id: Box<str>,
    pub(crate) path: Arc<str>,
    pub(crate) variables: Arc<[Box<str>]>,
    pub(crate) path_hash: u128,
    digest: Digest,
}

/// An entry of a part and where its document is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartItem<'a> {
    pub(crate) table: Table,
    pub(crate) key: &'a [String],
    pub(crate) digest: Digest,
}

/// Finds documents by digest.
pub(crate) type Contents<'a> = dyn Fn(&Digest) -> Option<&'a [u8]> + 'a;

/// Compiles the items of a part; what `previous` has with the same digest is taken over.
pub(crate) fn compile_part(
    items: &[PartItem<'_>],
    contents: &Contents<'_>,
    previous: Option<&CompiledPart>,
    problems: &mut Diagnostics,
) -> CompiledPart {
    let mut reader = PartReader { contents, previous: Previous::of(previous), part: CompiledPart::default(), problems };
    let is_resource = |item: &&PartItem<'_>| item.table == Table::Resource;
    for item in items.iter().filter(is_resource) {
        reader.resource(item);
    }
    let by_id: AHashMap<Box<str>, Arc<CompiledResource>> =
        reader.part.resources.iter().map(|resource| (resource.id.clone(), resource.clone())).collect();
    for item in items.iter().filter(|item| !is_resource(item)) {
        match item.table {
            Table::Method => reader.method(item, &by_id),
            Table::GatewayResponse => reader.gateway_response(item),
            Table::RequestValidator => {
                let validator = reader.document::<RequestValidator>(item);
                reader.part.validators.extend(validator);
            }
            Table::RestApi => reader.part.rest_api = reader.document(item),
            // Models and authorizers are not looked at before something can use them.
            _ => {}
        }
    }
    reader.part
}

struct PartReader<'a, 'b> {
    contents: &'b Contents<'a>,
    previous: Previous<'b>,
    part: CompiledPart,
    problems: &'b mut Diagnostics,
}

#[derive(Default)]
struct Previous<'a> {
    resources: AHashMap<&'a str, &'a Arc<CompiledResource>>,
    methods: AHashMap<(&'a str, MethodVerb), &'a Arc<CompiledMethod>>,
}

impl<'a> Previous<'a> {
    fn of(part: Option<&'a CompiledPart>) -> Self {
        let Some(part) = part else { return Self::default() };
        Self {
            resources: part.resources.iter().map(|resource| (&*resource.id, resource)).collect(),
            methods: part.methods.iter().map(|method| ((&*method.resource_id, method.verb), method)).collect(),
        }
    }
}

impl PartReader<'_, '_> {
    /// Decodes the document of an item; the level of a later release is not read.
    fn document<M: Message + Default>(&mut self, item: &PartItem<'_>) -> Option<M> {
        let document = (self.contents)(&item.digest).map(M::decode);
        if let Some(Ok(document)) = document {
            return Some(document);
        }
        let what = if document.is_none() { "is not here" } else { "cannot be decoded" };
        let message = format!("the document {:?} of {} {what}", item.digest, item.key.join("/"));
        self.problems.push(Diagnostic::error("content-missing", "", message).hint("deploy the API again"));
        None
    }

    fn resource(&mut self, item: &PartItem<'_>) {
        let [_, id] = item.key else { return };
        if let Some(known) = self.previous.resources.get(id.as_str()).filter(|known| known.digest == item.digest) {
            self.part.resources.push(Arc::clone(known));
            return;
        }
        let Some(document) = self.document::<Resource>(item) else { return };
        let at = format!("resources[{:?}]", document.path);
        let mut found = Diagnostics::new();
        check_level(document.level, &mut found);
        match segments(&document.path) {
            Ok(path) => {
                let variables = path.iter().filter_map(|segment| segment.variable()).map(Into::into);
                self.part.resources.push(Arc::new(CompiledResource {
                    id: id.as_str().into(),
                    path: document.path.as_str().into(),
                    variables: variables.collect(),
                    path_hash: hash128(document.path.as_bytes()),
                    digest: item.digest,
                }));
            }
            Err(message) => found.push(Diagnostic::error("invalid-path", "path", message)),
        }
        self.problems.absorb(&at, found);
    }

    fn method(&mut self, item: &PartItem<'_>, resources: &AHashMap<Box<str>, Arc<CompiledResource>>) {
        let [_, resource_id, verb] = item.key else { return };
        let Some(resource) = resources.get(resource_id.as_str()) else {
            let message = format!("the resource {resource_id} of the method {verb} is not here, or is wrong itself");
            self.problems.error("resource-missing", "", message);
            return;
        };
        let at = format!("resources[{:?}].methods[{verb:?}]", resource.path);
        let Some(parsed) = MethodVerb::parse(verb) else {
            let message = format!("expected DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT or ANY, found {verb:?}");
            self.problems.error("invalid-verb", at + ".httpMethod", message);
            return;
        };
        let known = self.previous.methods.get(&(resource_id.as_str(), parsed));
        if let Some(known) = known.filter(|known| known.digest == item.digest && known.resource_path == resource.path) {
            self.part.methods.push(Arc::clone(known));
            return;
        }
        let Some(document) = self.document::<Method>(item) else { return };
        let mut found = Diagnostics::new();
        let compiled = CompiledMethod::compile(&document, resource, parsed, item.digest, &mut found);
        self.part.methods.extend(compiled.map(Arc::new));
        self.problems.absorb(&at, found);
    }

    fn gateway_response(&mut self, item: &PartItem<'_>) {
        let Some(document) = self.document::<GatewayResponse>(item) else { return };
        let [_, kind] = item.key else { return };
        let mut found = Diagnostics::new();
        check_level(document.level, &mut found);
        let compiled = CompiledGatewayResponse::compile(&document, &mut found);
        self.part.gateway_responses.push((kind.as_str().into(), Arc::new(compiled)));
        self.problems.absorb(&format!("gatewayResponses[{kind:?}]"), found);
    }
}
