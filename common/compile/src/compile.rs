//! Rows to a snapshot: all of them, or what a change touched.
//!
//! Promise: no API makes it fail as a whole. A stage that no longer compiles keeps what the previous snapshot served, and
//! says so, also where this program has a defect and panics; what a change did not touch is shared with the previous
//! snapshot. Absent: containing a panic over a plan or a key, which is the caller's ([`caught`]).

use std::{collections::BTreeSet, sync::Arc};

use ahash::AHashMap;
use prost::Message;
use sluice_model::{Diagnostic, Diagnostics, Digest, Revision, part::join_key};
use sluice_proto::{
    model::{Stage, UsagePlan},
    raft::{DeploymentRow, Part, Table},
};

use crate::{
    COMPILE_PANICKED,
    api::CompiledApi,
    caught::caught,
    key::{KeyChange, KeyReader, KeyTable, hash_of_row},
    part::{CompiledPart, PartItem, compile_part},
    plan::CompiledPlan,
    rows::{Changed, RowChange, Rows},
    snapshot::{ApiUnit, Snapshot, StageUnit},
    stage::CompiledStage,
};

/// An API of which a stage does not serve its newest form.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Its id.
    pub api_id: String,
    /// Why, with the stage at the start of each path.
    pub diagnostics: Diagnostics,
}

/// Compiles the visible rows.
///
/// `changed` is relative to `previous`; without a previous snapshot everything is compiled. Returns the snapshot and
/// every API that is broken in it, also from before.
pub fn compile(
    rows: &dyn Rows,
    revision: Revision,
    changed: Changed,
    previous: Option<&Arc<Snapshot>>,
) -> (Snapshot, Vec<Broken>) {
    let snapshot = match (changed, previous) {
        (Changed::Rows(changes), Some(previous)) => compile_changes(rows, revision, &changes, previous),
        (_, previous) => compile_all(rows, revision, previous.map(|previous| &**previous)),
    };
    let broken = broken_apis(&snapshot);
    (snapshot, broken)
}

fn compile_all(rows: &dyn Rows, revision: Revision, previous: Option<&Snapshot>) -> Snapshot {
    let keys = KeyTable::of(rows.rows(Table::KeyView).map(|(_, row)| row));
    let stages = stages_by_api(rows, |_| true);
    let compiled = stages.into_iter().map(|(api_id, stages)| {
        let before = previous.and_then(|previous| previous.apis.get(&*api_id));
        let unit = compile_api(rows, &api_id, &stages, before.map(|unit| &**unit));
        (api_id, Arc::new(unit))
    });
    Snapshot {
        revision,
        apis: compiled.collect(),
        keys,
        plans: rows.rows(Table::Plan).filter_map(|(key, row)| plan(key, row)).collect(),
    }
}

fn compile_changes(rows: &dyn Rows, revision: Revision, changes: &[RowChange], previous: &Snapshot) -> Snapshot {
    let touched = touched_apis(changes, previous);
    let mut apis = previous.apis.clone();
    if !touched.is_empty() {
        let mut stages = stages_by_api(rows, |api_id| touched.contains(api_id));
        for api_id in touched {
            match stages.remove(&*api_id) {
                Some(stages) => {
                    let api_id: Arc<str> = api_id.into();
                    let unit = compile_api(rows, &api_id, &stages, previous.apis.get(&api_id).map(|unit| &**unit));
                    apis.insert(api_id, Arc::new(unit));
                }
                None => {
                    apis.remove(&*api_id);
                }
            }
        }
    }
    let mut plans = previous.plans.clone();
    for change in changes.iter().filter(|change| change.table == Table::Plan) {
        match rows.get(Table::Plan, &change.key).and_then(|row| plan(&change.key, row)) {
            Some((id, plan)) => plans.insert(id, plan),
            None => std::str::from_utf8(&change.key).ok().and_then(|id| plans.remove(id)),
        };
    }
    Snapshot { revision, apis, keys: changed_keys(rows, changes, &previous.keys), plans }
}

fn changed_keys(rows: &dyn Rows, changes: &[RowChange], previous: &KeyTable) -> KeyTable {
    let mut changes = changes.iter().filter(|change| change.table == Table::KeyView).peekable();
    if changes.peek().is_none() {
        return previous.clone();
    }
    let mut reader = KeyReader::sharing(previous);
    let changes = changes.map(|change| KeyChange {
        before: change.before.as_deref().and_then(hash_of_row),
        after: rows.get(Table::KeyView, &change.key).and_then(|row| reader.read(row)),
    });
    let changes = changes.collect();
    previous.with(changes, reader)
}

