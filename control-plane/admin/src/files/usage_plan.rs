//! `kind: UsagePlan`: a plan, with its stages and keys by name.
//!
//! ```yaml
//! spec:
//!   throttle: { rateLimit: 100, burstLimit: 200 }
//!   apiStages: [{ api: pets, stage: prod, throttle: { /pets/GET: { rateLimit: 5 } } }]
//!   keys: [alice, bob]               # absent: the keys stay as they are
//! ```

use std::collections::BTreeSet;

use serde_json::Value;
use sluice_proto::{
    admin::Object,
    model::{ApiStage, UsagePlan},
    raft::{RowChange, Table},
};
use sluice_state::Tables;

use crate::{
    files::{
        Effect, ObjectPlan, diff, duplicates, export::name_of_key, export::plan_spec, names, names::Names, spec::Spec,
    },
    noun::row,
    plan::{Planner, removal},
    read,
    refused::{Refused, fault},
};

/// Plans one usage plan.
pub(super) fn plan<T: Tables>(
    planner: &mut Planner<'_, T>,
    object: &Object,
    names: &Names,
) -> Result<ObjectPlan, Refused> {
    let mut spec = Spec::parse(&planner.tools.schema, &object.spec_json)?;
    let stages = read_stages(planner, &mut spec, names);
    let keys = read_keys(planner, &mut spec, names);
    let made = [("id", "it is made by the leader"), ("name", "the name stands beside kind")];
    let wanted = spec.document::<UsagePlan>(&made);
    let Some(wanted) = wanted.filter(|_| spec.faults.is_empty()) else { return Err(Refused::faults(spec.faults)) };

    let id = names::present(&planner.view, Table::Plan, "UsagePlan", &object.name, "name")?;
    let found = id.as_ref().and_then(|id| read::find::<UsagePlan, _>(&planner.view, std::slice::from_ref(id)));
    let wanted = UsagePlan { id: id.unwrap_or_default(), name: object.name.clone(), api_stages: stages, ..wanted };
    let before = found.as_ref().map(|found| plan_spec(&planner.view, &found.document, None));
    let planned = planner.put_usage_plan(wanted.clone(), None).map_err(|refused| refused.under("spec"))?;
    let id = planned.answer.name.ids.first().cloned().unwrap_or_default();
    let after = plan_spec(&planner.view, &wanted, None);
    let is_new = before.is_none();
    let mut differences = diff::differences(&before.clone().unwrap_or_else(|| serde_json::json!({})), &after);
    let mut rows = if before.as_ref() == Some(&after) { Vec::new() } else { planned.rows.clone() };
    if let Some(keys) = keys {
        let (mut changed, key_rows) = membership(planner, &id, &wanted, &keys)?;
        if rows.is_empty() && !key_rows.is_empty() {
            // The plan's row guards the rule of one plan per stage.
            rows = planned.rows;
        }
        differences.append(&mut changed);
        rows.extend(key_rows);
    }
    let effect = match (is_new, rows.is_empty()) {
        (true, _) => Effect::Created,
        (false, true) => Effect::Unchanged,
        (false, false) => Effect::Changed,
    };
    Ok(ObjectPlan { rows, id, effect, differences, warnings: planned.warnings, ..ObjectPlan::default() })
}

/// `apiStages` with the API by name.
fn read_stages<T: Tables>(planner: &Planner<'_, T>, spec: &mut Spec<'_>, names: &Names) -> Vec<ApiStage> {
    let Some(value) = spec.take("apiStages") else { return Vec::new() };
    let Value::Array(items) = value else {
        spec.faults.push(fault("wrong-type", "spec.apiStages", "expected a list", ""));
        return Vec::new();
    };
    let mut stages = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let at = format!("spec.apiStages[{index}]");
        let Value::Object(fields) = item else {
            spec.faults.push(fault("wrong-type", at, "expected an object with api and stage", ""));
            continue;
        };
        let mut one = Spec::of(&planner.tools.schema, fields, at.clone());
        let (api, stage) = (one.take_text("api"), one.take_text("stage"));
        let throttle = one.take("throttle").unwrap_or_else(|| serde_json::json!({}));
        one.nothing_left();
        let shape = planner.tools.schema.fields("ApiStage")["throttle"].clone();
        planner.tools.schema.check(&shape, &throttle, &format!("{at}.throttle"), &mut one.faults);
        let (Some(api), Some(stage)) = (api, stage) else {
            one.faults.push(fault("required", at, "expected api and stage", ""));
            spec.faults.append(&mut one.faults);
            continue;
        };
        match names.find(&planner.view, "RestApi", &api, &format!("{at}.api")) {
            Ok(api_id) if one.faults.is_empty() => {
                let throttle = serde_json::from_value(throttle).unwrap_or_default();
                stages.push(ApiStage { api_id, stage, throttle });
            }
            Ok(_) => {}
            Err(refused) => one.faults.extend(refused.diagnostics),
        }
        spec.faults.append(&mut one.faults);
    }
    stages
}

/// `keys` as ids; none where the file does not say.
fn read_keys<T: Tables>(planner: &Planner<'_, T>, spec: &mut Spec<'_>, names: &Names) -> Option<BTreeSet<String>> {
    let listed = spec.take_texts("keys")?;
    for name in duplicates(listed.iter().map(String::as_str)) {
        spec.faults.push(fault("conflict", "spec.keys", format!("key `{name}` is listed twice"), ""));
    }
    let mut keys = BTreeSet::new();
    for (index, name) in listed.iter().enumerate() {
        match names.find(&planner.view, "ApiKey", name, &format!("spec.keys[{index}]")) {
            Ok(id) => {
                keys.insert(id);
            }
            Err(refused) => spec.faults.extend(refused.diagnostics),
        }
    }
    Some(keys)
}

/// The rows that make the keys of a plan those that are wanted.
fn membership<T: Tables>(
    planner: &mut Planner<'_, T>,
    plan_id: &str,
    plan: &UsagePlan,
    wanted: &BTreeSet<String>,
) -> Result<(Vec<String>, Vec<RowChange>), Refused> {
    let present: BTreeSet<String> = read::keys_of_plan(&planner.view, plan_id).collect();
    let mut differences = Vec::new();
    let mut rows = Vec::new();
    for key in present.difference(wanted) {
        rows.push(removal(row(Table::PlanKey, vec![plan_id.to_owned(), key.clone()]), None));
        differences.push(format!("keys: \"{}\" -> (none)", name_of_key(&planner.view, key)));
    }
    let plan = UsagePlan { id: plan_id.to_owned(), ..plan.clone() };
    for key_id in wanted.difference(&present) {
        rows.extend(planner.join(key_id, &plan).map_err(|refused| refused.under("spec.keys"))?);
        differences.push(format!("keys: (none) -> \"{}\"", name_of_key(&planner.view, key_id)));
    }
    Ok((differences, rows))
}
