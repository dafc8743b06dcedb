//! Whole configuration as files: what they want, compared with what is there, as one change.
//!
//! Promise: objects are known by kind and name; applying the same files twice changes nothing; all faults of all
//! objects are reported at once, each with its file. What the files do not name is touched only where an
//! owner prunes. Absent: reading files and secrets (the caller has done it).

mod api_key;
mod diff;
mod export;
mod names;
mod owner;
mod rest_api;
mod spec;
mod stage;
#[cfg(test)]
mod tests;
mod usage_plan;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sluice_proto::{
    admin::{Object, ObjectResult},
    model::Diagnostic,
    raft::{Command, RowChange, Stamp},
};
use sluice_state::{Tables, View};

pub(crate) use export::{EXPORTED_KINDS, exported};
pub(crate) use owner::Owner;

use crate::{
    contents::{Uploads, upload_commands},
    files::names::Names,
    ids::Ids,
    plan::{Planner, Rehearsal, Tools},
    refused::{Refused, fault},
};

/// Objects of one apply.
const OBJECTS_MAX: usize = 5_000;

/// Kinds in the order in which they are applied: plans name stages and keys.
const ORDER: [&str; 3] = ["RestApi", "ApiKey", "UsagePlan"];

/// What is to be applied. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) objects: Arc<[Object]>,
    pub(crate) owner: Option<Owner>,
}

/// What applying some files means.
#[derive(Debug, Default)]
pub(crate) struct FilesPlan {
    /// Goes ahead of the change, seen by no one.
    pub(crate) uploads: Uploads,
    /// The one change; empty when there is nothing to do.
    pub(crate) rows: Vec<RowChange>,
    /// In the order of the objects.
    pub(crate) results: Vec<ObjectResult>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// What one object becomes.
#[derive(Debug, Default)]
pub(super) struct ObjectPlan {
    pub(super) uploads: Uploads,
    pub(super) rows: Vec<RowChange>,
    pub(super) id: String,
    pub(super) effect: Effect,
    pub(super) differences: Vec<String>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// What an apply does to an object.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    #[default]
    Unchanged,
    Changed,
    Created,
}

impl Effect {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Created => "created",
        }
    }
}

/// Plans one apply against `base`.
///
/// # Errors
/// `Invalid` with all faults of all objects.
pub(crate) fn plan_files<T: Tables>(
    base: &T,
    tools: &Tools,
    ids: &mut Ids,
    stamp: &Stamp,
    files: &Files,
) -> Result<FilesPlan, Refused> {
    let Files { objects, owner } = files;
    let order = ordered(objects)?;
    let mut rehearsal = Rehearsal::new(base, stamp);
    let mut names = Names::default();
    let mut plan = FilesPlan { results: vec![ObjectResult::default(); objects.len()], ..FilesPlan::default() };
    let mut faults = Vec::new();
    let mut held = BTreeSet::new();
    for index in order {
        let object = &objects[index];
        ids.turn_to(index);
        let mut planner = Planner { view: View(&rehearsal.draft), tools, ids: &mut *ids, now_ms: stamp.time_ms };
        let planned = plan_object(&mut planner, object, &names)
            .and_then(|planned| owned(&planner.view, owner.as_ref(), object, planned))
            .and_then(|planned| play(&mut rehearsal, planned, stamp));
        match planned {
            Ok(planned) => {
                names.insert(&object.kind, &object.name, &planned.id);
                held.insert((object.kind.clone(), planned.id.clone()));
                plan.take(index, object, planned);
            }
            Err(refused) => faults.extend(refused.under(&place(object)).diagnostics),
        }
    }
    if !faults.is_empty() {
        return Err(Refused::faults(faults));
    }
    let pruned = owner.as_ref().map(|owner| owner.pruned(&View(&rehearsal.draft), &held)).unwrap_or_default();
    for pruned in pruned {
        let gone = format!("{} {}, which is to be deleted", pruned.result.kind, pruned.result.name);
        match rehearsal.play(std::slice::from_ref(&pruned.row)) {
            Ok(()) => {
                plan.rows.push(pruned.row);
                plan.results.push(pruned.result);
            }
            Err(refused) => faults.extend(refused.under(&gone).diagnostics),
        }
    }
    if faults.is_empty() { Ok(plan) } else { Err(Refused::faults(faults)) }
}