/// APIs whose form the changes may touch: parts and documents never change, so that only stages, deployments, and APIs
/// that lacked a row, can.
fn touched_apis(changes: &[RowChange], previous: &Snapshot) -> BTreeSet<String> {
    let mut touched = BTreeSet::new();
    for change in changes.iter().filter(|change| matches!(change.table, Table::Stage | Table::Deployment)) {
        if let Some((api_id, _)) = std::str::from_utf8(&change.key).ok().and_then(|key| key.split_once('/')) {
            touched.insert(api_id.to_owned());
        }
    }
    if changes.iter().any(|change| matches!(change.table, Table::Part | Table::Content)) {
        let broken = previous.apis.iter().filter(|(_, unit)| unit.stages().any(|(_, stage)| stage.broken.is_some()));
        touched.extend(broken.map(|(api_id, _)| api_id.to_string()));
    }
    touched
}

type StageRows = Vec<(String, Result<Stage, prost::DecodeError>)>;

/// The stages of the wanted APIs, sorted by name.
fn stages_by_api(rows: &dyn Rows, wanted: impl Fn(&str) -> bool) -> AHashMap<Arc<str>, StageRows> {
    let mut found: AHashMap<Arc<str>, StageRows> = AHashMap::new();
    for (key, row) in rows.rows(Table::Stage) {
        let key = std::str::from_utf8(key).ok().and_then(|key| key.split_once('/'));
        if let Some((api_id, name)) = key.filter(|(api_id, _)| wanted(api_id)) {
            found.entry(api_id.into()).or_default().push((name.to_owned(), Stage::decode(row)));
        }
    }
    for stages in found.values_mut() {
        stages.sort_by(|(left, _), (right, _)| left.cmp(right));
    }
    found
}

fn compile_api(rows: &dyn Rows, api_id: &str, stages: &StageRows, previous: Option<&ApiUnit>) -> ApiUnit {
    let mut deployments = Deployments { rows, api_id, previous, compiled: AHashMap::new() };
    let compiled = stages.iter().map(|(name, stage)| {
        let mut problems = Diagnostics::new();
        let serving = match stage {
            // The deployments that were compiled are whole: one is noted when it is done.
            Ok(stage) => caught(|| compile_stage(stage, &mut deployments, &mut problems)).unwrap_or_else(|message| {
                let message = format!("compiling met a defect of sluice: {message}");
                let hint = "point the stage at an earlier deployment and report the defect";
                problems.push(Diagnostic::error(COMPILE_PANICKED, "", message).hint(hint));
                None
            }),
            Err(_) => {
                problems.error("content-missing", "", "the document of the stage cannot be decoded");
                None
            }
        };
        let unit = match serving {
            Some(stage) => StageUnit { serving: Some(Arc::new(stage)), broken: None },
            None => {
                let kept = previous.and_then(|unit| unit.stage(name)).and_then(|unit| unit.serving.clone());
                StageUnit { serving: kept, broken: Some(Arc::new(problems)) }
            }
        };
        (name.as_str().into(), unit)
    });
    ApiUnit { stages: compiled.collect() }
}

fn compile_stage(
    stage: &Stage,
    deployments: &mut Deployments<'_>,
    problems: &mut Diagnostics,
) -> Option<CompiledStage> {
    let api = deployments.get(&stage.deployment_id, problems);
    let canary = match &stage.canary_settings {
        Some(canary) if !canary.deployment_id.is_empty() => Some(deployments.get(&canary.deployment_id, problems)?),
        _ => None,
    };
    CompiledStage::compile(stage, api?, canary, problems)
}

/// The deployments of one API: each is compiled once, and taken from the previous snapshot where it is there.
struct Deployments<'a> {
    rows: &'a dyn Rows,
    api_id: &'a str,
    previous: Option<&'a ApiUnit>,
    compiled: AHashMap<String, Result<Arc<CompiledApi>, Diagnostics>>,
}

