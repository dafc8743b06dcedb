//! `kind: ApiKey`: a key, with its value given or made.

use sluice_proto::{admin::Object, model::ApiKey, raft::Table};
use sluice_state::Tables;

use crate::{
    files::{Effect, ObjectPlan, diff, export::key_spec, names, spec::Spec},
    plan::{Planner, without_secrets},
    read,
    refused::Refused,
};

/// Plans one key. Its value is compared where it is given, and never listed.
pub(super) fn plan<T: Tables>(planner: &mut Planner<'_, T>, object: &Object) -> Result<ObjectPlan, Refused> {
    let mut spec = Spec::parse(&planner.tools.schema, &object.spec_json)?;
    let made = [
        ("id", "it is made by the leader"),
        ("name", "the name stands beside kind"),
        ("createdDate", "it is made by the leader"),
        ("lastUpdatedDate", "it is made by the leader"),
    ];
    let wanted = spec.document::<ApiKey>(&made);
    let Some(wanted) = wanted.filter(|_| spec.faults.is_empty()) else { return Err(Refused::faults(spec.faults)) };
    let id = names::present(&planner.view, Table::ApiKey, "ApiKey", &object.name, "name")?;
    let found = id.as_ref().and_then(|id| read::find::<ApiKey, _>(&planner.view, std::slice::from_ref(id)));
    let wanted = ApiKey { id: id.unwrap_or_default(), name: object.name.clone(), ..wanted };
    let before = found.as_ref().map(|found| key_spec(&found.document));
    let after = key_spec(&without_secrets(wanted.clone()));
    let planned = planner.put_api_key(wanted, None).map_err(|refused| refused.under("spec"))?;
    let id = planned.answer.name.ids.first().cloned().unwrap_or_default();
    let differences = diff::differences(&before.clone().unwrap_or_else(|| serde_json::json!({})), &after);
    let (effect, rows) = match before {
        None => (Effect::Created, planned.rows),
        Some(before) if before == after => (Effect::Unchanged, Vec::new()),
        Some(_) => (Effect::Changed, planned.rows),
    };
    Ok(ObjectPlan { rows, id, effect, differences, warnings: planned.warnings, ..ObjectPlan::default() })
}
