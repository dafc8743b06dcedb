//! One commit of a CSV import: up to a thousand keys and their memberships.

use std::collections::{BTreeMap, BTreeSet};

use sluice_model::level::leveled;
use sluice_proto::{
    model::{ApiKey, Diagnostic, UsagePlan},
    raft::Stamp,
};
use sluice_state::{Tables, View};

use crate::{
    commit::Intent,
    contents::Uploads,
    ids::Ids,
    keys::csv::KeyRow,
    plan::{Planner, Tools, checked, joined, key_row, put_row, seconds, shared_stage, without_secrets},
    read::{self, Found},
    refused::{Refused, fault, join},
};

/// What a batch tells.
#[derive(Debug, Default, Clone)]
pub(super) struct Told {
    pub(super) created: u64,
    pub(super) unchanged: u64,
    pub(super) faults: Vec<Diagnostic>,
}

/// Plans the keys of `rows` that do not exist yet.
///
/// # Errors
/// `Unavailable` when values cannot be sealed; a row that is wrong is a fault of the row.
pub(super) fn plan<T: Tables>(
    view: View<T>,
    tools: &Tools,
    ids: &mut Ids,
    stamp: &Stamp,
    rows: &[KeyRow],
) -> Result<Intent<Told>, Refused> {
    let planner = Planner { view: View(&view.0), tools, ids, now_ms: stamp.time_ms };
    let sealed_lookup_key = planner.view.cluster().unwrap_or_default().sealed_lookup_key;
    let mut told = Told::default();
    let mut changes = Vec::new();
    let mut plans: BTreeMap<String, Option<Found<UsagePlan>>> = BTreeMap::new();
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        // Drawn for every row, so that a row's id does not depend on those before it.
        let id = planner.ids.api_key(|_| false);
        let hash = tools.secrets.hash(&sealed_lookup_key, &row.value)?;
        if let Some(present) = read::key_by_hash(&planner.view, &hash.0) {
            if present.name == row.name {
                told.unchanged += 1;
            } else {
                let message = format!("api key {} named `{}` has this value already", present.id, present.name);
                told.faults.push(fault("conflict", format!("lines[{}].key", row.line), message, ""));
            }
            continue;
        }
        if let Err(found) = plans_fit(&planner, row, &mut plans) {
            told.faults.push(found);
            continue;
        }
        let mut key = document(row, &id, stamp);
        if let Err(refused) = checked(&key) {
            let at = format!("lines[{}]", row.line);
            told.faults.extend(refused.diagnostics.into_iter().map(|one| Diagnostic { at: join(&at, &one.at), ..one }));
            continue;
        }
        planner.seal(&mut key, &row.value)?;
        changes.push(put_row(key_row(&planner.view, &without_value(key), Some(0))?));
        told.created += 1;
        for plan in &row.plan_ids {
            members.entry(plan.clone()).or_default().push(id.clone());
        }
    }
    for (plan, keys) in members {
        if let Some(Some(plan)) = plans.get(&plan) {
            changes.extend(joined(&planner.view, plan, &keys)?);
        }
    }
    Ok(Intent { uploads: Uploads::default(), rows: changes, told })
}

fn document(row: &KeyRow, id: &str, stamp: &Stamp) -> ApiKey {
    let now = Some(seconds(stamp.time_ms));
    leveled(ApiKey {
        id: id.to_owned(),
        name: row.name.clone(),
        description: row.description.clone(),
        enabled: Some(row.enabled),
        created_date: now,
        last_updated_date: now,
        ..ApiKey::default()
    })
}

/// The sealed value and the hash stay, the value goes.
fn without_value(key: ApiKey) -> ApiKey {
    ApiKey { sealed_value: key.sealed_value.clone(), value_hash: key.value_hash.clone(), ..without_secrets(key) }
}

/// Checks that the plans of a row exist, and that no two of them name one stage.
fn plans_fit<T: Tables>(
    planner: &Planner<'_, T>,
    row: &KeyRow,
    plans: &mut BTreeMap<String, Option<Found<UsagePlan>>>,
) -> Result<(), Diagnostic> {
    let at = || format!("lines[{}].usageplanIds", row.line);
    let mut seen = BTreeSet::new();
    for id in &row.plan_ids {
        let found = plans.entry(id.clone()).or_insert_with(|| read::plan(&planner.view, id));
        if found.is_none() {
            return Err(fault("not-found", at(), format!("usage plan `{id}` does not exist"), ""));
        }
        if !seen.insert(id) {
            return Err(fault("conflict", at(), format!("usage plan `{id}` stands twice"), ""));
        }
    }
    let of_row: Vec<&UsagePlan> =
        row.plan_ids.iter().filter_map(|id| plans.get(id)?.as_ref()).map(|found| &found.document).collect();
    for (index, plan) in of_row.iter().enumerate() {
        if let Some(refused) = of_row[..index].iter().find_map(|other| shared_stage(&row.name, plan, other)) {
            return Err(fault("conflict", at(), refused.message, ""));
        }
    }
    Ok(())
}
