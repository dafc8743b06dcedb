//! Usage plans: which stages, how fast.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use sluice_compile::Entry;
use sluice_proto::{
    model::{ApiStage, Diagnostic, Resource, Stage, UsagePlan},
    raft::{RowRef, Table},
};
use sluice_state::Tables;

use super::{Planned, Planner, check_id, checked, planned, usage_plan_key::shared_stage};
use crate::{
    noun::row,
    read,
    refused::{Reason, Refused, fault},
};

impl<T: Tables> Planner<'_, T> {
    /// Creates or replaces a usage plan.
    pub(crate) fn put_usage_plan(&mut self, mut plan: UsagePlan, expected: Option<u64>) -> Result<Planned, Refused> {
        if plan.id.is_empty() {
            let view = &self.view;
            plan.id = self.ids.short(|id| read::exists(view, Table::Plan, &[id.to_owned()]));
        }
        check_id(&plan.id, "id")?;
        self.leveled(&mut plan)?;
        let (found, expected) = self.present(&plan, expected)?;
        let mut warnings = checked(&plan)?;
        quota_refused(&plan)?;
        for (index, stage) in plan.api_stages.iter().enumerate() {
            self.stage_exists(stage).map_err(|refused| refused.under(&format!("apiStages[{index}]")))?;
        }
        let before = found.as_ref().map(|found| &found.document);
        for (index, stage) in plan.api_stages.iter().enumerate() {
            let known = before.and_then(|before| before.api_stages.iter().find(|old| same(old, stage)));
            warnings.extend(self.unserved_methods(stage, known, &format!("apiStages[{index}]")));
        }
        if let Some(found) = found {
            self.keys_stay_single(&plan, &found.document)?;
        }
        let rows = vec![self.row(&plan, plan_refs(&plan), expected)?];
        Ok(Planned { warnings, ..planned(plan, rows) })
    }

    fn stage_exists(&self, stage: &ApiStage) -> Result<(), Refused> {
        if read::exists(&self.view, Table::Stage, &[stage.api_id.clone(), stage.stage.clone()]) {
            return Ok(());
        }
        let message = format!("stage {} of api {} does not exist", stage.stage, stage.api_id);
        Err(Refused::invalid("stage", message, "deploy the api to it first"))
    }

    /// Warns of limits that a stage gains for methods which its deployment does not have: they throttle nothing.
    fn unserved_methods(&self, stage: &ApiStage, before: Option<&ApiStage>, at: &str) -> Vec<Diagnostic> {
        let is_gained = |place: &&String| before.is_none_or(|before| !before.throttle.contains_key(*place));
        let gained: Vec<&String> = stage.throttle.keys().filter(is_gained).collect();
        let key = [stage.api_id.clone(), stage.stage.clone()];
        let Some(deployed) = read::find::<Stage, _>(&self.view, &key).filter(|_| !gained.is_empty()) else {
            return Vec::new();
        };
        let deployment = &deployed.document.deployment_id;
        let entries = self.tools.compiler.entries_of_deployment(&self.view, &stage.api_id, deployment);
        let served = served_methods(&entries);
        let unserved = gained.into_iter().filter_map(|place| {
            let (path, verb) = place.rsplit_once('/')?;
            let path = format!("/{}", path.trim_start_matches('/'));
            let verbs = served.get(&path);
            let is_served = verbs
                .is_some_and(|verbs| verb == "*" || verb == "ANY" || verbs.contains("ANY") || verbs.contains(verb));
            (path != "/*" && !is_served).then(|| {
                let message = format!("stage {} serves no {verb} {path}: this limit throttles nothing", stage.stage);
                let hint = "deploy the method, or correct the name of this one";
                let at = format!("{at}.throttle[\"{place}\"]");
                Diagnostic { severity: "warning".to_owned(), ..fault("method-not-served", at, message, hint) }
            })
        });
        unserved.collect()
    }

    /// A key may be in one plan per API stage: stages that the plan gains must not meet in another plan of its keys.
    fn keys_stay_single(&self, plan: &UsagePlan, before: &UsagePlan) -> Result<(), Refused> {
        let gained = plan.api_stages.iter().filter(|stage| !before.api_stages.iter().any(|old| same(old, stage)));
        let mut others = BTreeSet::new();
        for stage in gained {
            others.extend(read::plans_of_stage(&self.view, &stage.api_id, &stage.stage));
        }
        others.remove(&plan.id);
        if others.is_empty() {
            return Ok(());
        }
        for key in read::keys_of_plan(&self.view, &plan.id) {
            for other in read::plans_of_key(&self.view, &key).into_iter().filter(|other| others.contains(other)) {
                if let Some(other) = read::find::<UsagePlan, _>(&self.view, &[other])
                    && let Some(refused) = shared_stage(&key, plan, &other.document)
                {
                    return Err(refused);
                }
            }
        }
        Ok(())
    }

    /// Refuses to delete a plan that has keys.
    pub(super) fn usage_plan_is_free(&self, key: &[String]) -> Result<(), Refused> {
        match read::keys_of_plan(&self.view, &key[0]).next() {
            None => Ok(()),
            Some(member) => Err(Refused::new(
                Reason::Referenced,
                format!("usage plan {} still has keys, {member} among them; remove them first", key[0]),
            )),
        }
    }
}

/// The verbs of each path of a deployment.
fn served_methods(entries: &[Entry]) -> BTreeMap<String, BTreeSet<&str>> {
    let of_table = |table: Table| entries.iter().filter(move |entry| entry.table == table);
    let resources = of_table(Table::Resource).filter_map(|entry| Resource::decode(entry.bytes.as_ref()).ok());
    let paths: BTreeMap<String, String> = resources.map(|resource| (resource.id, resource.path)).collect();
    let mut served: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for entry in of_table(Table::Method) {
        if let [_, resource, verb] = entry.key.as_slice()
            && let Some(path) = paths.get(resource)
        {
            served.entry(path.clone()).or_default().insert(verb);
        }
    }
    served
}

/// Whether two entries name the same stage.
pub(super) fn same(left: &ApiStage, right: &ApiStage) -> bool {
    left.api_id == right.api_id && left.stage == right.stage
}

/// The rows that a plan holds on to: its stages.
pub(super) fn plan_refs(plan: &UsagePlan) -> Vec<RowRef> {
    let stages: BTreeSet<_> = plan.api_stages.iter().map(|stage| (&stage.api_id, &stage.stage)).collect();
    stages.into_iter().map(|(api, stage)| row(Table::Stage, vec![api.clone(), stage.clone()])).collect()
}

/// Quotas have their fields, but nothing counts them yet: a plan that promised one would not keep it.
fn quota_refused(plan: &UsagePlan) -> Result<(), Refused> {
    if plan.quota.is_none() {
        return Ok(());
    }
    let message = "quotas are not supported by this release";
    Err(Refused::not_supported("quota", message, "leave the quota out; rate and burst are enforced"))
}