/// The plan of an object as one of its owner's: what is made is the owner's.
fn owned<T: Tables>(
    view: &View<T>,
    owner: Option<&Owner>,
    object: &Object,
    mut planned: ObjectPlan,
) -> Result<ObjectPlan, Refused> {
    let Some(owner) = owner else { return Ok(planned) };
    match planned.effect {
        Effect::Created => planned.rows.push(owner.owns(&object.kind, &planned.id)),
        Effect::Changed | Effect::Unchanged => owner.may_have(view, &object.kind, &planned.id)?,
    }
    Ok(planned)
}

fn plan_object<T: Tables>(planner: &mut Planner<'_, T>, object: &Object, names: &Names) -> Result<ObjectPlan, Refused> {
    match object.kind.as_str() {
        "RestApi" => rest_api::plan(planner, object),
        "ApiKey" => api_key::plan(planner, object),
        _ => usage_plan::plan(planner, object, names),
    }
}

/// Plays an object's effects, so that later objects see them.
fn play<T: Tables>(
    rehearsal: &mut Rehearsal<'_, T>,
    planned: ObjectPlan,
    stamp: &Stamp,
) -> Result<ObjectPlan, Refused> {
    let uploads: Vec<Command> = upload_commands(planned.uploads.clone(), stamp);
    uploads.iter().try_for_each(|upload| rehearsal.command(upload))?;
    rehearsal.play(&planned.rows)?;
    Ok(planned)
}

impl FilesPlan {
    fn take(&mut self, index: usize, object: &Object, planned: ObjectPlan) {
        self.uploads.contents.extend(planned.uploads.contents);
        self.uploads.parts.extend(planned.uploads.parts);
        self.rows.extend(planned.rows);
        self.warnings.extend(planned.warnings.into_iter().map(|mut warning| {
            warning.at = crate::refused::join(&place(object), &warning.at);
            warning
        }));
        self.results[index] = ObjectResult {
            kind: object.kind.clone(),
            name: object.name.clone(),
            effect: planned.effect.as_str().to_owned(),
            id: planned.id,
            differences: planned.differences,
        };
    }
}

/// The objects' indexes in the order of application.
fn ordered(objects: &[Object]) -> Result<Vec<usize>, Refused> {
    if objects.is_empty() || objects.len() > OBJECTS_MAX {
        let message = format!("expected 1 to {OBJECTS_MAX} objects, found {}", objects.len());
        return Err(Refused::invalid("objects", message, ""));
    }
    let mut faults = Vec::new();
    let mut seen: BTreeMap<(&str, &str), &Object> = BTreeMap::new();
    for object in objects {
        if !ORDER.contains(&object.kind.as_str()) {
            let message = format!("expected one of {}, found `{}`", ORDER.join(", "), object.kind);
            let hint = crate::nearest::did_you_mean(&object.kind, ORDER);
            faults.push(fault("unknown-kind", format!("{}.kind", place(object)), message, hint));
        }
        if object.name.is_empty() {
            faults.push(fault("invalid", format!("{}.name", place(object)), "expected a name, found none", ""));
        }
        if let Some(first) = seen.insert((&object.kind, &object.name), object) {
            let message = format!("{} `{}` is in {} already", object.kind, object.name, place(first));
            faults.push(fault("conflict", format!("{}.name", place(object)), message, "names are unique per kind"));
        }
    }
    if !faults.is_empty() {
        return Err(Refused::faults(faults));
    }
    let rank = |index: &usize| ORDER.iter().position(|kind| *kind == objects[*index].kind);
    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by_key(rank);
    Ok(order)
}

/// Where an object stands, for diagnostics.
fn place(object: &Object) -> String {
    if object.source.is_empty() { format!("{} {}", object.kind, object.name) } else { object.source.clone() }
}

/// Names that only one of several things may have, and that more than one has.
pub(super) fn duplicates<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}
