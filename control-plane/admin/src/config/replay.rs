//! The answer to a request that was carried out before: from the rows as they are now.

use sluice_proto::{
    admin::{Operation, Stored, operation},
    model::{Document, Kind, Ref, document},
};
use sluice_state::{Tables, View};

use crate::{
    ids::Ids,
    noun::{Noun, Place, kind_of},
    plan::{Tools, without_secrets},
    read,
};

/// What each operation's row holds now; a row that has gone meanwhile has no document.
pub(super) fn replayed<T: Tables>(
    view: &View<T>,
    tools: &Tools,
    mut ids: Ids,
    operations: &[Operation],
) -> Vec<Stored> {
    let mut results = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        ids.turn_to(index);
        let name = match &operation.kind {
            Some(operation::Kind::Put(put)) => {
                put.document.clone().and_then(|document| put_name(view, &mut ids, document))
            }
            Some(operation::Kind::Patch(patch)) => patch.target.clone(),
            Some(operation::Kind::Delete(delete)) => delete.target.clone(),
            Some(operation::Kind::Deploy(deploy)) => {
                let id = deploy.deployment_id.clone().unwrap_or_else(|| {
                    made(
                        &mut ids,
                        |ids, taken| ids.short(taken),
                        |id| read::deployment_exists(view, &deploy.api_id, id),
                    )
                });
                Some(Ref { kind: Kind::Deployment.into(), ids: vec![deploy.api_id.clone(), id] })
            }
            None => None,
        };
        results.push(stored(view, tools, name.unwrap_or_default(), created_by(operation)));
    }
    results
}

/// Whether the operation made a key, whose value its answer holds.
fn created_by(operation: &Operation) -> bool {
    match &operation.kind {
        Some(operation::Kind::Put(put)) => match put.document.as_ref().and_then(|document| document.kind.as_ref()) {
            Some(document::Kind::ApiKey(key)) => key.id.is_empty(),
            _ => false,
        },
        _ => false,
    }
}

fn stored<T: Tables>(view: &View<T>, tools: &Tools, name: Ref, with_value: bool) -> Stored {
    let is_named = Place::of(name.kind()).is_some_and(|place| place.key_len == name.ids.len());
    let found = if is_named { read::document(view, name.kind(), &name.ids) } else { None };
    let Some((document, version)) = found else {
        return Stored { r#ref: Some(name), document: None, version: 0 };
    };
    let document = match document.kind {
        Some(document::Kind::ApiKey(key)) => {
            let sealed = key.sealed_value.clone().unwrap_or_default();
            let value = if with_value { tools.secrets.open(&key.id, &sealed).ok() } else { None };
            let mut key = without_secrets(key);
            key.value = value;
            key.into_document()
        }
        kind => Document { kind },
    };
    Stored { r#ref: Some(name), document: Some(document), version }
}

/// Makes the next id that is not taken.
type Make = fn(&mut Ids, &dyn Fn(&str) -> bool) -> String;

/// The name of a document that was put; an id that the leader made is made again.
fn put_name<T: Tables>(view: &View<T>, ids: &mut Ids, document: Document) -> Option<Ref> {
    use document::Kind as Of;
    let mut kind = document.kind?;
    let of = kind_of(&kind);
    let table = Place::of(of)?.table;
    let mut fill = |id: &mut String, parent: &[String], make: Make| {
        if id.is_empty() {
            let exists = |id: &str| {
                let mut key = parent.to_vec();
                key.push(id.to_owned());
                read::exists(view, table, &key)
            };
            *id = made(ids, make, exists);
        }
    };
    let short: Make = |ids, taken| ids.short(taken);
    match &mut kind {
        Of::RestApi(api) => fill(&mut api.id, &[], |ids, taken| ids.api(taken)),
        Of::ApiKey(key) => fill(&mut key.id, &[], |ids, taken| ids.api_key(taken)),
        Of::UsagePlan(plan) => fill(&mut plan.id, &[], short),
        Of::Resource(one) => fill(&mut one.id, std::slice::from_ref(&one.api_id), short),
        Of::RequestValidator(one) => fill(&mut one.id, std::slice::from_ref(&one.api_id), short),
        Of::Authorizer(one) => fill(&mut one.id, std::slice::from_ref(&one.api_id), short),
        Of::Method(_)
        | Of::Model(_)
        | Of::GatewayResponse(_)
        | Of::Deployment(_)
        | Of::Stage(_)
        | Of::UsagePlanKey(_) => {}
    }
    Some(Ref { kind: of.into(), ids: key_of(kind) })
}

/// The first candidate that exists; when none does any more, the first.
fn made(
    ids: &mut Ids,
    make: impl Fn(&mut Ids, &dyn Fn(&str) -> bool) -> String,
    exists: impl Fn(&str) -> bool,
) -> String {
    let first = make(&mut ids.clone(), &|_| false);
    let found = make(ids, &|id| !exists(id));
    if exists(&found) { found } else { first }
}

fn key_of(kind: document::Kind) -> Vec<String> {
    use document::Kind as Of;
    match kind {
        Of::RestApi(one) => one.key(),
        Of::Resource(one) => one.key(),
        Of::Method(one) => one.key(),
        Of::Model(one) => one.key(),
        Of::RequestValidator(one) => one.key(),
        Of::Authorizer(one) => one.key(),
        Of::GatewayResponse(one) => one.key(),
        Of::Deployment(one) => one.key(),
        Of::Stage(one) => one.key(),
        Of::ApiKey(one) => one.key(),
        Of::UsagePlan(one) => one.key(),
        Of::UsagePlanKey(one) => one.key(),
    }
}
