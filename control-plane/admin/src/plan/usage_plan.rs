//! Usage plans: which stages, how fast.

use std::collections::BTreeSet;

use sluice_proto::{
    model::{ApiStage, UsagePlan},
    raft::{RowRef, Table},
};
use sluice_state::Tables;

use super::{Planned, Planner, check_id, checked, planned, usage_plan_key::shared_stage};
use crate::{
    noun::row,
    read,
    refused::{Reason, Refused},
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
        let warnings = checked(&plan)?;
        quota_refused(&plan)?;
        for (index, stage) in plan.api_stages.iter().enumerate() {
            self.stage_exists(stage).map_err(|refused| refused.under(&format!("apiStages[{index}]")))?;
        }
        if let Some(found) = found {
            self.keys_stay_single(&plan, &found.document)?;
        }
        let rows = vec![self.row(&plan, plan_refs(&plan), expected)];
        Ok(Planned { warnings, ..planned(plan, rows) })
    }

    fn stage_exists(&self, stage: &ApiStage) -> Result<(), Refused> {
        if read::exists(&self.view, Table::Stage, &[stage.api_id.clone(), stage.stage.clone()]) {
            return Ok(());
        }
        let message = format!("stage {} of api {} does not exist", stage.stage, stage.api_id);
        Err(Refused::invalid("stage", message, "deploy the api to it first"))
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
