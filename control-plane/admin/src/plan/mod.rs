//! From an operation to rows: one file per noun.
//!
//! Promise: planning reads one view and has no effect; what it read and relied on stands in the rows as expected
//! versions, so that apply refuses a plan that a race has made wrong. Absent: proposing and trying again (`config`).

mod api_key;
mod authorizer;
mod deploy;
mod deployment;
mod entry;
mod gateway_response;
mod method;
mod model;
mod models_needed;
mod rehearsal;
mod request_validator;
mod resource;
mod rest_api;
mod row;
mod stage;
mod usage_plan;
mod usage_plan_key;

use sluice_proto::{
    admin::{Delete, Operation, Patch, Put, operation},
    model::{Diagnostic, Document, Kind, Ref, document},
    raft::{PutRow, RowChange, RowRef, Stamp},
};
use sluice_state::{Tables, View};

use self::row::expect;
use crate::{
    compiler::Compiler,
    ids::Ids,
    noun::{Noun, Place, kind_of, level_of, ref_of},
    patch,
    read::{self, Found},
    refused::Refused,
    schema::Schema,
    secrets::Secrets,
};

pub(crate) use api_key::{hex, key_row, without_secrets};
pub(crate) use deploy::deploy_planned;
pub(crate) use models_needed::models_needed;
pub(crate) use rehearsal::Rehearsal;
pub(crate) use row::{above, level_fits, put_row, removal};
pub(crate) use stage::{stage_row, stage_stamped};
pub(crate) use usage_plan_key::{joined, shared_stage};

/// Stands for the version of rows that earlier operations of the same change write: the real one is not known yet.
pub(crate) const PENDING: u64 = u64::MAX;
/// Operations of one change.
const OPERATIONS_MAX: usize = 1_000;

/// What planning needs beside the view. Shared by all calls.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) schema: Schema,
    pub(crate) secrets: Secrets,
    pub(crate) compiler: Compiler,
}

/// One request on its way to rows.
pub(crate) struct Planner<'a, T: Tables> {
    pub(crate) view: View<&'a T>,
    pub(crate) tools: &'a Tools,
    pub(crate) ids: &'a mut Ids,
    /// Milliseconds since the epoch, not before the last stamp.
    pub(crate) now_ms: u64,
}

/// What one operation becomes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Planned {
    pub(crate) rows: Vec<RowChange>,
    pub(crate) answer: Answer,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// What the caller is told of one operation; the document is absent for a deletion.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) name: Ref,
    pub(crate) document: Option<Document>,
}

/// Plans all operations of a change against `base`, each seeing what those before it will have done.
///
/// # Errors
/// The first operation's refusal, its paths under `operations[n]` when there are several.
pub(crate) fn plan<T: Tables>(
    base: &T,
    tools: &Tools,
    ids: &mut Ids,
    stamp: &Stamp,
    operations: &[Operation],
) -> Result<Vec<Planned>, Refused> {
    if operations.is_empty() || operations.len() > OPERATIONS_MAX {
        let message = format!("expected 1 to {OPERATIONS_MAX} operations, found {}", operations.len());
        return Err(Refused::invalid("operations", message, ""));
    }
    let mut rehearsal = Rehearsal::new(base, stamp);
    let mut planned = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        let place = |refused: Refused| match operations.len() {
            1 => refused,
            _ => refused.under(&format!("operations[{index}]")),
        };
        ids.turn_to(index);
        let next = {
            let view = View(&rehearsal.draft);
            let mut planner = Planner { view, tools, ids: &mut *ids, now_ms: stamp.time_ms };
            planner.operation(operation).map_err(place)?
        };
        if index + 1 < operations.len() {
            rehearsal.play(&next.rows).map_err(place)?;
        }
        planned.push(next);
    }
    Ok(planned)
}

