//! Stages of a `RestApi` object, and the deployment that they ask for.

use sluice_model::level::leveled;
use sluice_proto::{
    model::{Deployment, Diagnostic, Stage},
    raft::{RowChange, row_change},
};
use sluice_state::Tables;

use crate::{
    contents::Parts,
    files::spec::Spec,
    plan::{PENDING, Planner, checked, deploy_planned, models_needed, put_row, seconds, stage_row, stage_stamped},
    read,
    refused::Refused,
};

/// A stage as a file has it.
#[derive(Debug, Clone)]
pub(super) struct WantedStage {
    name: String,
    /// Whether the API is to be deployed to it.
    deploy: bool,
    stage: Stage,
}

/// What the stages of one API become.
#[derive(Debug, Default)]
pub(super) struct StagesPlan {
    pub(super) rows: Vec<RowChange>,
    pub(super) before: Vec<Stage>,
    pub(super) after: Vec<Stage>,
    /// Stages that get a new deployment.
    pub(super) deployed: Vec<String>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// Reads `stages` of a spec.
pub(super) fn read(spec: &mut Spec<'_>) -> Vec<WantedStage> {
    const LEADER: &str = "it is made by the leader";
    let mut stages = Vec::new();
    for (name, mut one) in spec.take_objects("stages") {
        let deploy = one.take_flag("deploy");
        let not_here = [
            ("apiId", "the place in the file says it"),
            ("stageName", "the place in the file says it"),
            ("deploymentId", "say deploy: true; deployments have no names"),
            ("canarySettings", "a canary names a deployment; set it with `sluice stage set`"),
            ("createdDate", LEADER),
            ("lastUpdatedDate", LEADER),
            ("previousDeploymentId", LEADER),
        ];
        if let Some(stage) = one.document::<Stage>(&not_here) {
            stages.push(WantedStage { name, deploy, stage });
        }
        spec.faults.append(&mut one.faults);
    }
    stages
}

/// Plans the stages of an API whose parts will be `parts`.
pub(super) fn plan<T: Tables>(
    planner: &mut Planner<'_, T>,
    api_id: &str,
    parts: &Parts,
    wanted: Vec<WantedStage>,
) -> Result<StagesPlan, Refused> {
    let mut plan = StagesPlan::default();
    let mut deployment: Option<String> = None;
    for WantedStage { name, deploy, stage } in wanted {
        let at = format!("spec.stages[\"{name}\"]");
        let before = read::find::<Stage, _>(&planner.view, &[api_id.to_owned(), name.clone()]);
        let version = before.as_ref().map(|found| found.version);
        let before = before.map(|found| found.document);
        let serves = before.as_ref().and_then(|stage| planner.view.deployment(api_id, &stage.deployment_id));
        let is_served = serves.is_some_and(|(_, row)| row.parts == parts.digest_bytes());
        let new_deployment = deploy && !is_served;
        if before.is_none() && !deploy {
            let message = format!("stage {name} does not exist");
            return Err(Refused::invalid(at, message, "say deploy: true to make it"));
        }
        let view = &planner.view;
        let ids = &mut *planner.ids;
        let deployment_id = match (&before, new_deployment) {
            (Some(before), false) => before.deployment_id.clone(),
            _ => deployment.clone().unwrap_or_else(|| ids.short(|id| read::deployment_exists(view, api_id, id))),
        };
        let after = staged(stage, api_id, &name, deployment_id, before.as_ref(), planner.now_ms);
        checked(&after).map_err(|refused| refused.under(&at))?;
        let expected = version.map_or(Some(0), |version| (version != PENDING).then_some(version));
        if new_deployment {
            let compiled = planner.tools.compiler.compile(api_id, &parts.entries, Some(&after));
            plan.warnings.extend(compiled.map_err(|refused| refused.under("spec"))?);
            plan.deployed.push(name);
        }
        let row = stage_row(&planner.view, &after, expected).map_err(|refused| refused.under(&at))?;
        if new_deployment && deployment.is_none() {
            deployment = Some(after.deployment_id.clone());
            plan.rows.extend(first_deployed(planner, api_id, &after.deployment_id, parts, row)?);
        } else if before.as_ref().is_none_or(|before| differs(before, &after)) {
            plan.rows.push(put_row(row));
        }
        plan.before.extend(before);
        plan.after.push(after);
    }
    Ok(plan)
}

/// The deployment, with the first stage that points at it.
fn first_deployed<T: Tables>(
    planner: &Planner<'_, T>,
    api_id: &str,
    deployment_id: &str,
    parts: &Parts,
    stage: sluice_proto::raft::PutRow,
) -> Result<Vec<RowChange>, Refused> {
    let deployment = leveled(Deployment {
        level: 0,
        id: deployment_id.to_owned(),
        api_id: api_id.to_owned(),
        description: None,
        created_date: Some(seconds(planner.now_ms)),
    });
    let mut rows = deploy_planned(&planner.view, deployment, Some(stage), None)?.rows;
    if let Some(row_change::Kind::Deploy(deploy)) = rows.first_mut().and_then(|row| row.kind.as_mut()) {
        deploy.models = models_needed(&parts.entries);
    }
    Ok(rows)
}

/// The stage as it will be: the file's settings, and what files do not hold as it was.
fn staged(
    wanted: Stage,
    api_id: &str,
    name: &str,
    deployment_id: String,
    before: Option<&Stage>,
    now_ms: u64,
) -> Stage {
    let mut stage = leveled(Stage {
        api_id: api_id.to_owned(),
        stage_name: name.to_owned(),
        deployment_id,
        canary_settings: before.and_then(|before| before.canary_settings.clone()),
        ..wanted
    });
    stage_stamped(&mut stage, before, now_ms);
    stage
}

/// Whether two forms of a stage differ in more than the date of the change.
fn differs(before: &Stage, after: &Stage) -> bool {
    let dated = Stage { last_updated_date: before.last_updated_date, ..after.clone() };
    *before != dated
}
