//! Stages: named addresses of deployments.

use sluice_proto::{
    model::{Deployment, Diagnostic, Stage},
    raft::{PutRow, RowRef, Table},
};
use sluice_state::{Tables, View};

use super::{Planned, Planner, checked, planned, put_row, row::row_of_document, seconds};
use crate::{
    noun::row,
    read,
    refused::{Refused, fault},
};

/// Stages of an API by AWS's default quota.
const AWS_STAGES_MAX: usize = 10;

impl<T: Tables> Planner<'_, T> {
    /// Creates or replaces a stage of a deployment that exists.
    pub(super) fn put_stage(&mut self, mut stage: Stage, expected: Option<u64>) -> Result<Planned, Refused> {
        self.api_of(&stage.api_id)?;
        self.leveled(&mut stage)?;
        let (found, expected) = self.present(&stage, expected)?;
        let before = found.map(|found| found.document);
        stage_stamped(&mut stage, before.as_ref(), self.now_ms);
        let mut warnings = checked(&stage)?;
        if before.is_none() {
            warnings.extend(self.one_stage_more(&stage.api_id));
        }
        self.deployment_exists(&stage.api_id, &stage.deployment_id, "deploymentId")?;
        if let Some(canary) = &stage.canary_settings {
            self.deployment_exists(&stage.api_id, &canary.deployment_id, "canarySettings.deploymentId")?;
        }
        let rows = vec![put_row(stage_row(&self.view, &stage, expected)?)];
        Ok(Planned { warnings, ..planned(stage, rows) })
    }

    /// A warning when an API gets more stages than AWS allows.
    pub(super) fn one_stage_more(&self, api_id: &str) -> Option<Diagnostic> {
        let present = self.all::<Stage>(api_id).len();
        if present < AWS_STAGES_MAX {
            return None;
        }
        let message =
            format!("this is stage {} of the api: AWS allows {AWS_STAGES_MAX} unless its quota is raised", present + 1);
        let mut warning = fault("aws-limit", "stageName", message, "");
        "warning".clone_into(&mut warning.severity);
        Some(warning)
    }

    /// Refuses a deployment that does not exist.
    pub(super) fn deployment_exists(&self, api_id: &str, id: &str, at: &str) -> Result<(), Refused> {
        let key = [api_id.to_owned(), id.to_owned()];
        if read::find::<Deployment, _>(&self.view, &key).is_some() {
            return Ok(());
        }
        let message = format!("deployment `{id}` does not exist in api {api_id}");
        Err(Refused::invalid(at, message, "deploy the api first, or list its deployments"))
    }
}

/// Sets what the leader stamps on a stage: its dates, and the deployment it served before.
pub(crate) fn stage_stamped(stage: &mut Stage, before: Option<&Stage>, now_ms: u64) {
    let now = Some(seconds(now_ms));
    stage.created_date = before.map_or(now, |before| before.created_date);
    stage.last_updated_date = now;
    stage.previous_deployment_id = match before {
        Some(before) if before.deployment_id != stage.deployment_id => Some(before.deployment_id.clone()),
        Some(before) => before.previous_deployment_id.clone(),
        None => None,
    };
}

/// The row of a stage; it holds on to the deployments that it serves.
///
/// # Errors
/// `Level`.
pub(crate) fn stage_row<T: Tables>(
    view: &View<T>,
    stage: &Stage,
    expected_version: Option<u64>,
) -> Result<PutRow, Refused> {
    let deployment = |id: &str| row(Table::Deployment, vec![stage.api_id.clone(), id.to_owned()]);
    let mut refs: Vec<RowRef> = vec![deployment(&stage.deployment_id)];
    if let Some(canary) = stage.canary_settings.as_ref().filter(|canary| canary.deployment_id != stage.deployment_id) {
        refs.push(deployment(&canary.deployment_id));
    }
    Ok(PutRow { refs, expected_version, ..row_of_document(view, stage)? })
}
