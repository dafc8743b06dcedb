//! Keys of usage plans. A key may be in several plans, but in one per API stage.
//!
//! INVARIANT: no key is in two plans that name the same stage. Apply does not know this rule; it is kept because both
//! ways of breaking it (a key joins a plan, a plan gains a stage) write rows that the other expects unchanged: a joining
//! key writes its own row, the plan's, and those of the plans it is in already; a gaining plan writes its own.

use sluice_model::level::leveled;
use sluice_proto::{
    model::{ApiKey, UsagePlan, UsagePlanKey},
    raft::{PutRow, RowChange},
};
use sluice_state::{Tables, View};

use super::{
    PENDING, Planned, Planner,
    api_key::key_row,
    check_id, checked, missing, planned, put_row,
    row::row_of_document,
    usage_plan::{plan_refs, same},
};
use crate::{
    noun::Noun,
    read::{self, Found},
    refused::Refused,
};

impl<T: Tables> Planner<'_, T> {
    /// Puts a key into a plan.
    pub(super) fn put_usage_plan_key(
        &mut self,
        mut member: UsagePlanKey,
        expected: Option<u64>,
    ) -> Result<Planned, Refused> {
        check_id(&member.plan_id, "planId")?;
        check_id(&member.key_id, "keyId")?;
        self.leveled(&mut member)?;
        let warnings = checked(&member)?;
        let (found, expected) = self.present(&member, expected)?;
        if found.is_some() {
            let message = format!("api key {} is in usage plan {} already", member.key_id, member.plan_id);
            return Err(Refused::conflict(message));
        }
        let plan_key = [member.plan_id.clone()];
        let plan = read::plan(&self.view, &member.plan_id).ok_or_else(|| missing(UsagePlan::KIND, &plan_key))?;
        let mut rows = self.may_join(&member.key_id, &plan.document)?;
        rows.push(self.row(&plan.document, plan_refs(&plan.document), known(plan.version))?);
        rows.push(member_row(&self.view, &member, expected)?);
        Ok(Planned { warnings, ..planned(member, rows) })
    }

    /// The rows by which a key joins `plan`, which the same change writes.
    pub(crate) fn join(&self, key_id: &str, plan: &UsagePlan) -> Result<Vec<RowChange>, Refused> {
        let member = member(&plan.id, key_id);
        let mut rows = self.may_join(key_id, plan)?;
        rows.push(member_row(&self.view, &member, Some(0))?);
        Ok(rows)
    }

    /// The rows that keep the rule for one key that joins one plan, but the plan's own.
    fn may_join(&self, key_id: &str, plan: &UsagePlan) -> Result<Vec<RowChange>, Refused> {
        let key = [key_id.to_owned()];
        let key = read::find::<ApiKey, _>(&self.view, &key).ok_or_else(|| missing(ApiKey::KIND, &key))?;
        let mut rows = vec![put_row(key_row(&self.view, &key.document, known(key.version))?)];
        for other in read::plans_of_key(&self.view, key_id) {
            let Some(other) = read::plan(&self.view, &other) else { continue };
            if let Some(refused) = shared_stage(key_id, plan, &other.document) {
                return Err(refused);
            }
            rows.push(self.row(&other.document, plan_refs(&other.document), known(other.version))?);
        }
        Ok(rows)
    }
}

fn known(version: u64) -> Option<u64> {
    (version != PENDING).then_some(version)
}

fn member(plan_id: &str, key_id: &str) -> UsagePlanKey {
    leveled(UsagePlanKey { plan_id: plan_id.to_owned(), key_id: key_id.to_owned(), ..UsagePlanKey::default() })
}

/// The row of a membership.
fn member_row<T: Tables>(
    view: &View<T>,
    member: &UsagePlanKey,
    expected_version: Option<u64>,
) -> Result<RowChange, Refused> {
    Ok(put_row(PutRow {
        refs: vec![
            crate::noun::row(UsagePlan::TABLE, vec![member.plan_id.clone()]),
            crate::noun::row(ApiKey::TABLE, vec![member.key_id.clone()]),
        ],
        expected_version,
        ..row_of_document(view, member)?
    }))
}

/// The rows by which keys that the same change creates join `plan`: one guard for all of them.
///
/// # Errors
/// `Level`.
pub(crate) fn joined<T: Tables>(
    view: &View<T>,
    plan: &Found<UsagePlan>,
    keys: &[String],
) -> Result<Vec<RowChange>, Refused> {
    let mut rows = vec![put_row(PutRow {
        refs: plan_refs(&plan.document),
        expected_version: known(plan.version),
        ..row_of_document(view, &plan.document)?
    })];
    for key_id in keys {
        rows.push(member_row(view, &member(&plan.document.id, key_id), Some(0))?);
    }
    Ok(rows)
}

/// The refusal when two plans of one key name the same stage.
pub(crate) fn shared_stage(key_id: &str, plan: &UsagePlan, other: &UsagePlan) -> Option<Refused> {
    let shared = plan.api_stages.iter().find(|stage| other.api_stages.iter().any(|theirs| same(theirs, stage)))?;
    Some(Refused::conflict(format!(
        "api key {key_id} is in usage plan {} ({}), which has stage {} of api {} too; a key may be in one plan per stage",
        other.id, other.name, shared.stage, shared.api_id
    )))
}