impl Deployments<'_> {
    fn get(&mut self, id: &str, problems: &mut Diagnostics) -> Option<Arc<CompiledApi>> {
        if !self.compiled.contains_key(id) {
            let compiled = self.known(id).map_or_else(|| self.compile(id), Ok);
            self.compiled.insert(id.to_owned(), compiled);
        }
        match &self.compiled[id] {
            Ok(api) => Some(api.clone()),
            Err(found) => {
                problems.absorb("", found.clone());
                None
            }
        }
    }

    /// The deployment as the previous snapshot has it: deployments do not change.
    fn known(&self, id: &str) -> Option<Arc<CompiledApi>> {
        let variants = self.previous_variants();
        variants.into_iter().find(|variant| &*variant.deployment_id == id).map(|variant| variant.api.clone())
    }

    fn previous_variants(&self) -> Vec<&crate::stage::CompiledVariant> {
        let stages = self.previous.iter().flat_map(|unit| unit.stages()).filter_map(|(_, unit)| unit.serving.as_ref());
        stages
            .flat_map(|stage| std::iter::once(&stage.main).chain(stage.canary.as_ref().map(|canary| &canary.variant)))
            .collect()
    }

    fn compile(&self, id: &str) -> Result<Arc<CompiledApi>, Diagnostics> {
        let mut problems = Diagnostics::new();
        let missing = |what: String| {
            let mut problems = Diagnostics::new();
            problems.push(Diagnostic::error("content-missing", "", what).hint("deploy the API again"));
            problems
        };
        let row = self.rows.get(Table::Deployment, &join_key(&[self.api_id, id]));
        let row = row.and_then(|row| DeploymentRow::decode(row).ok());
        let row = row.ok_or_else(|| missing(format!("the deployment {id} is not here")))?;
        // Of the previous forms the one with the most parts in common would be best; the first is nearly always it.
        let variants = self.previous_variants();
        let previous = variants.first().map(|variant| &variant.api);
        let mut parts = Vec::with_capacity(row.parts.len());
        for (place, digest) in row.parts.iter().enumerate() {
            let known = previous.and_then(|api| api.parts.get(place));
            let digest = Digest::from_slice(digest).ok_or_else(|| missing(format!("part {place} has no digest")))?;
            match known.filter(|known| known.digest == Some(digest)) {
                Some(known) => parts.push(known.clone()),
                None => parts.push(self.part(digest, known.map(|part| &**part), &mut problems)?),
            }
        }
        CompiledApi::assemble(parts, problems)
    }

    fn part(
        &self,
        digest: Digest,
        previous: Option<&CompiledPart>,
        problems: &mut Diagnostics,
    ) -> Result<Arc<CompiledPart>, Diagnostics> {
        let row = self.rows.get(Table::Part, digest.as_bytes()).and_then(|row| Part::decode(row).ok());
        let Some(row) = row else {
            problems.error("content-missing", "", format!("the part {digest:?} is not here"));
            return Err(std::mem::take(problems));
        };
        let items: Vec<PartItem<'_>> = row
            .entries
            .iter()
            .filter_map(|entry| {
                let digest = Digest::from_slice(&entry.content)?;
                Some(PartItem { table: entry.table(), key: &entry.key, digest })
            })
            .collect();
        let contents = |digest: &Digest| self.rows.get(Table::Content, digest.as_bytes());
        let compiled = compile_part(&items, &contents, previous, problems);
        Ok(Arc::new(CompiledPart { digest: Some(digest), ..compiled }))
    }
}

fn plan(key: &[u8], row: &[u8]) -> Option<(Arc<str>, Arc<CompiledPlan>)> {
    let id = std::str::from_utf8(key).ok()?;
    // A plan that cannot be decoded, or is of a later release, admits no one.
    let document = UsagePlan::decode(row).ok().filter(|plan| plan.level <= sluice_model::LEVEL)?;
    let plan = Arc::new(CompiledPlan::compile(id, &document));
    Some((plan.id.clone(), plan))
}

fn broken_apis(snapshot: &Snapshot) -> Vec<Broken> {
    let mut broken: Vec<Broken> = snapshot
        .apis
        .iter()
        .filter_map(|(api_id, unit)| {
            let mut diagnostics = Diagnostics::new();
            for (name, stage) in unit.stages() {
                if let Some(found) = &stage.broken {
                    diagnostics.absorb(&format!("stages[{name:?}]"), (**found).clone());
                }
            }
            (!diagnostics.is_empty()).then(|| Broken { api_id: api_id.to_string(), diagnostics })
        })
        .collect();
    broken.sort_by(|left, right| left.api_id.cmp(&right.api_id));
    broken
}