impl<T: Tables> Planner<'_, T> {
    fn operation(&mut self, operation: &Operation) -> Result<Planned, Refused> {
        match &operation.kind {
            Some(operation::Kind::Put(put)) => self.put(put),
            Some(operation::Kind::Patch(patch)) => self.patch(patch),
            Some(operation::Kind::Delete(delete)) => self.delete(delete),
            Some(operation::Kind::Deploy(deploy)) => self.deploy(deploy),
            None => Err(Refused::invalid("", "expected put, patch, delete or deploy, found nothing", "")),
        }
    }

    fn put(&mut self, put: &Put) -> Result<Planned, Refused> {
        let expected = put.expected_version;
        let Some(kind) = put.document.as_ref().and_then(|document| document.kind.clone()) else {
            return Err(Refused::invalid("document", "expected a document, found none", ""));
        };
        // What its author says is replaced by what it needs. Callers leave it out: then it is 0, and fits.
        level_fits(level_of(&kind), &self.view)?;
        match kind {
            document::Kind::RestApi(document) => self.put_rest_api(document, expected),
            document::Kind::Resource(document) => self.put_resource(document, expected),
            document::Kind::Method(document) => self.put_method(document, expected),
            document::Kind::Model(document) => self.put_model(document, expected),
            document::Kind::RequestValidator(document) => self.put_request_validator(document, expected),
            document::Kind::Authorizer(document) => self.put_authorizer(document, expected),
            document::Kind::GatewayResponse(document) => self.put_gateway_response(document, expected),
            document::Kind::Deployment(document) => self.put_deployment(document, expected),
            document::Kind::Stage(document) => self.put_stage(document, expected),
            document::Kind::ApiKey(document) => self.put_api_key(document, expected),
            document::Kind::UsagePlan(document) => self.put_usage_plan(document, expected),
            document::Kind::UsagePlanKey(document) => self.put_usage_plan_key(document, expected),
        }
    }

    /// Gives a document the level it needs, not this release's: all nodes of the cluster have to understand it.
    fn leveled<N: Noun>(&self, document: &mut N) -> Result<(), Refused> {
        let needed = document.level_needed();
        *document.level_mut() = needed;
        level_fits(needed, &self.view)
    }

    /// A patch is a put of the patched document.
    fn patch(&mut self, patch: &Patch) -> Result<Planned, Refused> {
        let (kind, key) = target(patch.target.as_ref())?;
        let (document, version) = read::document(&self.view, kind, &key).ok_or_else(|| missing(kind, &key))?;
        let found = document.kind.ok_or_else(|| missing(kind, &key))?;
        debug_assert_eq!(kind_of(&found), kind);
        // The patch is of this version, whether or not the caller named one.
        let expected = match patch.expected_version {
            None if version == PENDING => None,
            None => Some(version),
            given => given,
        };
        macro_rules! patched {
            ($document:expr, $put:ident) => {{
                let patched = patch::patched(&self.tools.schema, &$document, &patch.operations)?;
                self.$put(patched, expected)
            }};
        }
        match found {
            document::Kind::RestApi(document) => patched!(document, put_rest_api),
            document::Kind::Resource(document) => patched!(document, put_resource),
            document::Kind::Method(document) => patched!(document, put_method),
            document::Kind::Model(document) => patched!(document, put_model),
            document::Kind::RequestValidator(document) => patched!(document, put_request_validator),
            document::Kind::Authorizer(document) => patched!(document, put_authorizer),
            document::Kind::GatewayResponse(document) => patched!(document, put_gateway_response),
            document::Kind::Deployment(document) => patched!(document, put_deployment),
            document::Kind::Stage(document) => patched!(document, put_stage),
            document::Kind::ApiKey(document) => patched!(document, put_api_key),
            document::Kind::UsagePlan(document) => patched!(document, put_usage_plan),
            document::Kind::UsagePlanKey(document) => patched!(document, put_usage_plan_key),
        }
    }

    fn delete(&mut self, delete: &Delete) -> Result<Planned, Refused> {
        let (kind, key) = target(delete.target.as_ref())?;
        let version = read::version(&self.view, kind, &key).ok_or_else(|| missing(kind, &key))?;
        let expected = expect(delete.expected_version, Some(version), || described(kind, &key))?;
        let mut rows = match kind {
            Kind::Resource => self.below_resource(&key)?,
            Kind::Model => self.model_is_free(&key).map(|()| Vec::new())?,
            Kind::RequestValidator => self.request_validator_is_free(&key).map(|()| Vec::new())?,
            Kind::Authorizer => self.authorizer_is_free(&key).map(|()| Vec::new())?,
            Kind::UsagePlan => self.usage_plan_is_free(&key).map(|()| Vec::new())?,
            // Apply takes the memberships of a key with it, and the stages and deployments of an API.
            Kind::ApiKey
            | Kind::RestApi
            | Kind::Method
            | Kind::GatewayResponse
            | Kind::Deployment
            | Kind::Stage
            | Kind::UsagePlanKey
            | Kind::Unspecified => Vec::new(),
        };
        let place = Place::of(kind).ok_or_else(|| missing(kind, &key))?;
        rows.push(removal(crate::noun::row(place.table, key.clone()), expected));
        let name = Ref { kind: kind.into(), ids: key };
        Ok(Planned { rows, answer: Answer { name, document: None }, warnings: Vec::new() })
    }

    /// The row that puts `document`, as it is written by most nouns.
    ///
    /// # Errors
    /// `Level`.
    fn row<N: Noun>(
        &self,
        document: &N,
        refs: Vec<RowRef>,
        expected_version: Option<u64>,
    ) -> Result<RowChange, Refused> {
        Ok(put_row(PutRow { refs, expected_version, ..row::row_of_document(&self.view, document)? }))
    }

    /// What is there under the document's key, after comparing the caller's expectation with it.
    fn present<N: Noun>(
        &self,
        document: &N,
        expected: Option<u64>,
    ) -> Result<(Option<Found<N>>, Option<u64>), Refused> {
        let key = document.key();
        let found = read::find::<N, _>(&self.view, &key);
        let expected = expect(expected, found.as_ref().map(|found| found.version), || described(N::KIND, &key))?;
        Ok((found, expected))
    }
}

