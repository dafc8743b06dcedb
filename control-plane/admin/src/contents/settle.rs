//! Ids for contents whose documents still name each other by path and name.

use std::collections::{BTreeMap, BTreeSet};

use sluice_model::level::Leveled as _;

use crate::{contents::Contents, ids::Ids};

/// The API that the contents will belong to.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) api_id: String,
    /// Epoch seconds, for an API that is new.
    pub(crate) now: i64,
}

/// Gives every document its id: that of its namesake in `present`, or a new one.
///
/// `wanted` is as `sluice-openapi` makes it: a resource's id is its path, that of a validator or authorizer its name.
pub(crate) fn settled(mut wanted: Contents, present: Option<&Contents>, owner: &Owner, ids: &mut Ids) -> Contents {
    let none = Contents::default();
    let present = present.unwrap_or(&none);
    let resources =
        names(present.resources.iter().map(|one| (&one.path, &one.id)), &wanted.resources, |one| &one.id, ids);
    let validators =
        names(present.validators.iter().map(|one| (&one.name, &one.id)), &wanted.validators, |one| &one.id, ids);
    let authorizers =
        names(present.authorizers.iter().map(|one| (&one.name, &one.id)), &wanted.authorizers, |one| &one.id, ids);
    let models = names(present.models.iter().map(|one| (&one.name, &one.id)), &wanted.models, |one| &one.name, ids);

    wanted.rest_api.root_resource_id = resources.get("/").cloned().unwrap_or_default();
    wanted.rest_api.created_date = present.rest_api.created_date.or(Some(owner.now));
    for one in &mut wanted.resources {
        replace(&mut one.id, &resources);
        one.parent_id.as_mut().into_iter().for_each(|parent| replace(parent, &resources));
    }
    for one in &mut wanted.methods {
        replace(&mut one.resource_id, &resources);
        one.request_validator_id.as_mut().into_iter().for_each(|name| replace(name, &validators));
        one.authorizer_id.as_mut().into_iter().for_each(|name| replace(name, &authorizers));
    }
    wanted.validators.iter_mut().for_each(|one| replace(&mut one.id, &validators));
    wanted.authorizers.iter_mut().for_each(|one| replace(&mut one.id, &authorizers));
    wanted.models.iter_mut().for_each(|one| one.id = models.get(&one.name).cloned().unwrap_or_default());
    owned(&mut wanted, &owner.api_id);
    wanted
}

/// Name to id: the present one, or a new one that nothing in the API has.
fn names<'a, N>(
    present: impl Iterator<Item = (&'a String, &'a String)>,
    wanted: &[N],
    name_of: impl Fn(&N) -> &String,
    ids: &mut Ids,
) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = present.map(|(name, id)| (name.clone(), id.clone())).collect();
    let mut taken: BTreeSet<String> = found.values().cloned().collect();
    for name in wanted.iter().map(name_of) {
        if !found.contains_key(name) {
            let id = ids.short(|id| taken.contains(id));
            taken.insert(id.clone());
            found.insert(name.clone(), id);
        }
    }
    found
}

/// A name that is not known stays: checks and the dry compile name it.
fn replace(name: &mut String, ids: &BTreeMap<String, String>) {
    if let Some(id) = ids.get(name) {
        id.clone_into(name);
    }
}

/// Sets owner and level on every document.
fn owned(contents: &mut Contents, api_id: &str) {
    *contents.rest_api.level_mut() = contents.rest_api.level_needed();
    api_id.clone_into(&mut contents.rest_api.id);
    macro_rules! own {
        ($($field:ident),+) => {
            $(for one in &mut contents.$field {
                *one.level_mut() = one.level_needed();
                api_id.clone_into(&mut one.api_id);
            })+
        };
    }
    own!(resources, methods, models, validators, authorizers, gateway_responses);
}
