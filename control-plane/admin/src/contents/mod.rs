//! Everything that one API holds, as documents: what an import or a file replaces as a whole.
//!
//! Promise: things that keep their name keep their id (resources by path, models, validators and authorizers by name),
//! so that the same contents twice are the same bytes. Absent: stages and deployments.

mod merge;
mod parts;
mod settle;

use std::collections::BTreeMap;

use sluice_model::level::Leveled;
use sluice_openapi::ImportedApi;
use sluice_proto::{
    model::{Authorizer, Diagnostic, GatewayResponse, Method, Model, RequestValidator, Resource, RestApi},
    raft::Table,
};
use sluice_state::{Tables, View};

pub(crate) use merge::merged;
pub(crate) use parts::{Parts, Uploads, upload_commands};
pub(crate) use settle::{Owner, settled};

use crate::{
    noun::Noun,
    plan::level_fits,
    read,
    refused::{Refused, join},
};

/// The documents of one API.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Contents {
    pub(crate) rest_api: RestApi,
    pub(crate) resources: Vec<Resource>,
    pub(crate) methods: Vec<Method>,
    pub(crate) models: Vec<Model>,
    pub(crate) validators: Vec<RequestValidator>,
    pub(crate) authorizers: Vec<Authorizer>,
    pub(crate) gateway_responses: Vec<GatewayResponse>,
}

/// One document as a row of an API's part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ContentEntry {
    pub(crate) table: Table,
    pub(crate) key: Vec<String>,
    pub(crate) bytes: Vec<u8>,
}

impl Contents {
    /// The API as it is now; none when it does not exist.
    pub(crate) fn load<T: Tables>(view: &View<T>, api_id: &str) -> Option<Self> {
        let rest_api = read::find::<RestApi, _>(view, &[api_id.to_owned()])?.document;
        Some(Self {
            rest_api,
            resources: documents(view, api_id),
            methods: documents(view, api_id),
            models: documents(view, api_id),
            validators: documents(view, api_id),
            authorizers: documents(view, api_id),
            gateway_responses: documents(view, api_id),
        })
    }

    /// Every document as an entry.
    pub(crate) fn entries(&self) -> Vec<ContentEntry> {
        let mut entries = vec![entry(&self.rest_api)];
        entries.extend(self.resources.iter().map(entry));
        entries.extend(self.methods.iter().map(entry));
        entries.extend(self.models.iter().map(entry));
        entries.extend(self.validators.iter().map(entry));
        entries.extend(self.authorizers.iter().map(entry));
        entries.extend(self.gateway_responses.iter().map(entry));
        entries
    }

    /// The feature level that the documents need together.
    fn level_needed(&self) -> u32 {
        fn most<N: Noun>(documents: &[N]) -> u32 {
            documents.iter().map(Leveled::level_needed).max().unwrap_or_default()
        }
        let of_nouns = [
            most(&self.resources),
            most(&self.methods),
            most(&self.models),
            most(&self.validators),
            most(&self.authorizers),
            most(&self.gateway_responses),
        ];
        of_nouns.into_iter().fold(self.rest_api.level_needed(), u32::max)
    }

    /// Checks every document, and that the cluster of `view` understands all of them; returns the warnings.
    ///
    /// # Errors
    /// All faults of all documents, each with its path; `Level`.
    pub(crate) fn checked<T: Tables>(&self, view: &View<T>) -> Result<Vec<Diagnostic>, Refused> {
        level_fits(self.level_needed(), view)?;
        let mut found = Vec::new();
        check(&self.rest_api, "", &mut found);
        let paths: BTreeMap<&str, &str> =
            self.resources.iter().map(|resource| (resource.id.as_str(), resource.path.as_str())).collect();
        for resource in &self.resources {
            check(resource, &format!("resources[\"{}\"]", resource.path), &mut found);
        }
        for method in &self.methods {
            let path = paths.get(method.resource_id.as_str()).copied().unwrap_or_default();
            check(method, &format!("resources[\"{path}\"].methods.{}", method.http_method), &mut found);
        }
        self.models.iter().for_each(|one| check(one, &format!("models.{}", one.name), &mut found));
        self.validators.iter().for_each(|one| check(one, &format!("requestValidators[\"{}\"]", one.name), &mut found));
        self.authorizers.iter().for_each(|one| check(one, &format!("authorizers[\"{}\"]", one.name), &mut found));
        for response in &self.gateway_responses {
            check(response, &format!("gatewayResponses.{}", response.response_type), &mut found);
        }
        if found.iter().any(|one| one.severity != "warning") { Err(Refused::faults(found)) } else { Ok(found) }
    }
}

impl From<ImportedApi> for Contents {
    fn from(imported: ImportedApi) -> Self {
        Self {
            rest_api: imported.rest_api,
            resources: imported.resources,
            methods: imported.methods,
            models: imported.models,
            validators: imported.validators,
            authorizers: imported.authorizers,
            gateway_responses: imported.gateway_responses,
        }
    }
}

fn documents<N: Noun, T: Tables>(view: &View<T>, api_id: &str) -> Vec<N> {
    read::all_of_api::<N, _>(view, api_id).into_iter().map(|found| found.document).collect()
}

fn entry<N: Noun>(document: &N) -> ContentEntry {
    ContentEntry { table: N::TABLE, key: document.key(), bytes: document.encode_to_vec() }
}

fn check<N: Noun>(document: &N, at: &str, found: &mut Vec<Diagnostic>) {
    for mut one in sluice_model::check::document(&document.clone().into_document()).into_messages() {
        one.at = join(at, &one.at);
        found.push(one);
    }
}
