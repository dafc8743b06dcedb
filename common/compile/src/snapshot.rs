//! A snapshot: all that a data node serves, at one revision.

use std::sync::Arc;

use ahash::AHashMap;
use sluice_model::{Diagnostics, Revision, part::LookupHash};

use crate::{
    key::{KeyEntry, KeyTable},
    plan::CompiledPlan,
    stage::CompiledStage,
};

/// What a data node serves. Immutable; a request pins one for its life.
#[derive(Debug)]
pub struct Snapshot {
    /// What it was compiled from.
    pub revision: Revision,
    pub(crate) apis: AHashMap<Arc<str>, Arc<ApiUnit>>,
    pub(crate) keys: KeyTable,
    pub(crate) plans: AHashMap<Arc<str>, Arc<CompiledPlan>>,
}

/// An API: its stages.
#[derive(Debug)]
pub struct ApiUnit {
    /// Sorted by name.
    pub(crate) stages: Box<[(Arc<str>, StageUnit)]>,
}

/// A stage, or why there is none to serve.
#[derive(Debug, Clone)]
pub struct StageUnit {
    /// What is served: the newest form that compiled.
    pub serving: Option<Arc<CompiledStage>>,
    /// Why the newest form is not what is served.
    pub broken: Option<Arc<Diagnostics>>,
}

impl Snapshot {
    /// Returns a snapshot that serves nothing.
    pub fn empty(revision: Revision) -> Self {
        Self { revision, apis: AHashMap::new(), keys: KeyTable::default(), plans: AHashMap::new() }
    }

    /// Returns the stage of an API; `None` when there is no such API or stage.
    pub fn stage(&self, api_id: &str, stage: &str) -> Option<&StageUnit> {
        self.apis.get(api_id)?.stage(stage)
    }

    /// Returns an API; `None` when it has no stage.
    pub fn api(&self, api_id: &str) -> Option<&ApiUnit> {
        self.apis.get(api_id).map(|unit| &**unit)
    }

    /// Returns the ids of all APIs that have stages, in no order.
    pub fn api_ids(&self) -> impl Iterator<Item = &str> {
        self.apis.keys().map(|id| &**id)
    }

    /// Returns the key with this hash of its value.
    pub fn key(&self, hash: &LookupHash) -> Option<&KeyEntry> {
        self.keys.get(hash)
    }

    /// Returns how many keys there are.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Returns the plan by which `key` may call `stage`; `None` refuses the key. A key is in at most one plan per stage.
    pub fn plan_of(&self, key: &KeyEntry, stage: &CompiledStage) -> Option<&CompiledPlan> {
        let mut plans = key.plans.plan_ids.iter().filter_map(|id| self.plans.get(id));
        plans.find(|plan| plan.covers(stage)).map(|plan| &**plan)
    }

    /// Returns the plan with this id.
    pub fn plan(&self, id: &str) -> Option<&CompiledPlan> {
        self.plans.get(id).map(|plan| &**plan)
    }
}

impl ApiUnit {
    /// Returns the stage of this name.
    pub fn stage(&self, name: &str) -> Option<&StageUnit> {
        let at = self.stages.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.stages[at].1)
    }

    /// Returns all stages, sorted by name.
    pub fn stages(&self) -> impl Iterator<Item = (&str, &StageUnit)> {
        self.stages.iter().map(|(name, unit)| (&**name, unit))
    }
}