/// The planned result of putting `document`.
fn planned<N: Noun>(document: N, rows: Vec<RowChange>) -> Planned {
    let answer = Answer { name: ref_of(&document), document: Some(document.into_document()) };
    Planned { rows, answer, warnings: Vec::new() }
}

/// Checks a document's fields; returns the warnings.
pub(crate) fn checked<N: Noun>(document: &N) -> Result<Vec<Diagnostic>, Refused> {
    let found = sluice_model::check::document(&document.clone().into_document());
    let has_errors = found.has_errors();
    let messages = found.into_messages();
    if has_errors { Err(Refused::faults(messages)) } else { Ok(messages) }
}

fn target(target: Option<&Ref>) -> Result<(Kind, Vec<String>), Refused> {
    let target = target.ok_or_else(|| Refused::invalid("target", "expected a target, found none", ""))?;
    let (kind, _) = read::named(target, "target")?;
    Ok((kind, target.ids.clone()))
}

fn missing(kind: Kind, key: &[String]) -> Refused {
    Refused::not_found(format!("{} does not exist", described(kind, key)))
}

/// A document as people name it.
pub(crate) fn described(kind: Kind, key: &[String]) -> String {
    match Place::of(kind) {
        Some(place) => crate::refused::row_in_words(&crate::noun::row(place.table, key.to_vec())),
        None => "this".to_owned(),
    }
}

/// Epoch seconds of a stamp, as documents have them.
pub(crate) fn seconds(now_ms: u64) -> i64 {
    i64::try_from(now_ms / 1000).unwrap_or(i64::MAX)
}

/// Refuses an id that is none.
fn check_id(id: &str, at: &str) -> Result<(), Refused> {
    if sluice_model::ids::is_id(id) {
        return Ok(());
    }
    let message = format!("expected an id of a-z and 0-9, found `{id}`");
    Err(Refused::invalid(at, message, "leave it out: the leader makes one"))
}

#[cfg(test)]
mod tests;
